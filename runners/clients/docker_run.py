"""The life of one container: make, attach, start, stream, wait, stop, remove.

ContainerRequests in, output and exit codes out. One ContainerRunner serves a
sandbox. Used by clients/docker_sandbox.py.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from runners.clients.docker_reaper import Reaper
from runners.clients.docker_refusals import StartBroken, cannot_start, explain_exit, refused
from runners.clients.docker_sdk import EngineClient, EngineError, Hijacked
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, RunnerError
from runners.sandbox import ContainerRequest, Output

log = logging.getLogger(__name__)

TERM_GRACE_S = 0.4
"""How long a container may take to end by itself when its step is stopped."""
LOST_AFTER_S = 10.0
START_ATTEMPTS = 3
"""How long the engine may take to end it after that, before we let go."""
CHUNK = 64 * 1024
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}


@dataclass(slots=True)
class _Prepared:
    request: ContainerRequest
    generation: int
    done: threading.Event
    container: str | None = None


class ContainerRunner:
    """Runs containers on one engine. Thread-safe.

    ``body`` makes the creation body of a request; ``pull`` gets an image.
    """

    def __init__(
        self,
        client: EngineClient,
        body: Callable[[ContainerRequest], dict[str, Any]],
        pull: Callable[[ContainerRequest, Output, Cancellation], None],
        name: Callable[[str], str],
    ) -> None:
        self._client = client
        self._body = body
        self._pull = pull
        self._name = name
        self._lock = threading.Lock()
        self._generation = 0
        self._prepared: dict[str, _Prepared] = {}
        self._used: dict[str, str] = {}
        self._reaper = Reaper(client)

    def images_changed(self) -> None:
        """Take note that a name may now mean another image; what is prepared is void."""
        with self._lock:
            self._generation += 1

    def prepare(self, request: ContainerRequest) -> None:
        """Create the container of ``request`` in the background (see Sandbox)."""
        with self._lock:
            if request.name in self._prepared or request.pull:
                return
            entry = _Prepared(request, self._generation, threading.Event())
            self._prepared[request.name] = entry
        threading.Thread(
            target=self._prepare, args=(entry,), name=f"prepare-{request.name}", daemon=True
        ).start()

    def _prepare(self, entry: _Prepared) -> None:
        try:
            entry.container = self._create(entry.request)
        except RunnerError as error:
            # The run itself will meet the same error, and tell it.
            log.debug("prepare %s: %s", entry.request.name, error)
        finally:
            entry.done.set()

    def run(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        """See Sandbox.run_container."""
        for _ in range(START_ATTEMPTS - 1):
            try:
                return self._run_once(request, output, cancel)
            except StartBroken as error:
                log.warning("%s; starting it again", error.message)
        return self._run_once(request, output, cancel)

    def _run_once(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        cancel.check()
        container = self._take_prepared(request) or self._make(request, output, cancel)
        with self._lock:
            self._used[request.name] = container
        if request.detach:
            try:
                self._start(container, request)
            except RunnerError:
                self._reaper.remove(container)
                raise
            return 0
        try:
            return self._run_attached(container, request, output, cancel)
        finally:
            if not request.keep:
                self._reaper.remove(container)

    def _take_prepared(self, request: ContainerRequest) -> str | None:
        with self._lock:
            entry = self._prepared.pop(request.name, None)
        if entry is None:
            return None
        entry.done.wait()
        if entry.container is None:
            return None
        if entry.request != request or entry.generation != self._generation:
            self._reaper.remove(entry.container)
            self._reaper.wait_for(entry.container)
            return None
        return entry.container

    def _make(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> str:
        if request.pull:
            self._pull(request, output, cancel)
        try:
            return self._create(request)
        except EngineError as error:
            if error.status != 404 or "no such image" not in error.reason.lower():
                raise refused(request, error) from error
        self._pull(request, output, cancel)
        cancel.check()
        try:
            return self._create(request)
        except EngineError as error:
            raise refused(request, error) from error

    def _create(self, request: ContainerRequest) -> str:
        with self._lock:
            before = self._used.pop(request.name, None)
        if before is not None:
            # An earlier attempt's container still has the name (W-16).
            self._reaper.remove(before)
            self._reaper.wait_for(before)
        name = self._name(request.name)
        answer = self._client.call(
            "POST",
            "/containers/create",
            f"creating the container of step '{request.name}'",
            body=self._body(request),
            params={"name": name},
        )
        container = str((answer or {}).get("Id", ""))
        if not container.isalnum():
            raise InvalidInput(f"the engine gave no container for step '{request.name}'")
        return container

    def _start(self, container: str, request: ContainerRequest) -> None:
        try:
            self._client.call(
                "POST",
                f"/containers/{container}/start",
                f"starting the container of step '{request.name}'",
            )
        except EngineError as error:
            raise cannot_start(request, error) from error

    def _run_attached(
        self, container: str, request: ContainerRequest, output: Output, cancel: Cancellation
    ) -> int:
        stream = self._client.hijack(
            f"/containers/{quote(container)}/attach?stream=1&stdout=1&stderr=1"
        )
        ended = threading.Event()
        tail = _Tail(output)
        try:
            cancel.check()
            self._start(container, request)
            stopper = _Stopper(self._client, container, stream, ended, cancel)
            forget = cancel.on_cancel(stopper.begin)
            try:
                copy_frames(stream, tail, tty=bool(request.options.get("Tty")))
                code = self._wait(container, request, cancel)
            finally:
                ended.set()
                forget()
        finally:
            stream.close()
        # Stopped work reports why it was stopped, not how it died.
        cancel.check()
        if code:
            explain_exit(self._client, container, request, code, tail.last)
        return code

    def _wait(self, container: str, request: ContainerRequest, cancel: Cancellation) -> int:
        with self._client.cancellable(cancel, grace_s=LOST_AFTER_S):
            answer = self._client.call(
                "POST",
                f"/containers/{container}/wait",
                f"waiting for the container of step '{request.name}'",
                timeout_s=None,
            )
        code = (answer or {}).get("StatusCode")
        if not isinstance(code, int):
            raise InvalidInput(f"the engine gave no exit code for step '{request.name}'")
        return code

    def remove(self, container: str) -> None:
        """Remove a container in the background, whatever its state."""
        self._reaper.remove(container)

    def close(self, *, disposable: bool) -> None:
        """Remove what runs and what was prepared; at once if the engine goes anyway."""
        with self._lock:
            prepared, self._prepared = list(self._prepared.values()), {}
        for entry in prepared:
            if not disposable:
                entry.done.wait(LOST_AFTER_S)
                if entry.container is not None:
                    self._reaper.remove(entry.container)
        self._reaper.close(wait=not disposable)


class _Tail:
    """Passes output on and remembers the last bytes of stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.last = b""

    def write(self, stream: str, data: bytes) -> None:
        if stream == "stderr":
            self.last = (self.last + data)[-256:]
        self._output.write(stream, data)


