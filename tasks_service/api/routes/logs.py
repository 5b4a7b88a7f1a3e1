"""Logs of runs: whole or in parts as text or JSON lines, and live as events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from runners.model.errors import InvalidInput
from tasks_service.api.caller import Reader
from tasks_service.api.following import Follow, Place
from tasks_service.api.log_text import as_ndjson, as_text
from tasks_service.api.models.base import parse_time
from tasks_service.api.parts import Parts, Wired
from tasks_service.model.log import LogChunk
from tasks_service.runs.lifecycle import find_run

router = APIRouter(prefix="/api/v1", tags=["logs"])
NDJSON = "application/x-ndjson"
_MAX_NUMBER = (1 << 31) - 1

After = Annotated[int, Query(ge=0, le=_MAX_NUMBER, description="Only what follows this chunk.")]
Tail = Annotated[int | None, Query(ge=0, le=100_000, description="Only the last so many lines.")]
Since = Annotated[str, Query(max_length=64, description="Only what came since (RFC 3339).")]
Step = Annotated[str | None, Query(max_length=256, description="Only this step's.")]


def _place(
    parts: Parts, run_id: str, *, after: int, tail: int | None, since: str, step: str | None
) -> Place:
    try:
        moment = parse_time(since) if since else None
    except ValueError as error:
        raise InvalidInput(f"since: {error}") from None
    place = Place(after=after, step=step, since=moment)
    if tail is not None:
        begin, skip = parts.logs.tail(run_id, tail, step=step)
        if begin >= after:
            place.after, place.skip = begin, skip
    return place


@router.get(
    "/runs/{run_id}/logs",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/plain": {}, NDJSON: {}}}},
)
def download(  # noqa: PLR0913, PLR0917 - one parameter a filter
    run_id: str,
    caller: Reader,
    parts: Wired,
    request: Request,
    step: Step = None,
    after: After = 0,
    tail: Tail = None,
    since: Since = "",
    timestamps: bool = False,
) -> StreamingResponse:
    """Return a run's log as far as it is: text, or JSON lines (by Accept)."""
    find_run(parts.store, run_id, caller.sees)
    place = _place(parts, run_id, after=after, tail=tail, since=since, step=step)
    chunks = _shown(parts, run_id, place)
    if NDJSON in request.headers.get("accept", ""):
        return StreamingResponse(as_ndjson(chunks), media_type=NDJSON)
    text = as_text(chunks, named=step is None, timestamps=timestamps)
    return StreamingResponse(text, media_type="text/plain; charset=utf-8")


def _shown(parts: Parts, run_id: str, place: Place) -> Iterator[LogChunk]:
    for chunk in parts.logs.read(run_id, after=place.after, step=place.step):
        shown = place.take(chunk)
        if shown is not None:
            yield shown


@router.get(
    "/runs/{run_id}/logs/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def follow(
    run_id: str,
    caller: Reader,
    parts: Wired,
    step: Step = None,
    after: After = 0,
    tail: Tail = None,
    since: Since = "",
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:
    """Follow a run's log and status until its end, as server-sent events.

    Events: ``log`` (id: number of the chunk), ``status``, and ``end`` at last.
    Last-Event-ID resumes after that chunk: nothing is lost or repeated.
    """
    find_run(parts.store, run_id, caller.sees)
    parts.streams.check()
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdecimal():
            raise InvalidInput("Last-Event-ID is none of this stream")
        place = Place(after=min(int(last_event_id), _MAX_NUMBER), step=step)
    else:
        place = _place(parts, run_id, after=after, tail=tail, since=since, step=step)
    events = Follow(parts.store, parts.logs, run_id, place)

    async def stream() -> AsyncIterator[bytes]:
        with parts.streams.opened() as opened:
            async for block in events.events(opened):
                yield block

    return StreamingResponse(
        stream(),
        media_type="text/event-stream",
        # Proxies that collect answers would hold the log back.
        headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
    )
