"""BuildKitClient: one daemon, any number of builds.

Options in, results out, with progress on the way; called by sandboxes and by
``__main__``. The builds themselves are in solve.py, which is imported with the
first one: meanwhile the daemon has time to answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import grpc

from runners.clients.buildkit._pb import control_pb2
from runners.clients.buildkit.daemon import DaemonFacts, read_facts
from runners.clients.buildkit.transport import EngineTransport, Transport
from runners.model.cancellation import Cancellation
from runners.model.errors import Unavailable

if TYPE_CHECKING:
    from runners.clients.buildkit.options import SolveOptions, SolveResult
    from runners.clients.buildkit.status import Progress

_CONTROL = "/moby.buildkit.v1.Control/"
_CALL_TIMEOUT_S = 30.0


class BuildKitClient:
    """A connection to one daemon. Thread-safe; builds may run side by side.

    Args:
        transport: How the daemon is reached; closed with the client.
        client_id: Part of the key of incremental transfers. Give the same
            one each time to keep the daemon's snapshots of a directory.
    """

    def __init__(self, transport: Transport, *, client_id: str = "") -> None:
        self._transport = transport
        self._client_id = client_id
        self._facts: DaemonFacts | None = None
        self._asked: grpc.Future | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._transport.close()

    # Asking about the daemon.

    def connect(self) -> None:
        """Begin to ask the daemon what it can do; returns at once. Calling it is optional.

        Raises:
            Unavailable: the daemon cannot be reached.
        """
        with self._lock:
            if self._asked is None:
                method = self._method("ListWorkers", control_pb2.ListWorkersResponse)
                self._asked = method.future(
                    control_pb2.ListWorkersRequest(), timeout=_CALL_TIMEOUT_S
                )

    def facts(self) -> DaemonFacts:
        """Return what the daemon can do; asked once.

        Raises:
            Unavailable: the daemon does not answer.
        """
        self.connect()
        with self._lock:
            if self._facts is None and self._asked is not None:
                asked, self._asked = self._asked, None
                with _translated("ListWorkers"):
                    records = asked.result().record
                self._facts = read_facts(
                    records, engine=isinstance(self._transport, EngineTransport)
                )
                self._asked = asked
        if self._facts is None:
            raise Unavailable("The build engine did not tell its workers.")
        return self._facts

    def version(self) -> str:
        """Return BuildKit's version, empty where the daemon is too old to tell (20.10)."""
        try:
            answer = self._ask("Info", control_pb2.InfoRequest(), control_pb2.InfoResponse)
        except Unavailable as error:
            cause = error.__cause__
            if isinstance(cause, grpc.Call) and cause.code() is grpc.StatusCode.UNIMPLEMENTED:
                return ""
            raise
        return str(answer.buildkitVersion.version)

    def disk_usage(self, *filters: str) -> list[control_pb2.UsageRecord]:
        """Return the records of the build cache, for instance of ``type==source.local``."""
        answer = self._ask(
            "DiskUsage",
            control_pb2.DiskUsageRequest(filter=filters),
            control_pb2.DiskUsageResponse,
        )
        return list(answer.record)

    def prune(
        self,
        *filters: str,
        everything: bool = False,
        keep_s: float = 0,
        keep_bytes: int = 0,
    ) -> int:
        """Delete unused cache records; return the bytes set free.

        Args:
            filters: As for ``disk_usage``; none means any.
            everything: Also internal and shared records.
            keep_s: Keep what was used within this many seconds.
            keep_bytes: Keep this much.
        """
        request = control_pb2.PruneRequest(
            filter=filters,
            all=everything,
            keepDuration=int(keep_s * 1e9),
            reservedSpace=keep_bytes,
        )
        call = self._transport.channel().unary_stream(
            f"{_CONTROL}Prune",
            request_serializer=control_pb2.PruneRequest.SerializeToString,
            response_deserializer=control_pb2.UsageRecord.FromString,
        )
        with _translated("Prune"):
            return sum(record.Size for record in call(request))

    def _ask(self, method: str, request: Any, answer: Any) -> Any:
        with _translated(method):
            return self._method(method, answer)(request, timeout=_CALL_TIMEOUT_S)

    def _method(self, method: str, answer: Any) -> Any:
        return self._transport.channel().unary_unary(
            f"{_CONTROL}{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    # Building.

    def solve(
        self,
        options: SolveOptions,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
    ) -> SolveResult:
        """Run one build to its end.

        ``progress`` is called from the calling thread. When this returns or
        raises, the daemon works on nothing of this build any more (a few
        seconds' grace apart) and no thread or socket of it is left.

        Raises:
            InvalidInput: Dockerfile syntax, a missing file, an option that
                cannot be or that this daemon cannot do.
            StepFailed: a RUN failed, a base image cannot be had.
            Denied, Unavailable: the registry refused a push, or was not there.
            RunnerLost: the daemon went away.
            Canceled: or whatever reason ``cancel`` carries.
        """
        from runners.clients.buildkit.solve import Build

        cancel = cancel or Cancellation()
        cancel.check()
        return Build(
            self._transport, self.facts(), self._client_id, options, progress, cancel
        ).run()


@contextmanager
def _translated(method: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        text = error.details() if isinstance(error, grpc.Call) else str(error)
        raise Unavailable(f"The build engine did not answer {method}: {text}.") from error
