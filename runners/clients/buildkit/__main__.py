"""``python -m runners.clients.buildkit build``: the client from a command line.

Flags in, an image in the engine out, progress on stderr. For trying things
and for the benchmark; the product's own command is ``tasks build``.
"""

from __future__ import annotations

import argparse
import sys

from runners.clients.buildkit.client import BuildKitClient
from runners.clients.buildkit.localfs import LocalFS
from runners.clients.buildkit.options import SolveOptions
from runners.clients.buildkit.status import Vertex
from runners.clients.buildkit.transport import EngineTransport, unix_dialer
from runners.model.errors import RunnerError


class Plain:
    def vertex(self, vertex: Vertex) -> None:
        print(vertex.state, vertex.name, vertex.error, file=sys.stderr)

    def log(self, vertex: Vertex, stream: str, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def warning(self, vertex, text, url) -> None:
        print("WARN", text, file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("-t", action="append", default=[])
    parser.add_argument("-f", default="Dockerfile")
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--push", action="store_true")
    parser.add_argument("context")
    o = parser.parse_args()
    with (
        BuildKitClient(EngineTransport(unix_dialer(o.host.removeprefix("unix://")))) as client,
        LocalFS(o.context) as fs,
    ):
        print(client.facts())
        try:
            result = client.solve(
                SolveOptions(
                    context=fs,
                    dockerfile=o.f,
                    tags=tuple(o.t),
                    push=o.push,
                    no_cache=() if o.no_cache else None,
                ),
                progress=Plain(),
            )
        except RunnerError as e:
            print(type(e).__name__, e, e.hint, e.detail, sep="\n")
            return 1
        print(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