class _Stopper:
    """Ends a container when its step is cancelled: TERM, a grace, KILL, letting go."""

    def __init__(
        self,
        client: EngineClient,
        container: str,
        stream: Hijacked,
        ended: threading.Event,
        cancel: Cancellation,
    ) -> None:
        self._client = client
        self._container = container
        self._stream = stream
        self._ended = ended
        self._cancel = cancel

    def begin(self) -> None:
        """Start ending it; returns at once."""
        threading.Thread(target=self._stop, name="stop-container", daemon=True).start()

    def _stop(self) -> None:
        try:
            self._signal("SIGTERM")
            if self._ended.wait(TERM_GRACE_S):
                return
            self._thaw()
            self._signal("SIGKILL")
        finally:
            if not self._ended.wait(LOST_AFTER_S):
                self._stream.shut()

    def _signal(self, name: str) -> None:
        path = f"/containers/{self._container}/kill"
        try:
            self._client.call("POST", path, "stopping a container", params={"signal": name})
        except RunnerError as error:
            log.debug("%s", error)

    def _thaw(self) -> None:
        """Unpause it: a frozen container would not even take a KILL (F13)."""
        path = f"/containers/{self._container}"
        try:
            state = (self._client.call("GET", f"{path}/json", "looking at it") or {}).get("State")
            if (state or {}).get("Paused"):
                self._client.call("POST", f"{path}/unpause", "unpausing a container")
        except RunnerError as error:
            log.debug("%s", error)


def copy_frames(stream: Hijacked, output: Any, *, tty: bool) -> None:
    """Copy an attached stream to ``output`` until it ends.

    Frames are passed on in pieces, so that a frame's announced size costs no
    memory.
    """
    if tty:
        while data := stream.read(CHUNK):
            output.write("stdout", data)
        return
    while len(header := stream.read_exactly(8)) == 8:
        kind, left = struct.unpack(">BxxxL", header)
        while left:
            data = stream.read(min(left, CHUNK))
            if not data:
                return
            left -= len(data)
            output.write(_STREAMS.get(kind, "stderr"), data)
