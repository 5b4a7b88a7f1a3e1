"""``python -m runners.clients.buildkit build``: the client from a command line.

Flags in, an image in the engine out, progress on stderr, the result as JSON
on stdout. For trying things and for the benchmark; the product's own command
is ``tasks build``.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runners.model.errors import Canceled, InvalidInput, RunnerError

if TYPE_CHECKING:
    from runners.clients.buildkit.options import SolveOptions, SolveResult
    from runners.clients.buildkit.status import Vertex
    from runners.clients.buildkit.transport import Transport

_EXIT_FAILED = 1
_EXIT_USAGE = 2
_EXIT_CANCELED = 130


class PlainProgress:
    """Prints each vertex once a state, and its output, line by line as it comes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._numbers: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._shown = -1

    def vertex(self, vertex: Vertex) -> None:
        """See ``status.Progress``."""
        if vertex.state == "pending" or self._told.get(vertex.digest) == vertex.state:
            return
        new = vertex.digest not in self._told
        self._told[vertex.digest] = vertex.state
        number = self._number(vertex)
        if new:
            self._write(f"#{number} {vertex.name}\n")
        if vertex.state == "running":
            return
        if vertex.state == "done":
            self._write(f"#{number} DONE {vertex.elapsed_s:.1f}s\n")
        elif vertex.state == "error":
            self._write(f"#{number} ERROR: {vertex.error}\n")
        else:
            self._write(f"#{number} {vertex.state.upper()}\n")

    def _number(self, vertex: Vertex) -> int:
        number = self._numbers.setdefault(vertex.digest, len(self._numbers) + 1)
        if self._shown not in (-1, number):
            self._write("\n")
        self._shown = number
        return number

    def log(self, vertex: Vertex, stream: str, data: bytes) -> None:
        """See ``status.Progress``."""
        number = self._number(vertex)
        for line in data.decode("utf-8", "replace").splitlines():
            self._write(f"#{number} {stream[3:]}: {line}\n")

    def warning(self, vertex: Vertex | None, text: str, url: str) -> None:
        """See ``status.Progress``."""
        del vertex
        self._write(f"warning: {text} {url}\n")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line taken apart; exits with 2 where it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m runners.clients.buildkit")
    # Without a name given, argparse would load its formatter, and shutil with it.
    commands = parser.add_subparsers(dest="command", required=True, prog=parser.prog)
    build = commands.add_parser("build", help="build a directory's Dockerfile")
    build.add_argument("context", metavar="CONTEXT", help="a directory, or a Git or HTTP URL")
    build.add_argument("--host", required=True, help="unix:///path or tcp://host:port")
    build.add_argument("--buildkitd", action="store_true", help="the host is no Docker Engine")
    build.add_argument("-t", "--tag", action="append", default=[], metavar="NAME")
    build.add_argument("-f", "--file", default="Dockerfile", metavar="PATH")
    build.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--target")
    build.add_argument("--no-cache", action="store_true")
    build.add_argument("--pull", action="store_true")
    build.add_argument("--push", action="store_true")
    build.add_argument("--output-attr", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--progress", choices=("plain", "quiet"), default="plain")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = parse(argv)
    try:
        return _build(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("canceled\n")
        return _EXIT_CANCELED
    except RunnerError as error:
        parts = (error.message, error.detail, error.hint)
        sys.stderr.write("\n".join(part for part in parts if part) + "\n")
        if isinstance(error, Canceled):
            return _EXIT_CANCELED
        return _EXIT_USAGE if isinstance(error, InvalidInput) else _EXIT_FAILED


def _build(arguments: argparse.Namespace) -> int:
    from runners.clients.buildkit.client import BuildKitClient
    from runners.clients.buildkit.identity import client_id

    progress = PlainProgress(sys.stderr.write) if arguments.progress == "plain" else None
    with BuildKitClient(_transport(arguments), client_id=client_id()) as client:
        # The daemon answers while the rest is imported.
        client.connect()
        _tell(client.solve(_options(arguments), progress=progress))
    return 0


def _transport(arguments: argparse.Namespace) -> Transport:
    from runners.clients.buildkit import transport

    scheme, _, rest = arguments.host.partition("://")
    if arguments.buildkitd:
        return transport.BuildkitdTransport(arguments.host)
    if scheme == "unix":
        return transport.EngineTransport(transport.unix_dialer(rest))
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not port.isdigit():
        raise InvalidInput(f"{arguments.host!r} is no host.", hint="Write unix:///path.")
    return transport.EngineTransport(transport.tcp_dialer(host, int(port)))


def _options(arguments: argparse.Namespace) -> SolveOptions:
    from runners.clients.buildkit import options
    from runners.clients.buildkit.auth import DockerConfigLogins
    from runners.clients.buildkit.localfs import LocalFS

    remote = "://" in arguments.context or arguments.context.startswith("git@")
    return options.SolveOptions(
        context=arguments.context if remote else LocalFS(arguments.context),
        dockerfile=arguments.file,
        tags=tuple(arguments.tag),
        push=arguments.push,
        output=options.Output(attrs=_pairs(arguments.output_attr)),
        build_args=_pairs(arguments.build_arg),
        target=arguments.target,
        no_cache=() if arguments.no_cache else None,
        pull=arguments.pull,
        logins=DockerConfigLogins(Path.home() / ".docker" / "config.json"),
    )


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"{text!r} is not NAME=VALUE.")
        pairs[name] = value
    return pairs


def _tell(result: SolveResult) -> None:
    import json

    record = {
        "imageId": result.image_id,
        "digest": result.digest,
        "references": result.references,
        "baseImages": [
            {
                "reference": image.reference,
                "digest": image.digest,
                "role": image.role,
                "pinned": image.pinned,
            }
            for image in result.base_images
        ],
        "sent": {
            "files": result.transferred.files,
            "bytes": result.transferred.content_bytes,
        },
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    # Short-lived and allocating little that is garbage: collections only cost time.
    gc.disable()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed; taking the interpreter down as well would cost 15 ms.
    os._exit(code)
