"""Builds of a sandbox: a BuildRequest in, an image in the engine's store out.

Turns names of the workspace, of the plan's secrets and of registries into
what the BuildKit client takes. Used by clients/docker_sandbox.py.
"""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO

from runners.clients.buildkit.auth import Login, static_logins
from runners.clients.buildkit.client import BuildKitClient
from runners.clients.buildkit.contextfs import ContextFS
from runners.clients.buildkit.options import SolveOptions, TarContext
from runners.clients.buildkit.reading import read_all
from runners.clients.buildkit.secrets import MAX_SECRET, Secret
from runners.clients.buildkit.status import Vertex
from runners.clients.buildkit.transport import EngineTransport
from runners.clients.docker_bases import Bases, Marks
from runners.clients.docker_images import Images
from runners.clients.docker_transport import Dial
from runners.clients.docker_workspace import WorkspaceFiles, beneath
from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput
from runners.model.image import ImageRef
from runners.model.plan import WORKSPACE
from runners.model.record import BuiltImage
from runners.sandbox import BuildRequest, BuildResult, BuildSecret, Output

_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*://|git@|github\.com/)")
_NAMED = re.compile(r"^(docker-image|target|https?|git|ssh)://|^git@")


class Builder:
    """Builds on one engine. Thread-safe.

    Args:
        files: The workspace; None if it is out of reach.
        archive: Returns a tar stream of a directory of the workspace, for
            where it is out of reach.
        logins: Registry host → (user name, password).
        secrets: The plan's secrets.
        ssh: Agents the run may use, id → socket.
        host_network: Whether ``--network host`` is allowed.
        images: The engine's store.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        files: WorkspaceFiles | None,
        archive: Callable[[str], BinaryIO],
        logins: Mapping[str, tuple[str, str]],
        secrets: Mapping[str, str],
        ssh: Mapping[str, str],
        host_network: bool,
        images: Images,
    ) -> None:
        self._dial = dial
        self._files = files
        self._archive = archive
        self._logins = static_logins(
            {host: Login(user, password) for host, (user, password) in logins.items()}
        )
        self._secrets = secrets
        self._ssh = ssh
        self._host_network = host_network
        self._images = images
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._client: BuildKitClient | None = None

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """See Sandbox.build."""
        if request.network == "host" and not self._host_network:
            raise Denied(
                "the build asks for '--network host', which this runner does not give",
                hint="an administrator can allow it for a pool of runners; a task file cannot",
            )
        client = self._connected()
        progress = _Progress(output)
        with ExitStack() as opened:
            options, marks = self._based(request, self._options(request, opened), output, cancel)
            try:
                result = client.solve(options, progress=progress, cancel=cancel)
                labels = marks.corrected(result.base_images)
                if labels is not None:
                    # The base moved in between: once more, with all layers made already.
                    options = replace(options, labels={**options.labels, **labels})
                    result = client.solve(options, progress=progress, cancel=cancel)
            finally:
                progress.flush()
        self._made |= {ImageRef.parse(tag).canonical for tag in request.tags}
        image = None
        if result.image_id:
            image = BuiltImage(request.tags, result.digest or result.image_id)
        return BuildResult(image, result.base_images)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _based(
        self, request: BuildRequest, options: SolveOptions, output: Output, cancel: Cancellation
    ) -> tuple[SolveOptions, Marks]:
        """Return the options with the bases held and the marks added."""
        if not (request.pins or request.marks or request.mark_base):
            return options, Marks({})
        readings = read_all(options, self._connected().facts())
        bases = Bases(self._images, frozenset(self._made), readings)
        held = bases.hold(request, output, cancel)
        pull = options.pull and not held
        marks = bases.marks(replace(request, pull=pull), cancel)
        return replace(options, pull=pull, labels={**marks.labels, **options.labels}), marks

    def _connected(self) -> BuildKitClient:
        with self._lock:
            if self._client is None:
                self._client = BuildKitClient(EngineTransport(self._dial))
            return self._client

    def _options(self, request: BuildRequest, opened: ExitStack) -> SolveOptions:
        context, dockerfile, dockerfile_fs = self._context(request, opened)
        return SolveOptions(
            context=context,
            dockerfile=dockerfile,
            dockerfile_fs=dockerfile_fs,
            tags=request.tags,
            build_args=dict(request.build_args),
            labels=dict(request.labels),
            target=request.target,
            platforms=request.platforms,
            no_cache=request.no_cache,
            pull=request.pull,
            network=request.network,
            add_hosts=request.add_hosts,
            shm_size=request.shm_size,
            ulimits=request.ulimits,
            secrets={secret.id: self._secret(secret, request) for secret in request.secrets},
            ssh=self._agents(request.ssh),
            logins=self._logins,
            named_contexts={
                name: value
                if _NAMED.match(value)
                else self._tree(
                    beneath(request.working_directory, value), f"the context {name!r}", opened
                )
                for name, value in request.named_contexts
            },
            cache_from=request.cache_from,
            cache_to=request.cache_to,
            provenance=request.provenance,
            sbom=request.sbom,
            attrs=request.attrs,
        )

    def _context(
        self, request: BuildRequest, opened: ExitStack
    ) -> tuple[ContextFS | TarContext | str, str, ContextFS | None]:
        """Return the context, the Dockerfile's path, and its tree where that is another."""
        dockerfile = request.dockerfile or "Dockerfile"
        if _REMOTE.match(request.context):
            return request.context, dockerfile, None
        place = beneath(request.working_directory, request.context)
        if self._files is None:
            inside = posixpath.relpath(
                beneath(request.working_directory, dockerfile) or ".", place or "."
            )
            if request.dockerfile is None or inside.startswith(".."):
                inside = posixpath.normpath(dockerfile)
            stream = opened.enter_context(self._archive(place))
            return TarContext(lambda: stream), inside, None
        tree = self._tree(place, "the build context", opened)
        return tree, *self._dockerfile(request, place, opened)

    def _tree(self, place: str, what: str, opened: ExitStack) -> ContextFS:
        tree = self._reachable().tree(place, what)
        opened.callback(tree.close)
        return tree

    def _dockerfile(
        self, request: BuildRequest, context: str, opened: ExitStack
    ) -> tuple[str, ContextFS | None]:
        """Find the Dockerfile: beneath the working directory (Docker), or the context (ACR)."""
        files = self._reachable()
        if request.dockerfile is None:
            _require(files, posixpath.join(context, "Dockerfile"))
            return "Dockerfile", None
        inside = posixpath.normpath(posixpath.join(context, request.dockerfile))
        candidates = [beneath(request.working_directory, request.dockerfile)]
        if not inside.startswith((".", "/")):
            candidates.append(inside)
        for path in candidates:
            if not files.is_file(path):
                continue
            if not context or path.startswith(f"{context}/"):
                return posixpath.relpath(path, context or "."), None
            directory, name = posixpath.split(path)
            return name, self._tree(directory, "the Dockerfile's directory", opened)
        _require(files, candidates[-1])
        return posixpath.relpath(inside, context or "."), None

    def _secret(self, secret: BuildSecret, request: BuildRequest) -> Secret:
        if secret.value is not None:
            return Secret(secret.value.encode())
        if secret.path:
            path = beneath(request.working_directory, secret.path)
            data = self._reachable().read(path, MAX_SECRET)
            if data is None:
                raise InvalidInput(
                    f"the file of secret {secret.id!r} does not exist: {secret.path}"
                )
            return Secret(data)
        if secret.id not in self._secrets:
            raise InvalidInput(
                f"the build asks for secret {secret.id!r}, which the task does not have",
                hint="declare it under 'secrets', or give it a source: id=…,src=FILE or env=NAME",
            )
        return Secret(self._secrets[secret.id].encode())

    def _agents(self, asked: tuple[str, ...]) -> dict[str, str]:
        agents = {}
        for text in asked:
            name = text.partition("=")[0] or "default"
            if name not in self._ssh:
                raise InvalidInput(
                    f"the build asks for the SSH agent {name!r}, which this run does not have",
                    hint="a run gets an agent only where the one who starts it hands it over",
                )
            agents[name] = self._ssh[name]
        return agents

    def _reachable(self) -> WorkspaceFiles:
        if self._files is None:
            raise InvalidInput(
                "files of this runner's workspace are out of reach; only a build's context is not",
                hint="put the file into the context, or use a backend on this machine",
            )
        return self._files


