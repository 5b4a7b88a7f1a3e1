"""One build from request to result, over a client's connection.

Options in, a SolveResult out; called by ``BuildKitClient.solve``. A build is
three things at once: a session on which the daemon calls back, a Solve call
that lasts as long as the build, and a Status stream that ends with it.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import grpc

from runners.clients.buildkit._pb import control_pb2
from runners.clients.buildkit.attach import Attachments
from runners.clients.buildkit.daemon import DaemonFacts
from runners.clients.buildkit.names import full_name
from runners.clients.buildkit.options import SolveOptions, SolveResult
from runners.clients.buildkit.request import shared_key, solve_request
from runners.clients.buildkit.session import Session
from runners.clients.buildkit.status import BuildState, Progress
from runners.clients.buildkit.transport import EngineTransport, Transport
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, RunnerLost, SystemFault

if TYPE_CHECKING:
    from runners.clients.buildkit.excerpt import Source

_CONTROL = "/moby.buildkit.v1.Control/"
# After Solve has returned, Status has this long to say more; less if it never spoke.
_SILENCE_S = 5.0
_SILENCE_UNHEARD_S = 0.5


class Build:
    """One build; ``run`` may be called once.

    Args:
        transport: The daemon's, shared with other builds.
        facts: What the daemon can do.
        client_id: Part of the key of incremental transfers.
        options: What to build.
        progress: Told from the thread that calls ``run``.
        cancel: Ends the build.
    """

    def __init__(
        self,
        transport: Transport,
        facts: DaemonFacts,
        client_id: str,
        options: SolveOptions,
        progress: Progress | None,
        cancel: Cancellation,
    ) -> None:
        self._transport = transport
        self._facts = facts
        self._client_id = client_id
        self._options = options
        self._cancel = cancel
        self._state = BuildState(progress)
        self._ref = os.urandom(13).hex()

    def run(self) -> SolveResult:
        """See ``BuildKitClient.solve``."""
        attachments = Attachments(self._options)
        try:
            request = solve_request(
                self._options,
                self._facts,
                ref=self._ref,
                client_id=self._client_id,
                upload_id=attachments.upload_id,
            )
            key = shared_key(self._options, self._client_id)
            session = Session(self._transport, attachments.handlers(), key)
            try:
                request.Session = session.id
                response = self._solve(request)
                # The daemon may be done with a result before we have written the last of it.
                attachments.check()
            finally:
                session.close()
        finally:
            attachments.close()
        return self._result(response, attachments)

    def _solve(self, request: control_pb2.SolveRequest) -> dict[str, str]:
        solve = (
            self._transport.channel()
            .unary_unary(
                f"{_CONTROL}Solve",
                request_serializer=control_pb2.SolveRequest.SerializeToString,
                response_deserializer=control_pb2.SolveResponse.FromString,
            )
            .future(request)
        )
        take_back = self._cancel.on_cancel(lambda: solve.cancel() and None)
        try:
            self._follow(solve)
            return dict(solve.result().ExporterResponse)
        except grpc.FutureCancelledError as error:
            raise self._cancel.reason from error
        except grpc.RpcError as error:
            self._cancel.check()
            raise self._failure(error) from error
        except BaseException:
            # An interrupt in the middle: the daemon must not go on without us.
            solve.cancel()
            raise
        finally:
            take_back()

    def _follow(self, solve: grpc.Future) -> None:
        status = self._transport.channel().unary_stream(
            f"{_CONTROL}Status",
            request_serializer=control_pb2.StatusRequest.SerializeToString,
            response_deserializer=control_pb2.StatusResponse.FromString,
        )(control_pb2.StatusRequest(Ref=self._ref))
        # Needed at the end; imported here, where the daemon has work to do meanwhile.
        from runners.clients.buildkit import provenance  # noqa: F401

        heard = _Hearing(status)
        solve.add_done_callback(lambda _: heard.expect_end())
        try:
            for reply in status:
                heard.note()
                self._state.apply(reply)
        except grpc.RpcError:
            # Whether the build failed is for Solve alone to say.
            return
        finally:
            heard.close()
            status.cancel()

    def _result(self, response: dict[str, str], attachments: Attachments) -> SolveResult:
        from runners.clients.buildkit.provenance import read_base_images
        from runners.clients.buildkit.reading import read_all

        image = response.get("containerimage.digest", "")
        config = response.get("containerimage.config.digest", "")
        if self._options.output.type == "image" and not image:
            raise SystemFault(
                "The build ended without an image.",
                hint="The engine ignored the exporter; its BuildKit may be too old.",
            )
        manifests = self._facts.manifests
        if not manifests:
            config = config or image
        return SolveResult(
            image_id=image if manifests else config,
            digest=image if manifests else "",
            config_digest=config,
            references=tuple(map(full_name, self._options.tags)),
            base_images=read_base_images(
                self._transport.channel(),
                self._ref,
                self._facts,
                self._state,
                self._local_digest,
                read_all(self._options, self._facts),
            ),
            response=response,
            transferred=attachments.transferred(),
            warnings=tuple(self._state.warnings),
        )

    def _local_digest(self, reference: str) -> str:
        from runners.clients.buildkit.engineapi import image_digest

        if isinstance(self._transport, EngineTransport):
            return image_digest(self._transport.dial, reference)
        return ""

    def _failure(self, error: grpc.RpcError) -> RunnerError:
        # Imported when needed: its tables of patterns are of no use to a build that succeeds.
        from runners.clients.buildkit.errors import SolveFailure, translate

        if not isinstance(error, grpc.Call):
            return RunnerLost(f"The build engine's connection broke: {error}.")
        packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        failure = SolveFailure.from_status(
            error.code().value[0],
            error.details() or "",
            packed if isinstance(packed, bytes) else None,
        )
        pushing = self._options.push
        return translate(failure, self._state, self._dockerfile, pushing=pushing)

    def _dockerfile(self) -> Source | None:
        from runners.clients.buildkit.reading import read_dockerfile

        return read_dockerfile(self._options)


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
