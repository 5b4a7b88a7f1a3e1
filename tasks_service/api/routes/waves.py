"""Waves: list, show, pause, resume, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from tasks_service.api.caller import Author, Caller, Reader
from tasks_service.api.models.images import WavePageView, WaveView, wave_view
from tasks_service.api.parts import Parts, Wired
from tasks_service.errors import Conflict, NotFound
from tasks_service.model.cascade import Wave, WaveStatus

router = APIRouter(prefix="/api/v1", tags=["waves"])
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_OPEN = (WaveStatus.RUNNING, WaveStatus.PAUSED)


@router.get("/waves")
def list_waves(
    caller: Reader,
    parts: Wired,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str, Query(max_length=20, pattern="^[0-9]*$")] = "",
) -> WavePageView:
    """List waves, newest first."""
    found = parts.store.cascades.waves(before=int(cursor) if cursor else None, limit=limit)
    following = str(found[-1].number) if len(found) == limit else ""
    return WavePageView(
        items=[wave_view(wave) for wave in found if _sees(caller, wave)], cursor=following
    )


@router.get("/waves/{number}")
def show_wave(number: Number, caller: Reader, parts: Wired) -> WaveView:
    """Return a wave."""
    return wave_view(_find(parts, caller, number))


@router.post("/waves/{number}/pause")
def pause(number: Number, caller: Author, parts: Wired) -> WaveView:
    """Start nothing more of a wave for now; what runs ends."""
    return _set(parts, caller, number, (WaveStatus.RUNNING,), WaveStatus.PAUSED)


@router.post("/waves/{number}/resume")
def resume(number: Number, caller: Author, parts: Wired) -> WaveView:
    """Go on with a paused wave."""
    return _set(parts, caller, number, (WaveStatus.PAUSED,), WaveStatus.RUNNING)


@router.post("/waves/{number}/cancel")
def cancel(number: Number, caller: Author, parts: Wired) -> WaveView:
    """Start nothing more of a wave, ever; what runs ends."""
    return _set(parts, caller, number, _OPEN, WaveStatus.CANCELED)


def _set(
    parts: Parts, caller: Caller, number: int, was: tuple[WaveStatus, ...], status: WaveStatus
) -> WaveView:
    wave = _find(parts, caller, number)
    if wave.status is not status and not parts.store.cascades.set_status(number, was, status):
        stands = parts.store.cascades.wave(number).status
        raise Conflict(f"wave {number} is {stands}", hint="`tasks waves show` tells more")
    caller.audit(parts.store, f"wave.{str(status).lower()}", f"waves/{number}")
    return wave_view(parts.store.cascades.wave(number))


def _find(parts: Parts, caller: Caller, number: int) -> Wave:
    wave = parts.store.cascades.wave(number)
    if not _sees(caller, wave):
        raise NotFound(f"there is no wave {number}", hint="`tasks waves list` shows them")
    return wave


def _sees(caller: Caller, wave: Wave) -> bool:
    # A wave is shown to who may see all of it: names of tasks are not for everybody.
    return all(caller.sees(member.task) for member in wave.members) and all(
        caller.sees(task) for task in wave.refused
    )