def _require(files: WorkspaceFiles, path: str) -> None:
    # A link is left to BuildKit, which follows it inside the context.
    if not files.exists(path):
        raise InvalidInput(
            f"there is no Dockerfile {WORKSPACE}/{path}",
            hint="give its path with -f, relative to the context or the workingDirectory",
        )


class _Progress:
    """Passes the build's progress on; output of one vertex in whole lines."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rest: dict[tuple[str, str], bytes] = {}

    def vertex(self, vertex: Vertex) -> None:
        if vertex.state == "pending":
            return
        active = [action for action in vertex.actions.values() if action.total]
        self._output.vertex(
            digest=vertex.digest,
            name=vertex.name,
            state="error" if vertex.state == "canceled" else vertex.state,
            current=sum(action.current for action in active),
            total=sum(action.total for action in active),
            elapsed_s=vertex.elapsed_s,
        )

    def log(self, vertex: Vertex, stream: str, data: bytes) -> None:
        # Stages run side by side: without this their lines would mix.
        key = (vertex.digest, stream)
        head, newline, rest = (self._rest.get(key, b"") + data).rpartition(b"\n")
        if len(rest) > 65536:
            head, newline, rest = head + newline + rest, b"\n", b""
        self._rest[key] = rest
        if newline:
            self._output.write(stream, head + newline)

    def warning(self, vertex: Vertex | None, text: str, url: str) -> None:
        del vertex
        more = f" ({url})" if url else ""
        self._output.write("stderr", f"warning: {text}{more}\n".encode())

    def flush(self) -> None:
        rest, self._rest = self._rest, {}
        for (_, stream), data in rest.items():
            if data:
                self._output.write(stream, data + b"\n")
