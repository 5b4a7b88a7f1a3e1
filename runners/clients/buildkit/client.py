"""BuildKitClient: one daemon, any number of builds.

Options in, results out, with progress on the way; called by sandboxes and by
``__main__``. A build is three things at once: a session on which the daemon
calls back, a Solve call that lasts as long as the build, and a Status stream
that ends with it.
"""

from __future__ import annotations

import secrets as random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import grpc

from runners.clients.buildkit._pb import control_pb2
from runners.clients.buildkit.attach import Attachments
from runners.clients.buildkit.contextfs import ContextFS, FileUnreadable
from runners.clients.buildkit.daemon import DaemonFacts, read_facts
from runners.clients.buildkit.engineapi import image_digest
from runners.clients.buildkit.errors import SolveFailure, strip, translate
from runners.clients.buildkit.excerpt import Source
from runners.clients.buildkit.names import full_name
from runners.clients.buildkit.options import SolveOptions, SolveResult
from runners.clients.buildkit.provenance import read_base_images
from runners.clients.buildkit.request import shared_key, solve_request
from runners.clients.buildkit.session import Session
from runners.clients.buildkit.status import BuildState, Progress
from runners.clients.buildkit.transport import EngineTransport, Transport
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, RunnerLost, SystemFault, Unavailable

_CONTROL = "/moby.buildkit.v1.Control/"
_CALL_TIMEOUT_S = 30.0
# After Solve has returned, Status has this long to say more; less if it never spoke.
_SILENCE_S = 5.0
_SILENCE_UNHEARD_S = 0.5
_DOCKERFILE_LIMIT = 1 << 20


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._transport.close()

    # Asking about the daemon.

    def facts(self) -> DaemonFacts:
        """Return what the daemon can do; asked once.

        Raises:
            Unavailable: the daemon does not answer.
        """
        if self._facts is None:
            answer = self._ask(
                "ListWorkers", control_pb2.ListWorkersRequest(), control_pb2.ListWorkersResponse
            )
            self._facts = read_facts(
                answer.record, engine=isinstance(self._transport, EngineTransport)
            )
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
        call = self._transport.channel().unary_unary(
            f"{_CONTROL}{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        with _translated(method):
            return call(request, timeout=_CALL_TIMEOUT_S)

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
        cancel = cancel or Cancellation()
        cancel.check()
        facts = self.facts()
        attachments = Attachments(options)
        ref = random.token_hex(13)
        request = solve_request(
            options,
            facts,
            ref=ref,
            session_id="",
            client_id=self._client_id,
            upload_id=attachments.upload_id,
        )
        session = Session(
            self._transport, attachments.handlers(), shared_key(options, self._client_id)
        )
        state = BuildState(progress)
        try:
            request.Session = session.id
            response = self._run(request, options, state, cancel)
            attachments.check()
        finally:
            session.close()
            attachments.close()
        return self._result(options, facts, ref, response, state, attachments)

    def _run(
        self,
        request: control_pb2.SolveRequest,
        options: SolveOptions,
        state: BuildState,
        cancel: Cancellation,
    ) -> dict[str, str]:
        channel = self._transport.channel()
        solve = channel.unary_unary(
            f"{_CONTROL}Solve",
            request_serializer=control_pb2.SolveRequest.SerializeToString,
            response_deserializer=control_pb2.SolveResponse.FromString,
        ).future(request)
        take_back = cancel.on_cancel(lambda: solve.cancel() and None)
        try:
            self._follow(channel, request.Ref, solve, state)
            return dict(solve.result().ExporterResponse)
        except grpc.FutureCancelledError as error:
            raise cancel.reason from error
        except grpc.RpcError as error:
            cancel.check()
            raise _solve_error(error, options, state) from error
        except BaseException:
            # An interrupt in the middle: the daemon must not go on without us.
            solve.cancel()
            raise
        finally:
            take_back()

    def _follow(
        self, channel: grpc.Channel, ref: str, solve: grpc.Future, state: BuildState
    ) -> None:
        status = channel.unary_stream(
            f"{_CONTROL}Status",
            request_serializer=control_pb2.StatusRequest.SerializeToString,
            response_deserializer=control_pb2.StatusResponse.FromString,
        )(control_pb2.StatusRequest(Ref=ref))
        heard = _Hearing(status)
        solve.add_done_callback(lambda _: heard.expect_end())
        try:
            for reply in status:
                heard.note()
                state.apply(reply)
        except grpc.RpcError:
            # Whether the build failed is for Solve alone to say.
            return
        finally:
            heard.close()
            status.cancel()

    def _result(
        self,
        options: SolveOptions,
        facts: DaemonFacts,
        ref: str,
        response: dict[str, str],
        state: BuildState,
        attachments: Attachments,
    ) -> SolveResult:
        image = response.get("containerimage.digest", "")
        config = response.get("containerimage.config.digest", "")
        if options.output.type == "image" and not image:
            raise SystemFault(
                "The build ended without an image.",
                hint="The engine ignored the exporter; its BuildKit may be too old.",
            )
        if not facts.manifests:
            config = config or image
        return SolveResult(
            image_id=image if facts.manifests else config,
            digest=image if facts.manifests else "",
            config_digest=config,
            references=tuple(map(full_name, options.tags)),
            base_images=read_base_images(
                self._transport.channel(), ref, facts, state, self._local_digest
            ),
            response=response,
            transferred=attachments.transferred(),
            warnings=tuple(state.warnings),
        )

    def _local_digest(self, reference: str) -> str:
        if isinstance(self._transport, EngineTransport):
            return image_digest(self._transport.dial, reference)
        return ""


class _Hearing:
    """Ends a Status stream that stays silent after its Solve has returned."""

    def __init__(self, status: grpc.Call) -> None:
        self._status = status
        self._lock = threading.Lock()
        self._heard = 0.0
        self._timer: threading.Timer | None = None
        self._closed = False

    def note(self) -> None:
        self._heard = time.monotonic()

    def expect_end(self) -> None:
        limit = _SILENCE_S if self._heard else _SILENCE_UNHEARD_S
        with self._lock:
            if self._closed:
                return
            self._timer = threading.Timer(limit, self._give_up, (limit,))
            self._timer.daemon = True
            self._timer.start()

    def _give_up(self, limit: float) -> None:
        if time.monotonic() - self._heard >= limit:
            self._status.cancel()
        else:
            self.expect_end()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
            timer.join()


def _solve_error(error: grpc.RpcError, options: SolveOptions, state: BuildState) -> RunnerError:
    if not isinstance(error, grpc.Call):
        return RunnerLost(f"The build engine's connection broke: {error}.")
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    failure = SolveFailure.from_status(
        error.code().value[0],
        error.details() or "",
        packed if isinstance(packed, bytes) else None,
    )
    return translate(failure, state, lambda: _dockerfile(options), pushing=options.push)


def _dockerfile(options: SolveOptions) -> Source | None:
    fs = options.dockerfile_fs or options.context
    if not isinstance(fs, ContextFS):
        return None
    text = b""
    try:
        for part in fs.read(options.dockerfile.encode(), 1 << 16):
            text += part
            if len(text) > _DOCKERFILE_LIMIT:
                return None
    except FileUnreadable:
        return None
    return Source(options.dockerfile, text.decode("utf-8", "replace"))


@contextmanager
def _translated(method: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        text = strip(error.details() or "") if isinstance(error, grpc.Call) else str(error)
        raise Unavailable(f"The build engine did not answer {method}: {text}.") from error
