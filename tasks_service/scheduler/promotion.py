"""Put tags back to what an earlier run pushed, where a rebuild would stand on the same again.

When a base goes back to what it was, what was built on it then is there: nothing need be
built. In: a member of a wave and the digests it is to stand on. Out: tags that mean an
earlier manifest, byte for byte, and the record of it. Whatever is in doubt is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from runners.model.errors import RunnerError
from runners.model.status import RunStatus
from tasks_service.cascades.graph import Graph
from tasks_service.config import Settings
from tasks_service.model.cascade import Edge, Wave
from tasks_service.model.run import NO_SOURCE, Run, RunFilter, RunRequest
from tasks_service.process_log import get_logger
from tasks_service.registries import RegistryClient
from tasks_service.registries.access import own_login, policy_of
from tasks_service.store import Store
from tasks_service.store.edges import canonical

_HISTORY = 50
_RUNS = 20
_log = get_logger(__name__)


class Tags(Protocol):
    """Moves tags (``registries.RegistryClient``)."""

    def retag(self, reference: str, digest: str) -> None:
        """Have a tag mean a manifest that its repository holds."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


Open = Callable[[Callable[[str], tuple[str, str]]], Tags]
"""Takes what tells the login of a host."""


class Promotions:
    """Restores what was built before. One thread at a time.

    Args:
        store: The record of runs.
        settings: The service's registry and login.
        tags: Opens what moves tags.
    """

    def __init__(self, store: Store, settings: Settings, *, tags: Open | None = None) -> None:
        self._store = store
        self._settings = settings
        self._open: Open = tags or (lambda login: RegistryClient(policy_of(settings), login))

    def restored(
        self,
        wave: Wave,
        task: str,
        request: Callable[[], RunRequest],
        because: Edge,
        graph: Graph,
        wanted: Mapping[str, str],
    ) -> bool:
        """Do without a run, if that can be; idempotent.

        Args:
            wave: Whose member the task is.
            task: Its name.
            request: Returns what would be run, as it would be stored.
            because: What moved.
            graph: Who stands on whom.
            wanted: Digests that the run would stand on.

        Returns:
            Whether nothing is left to be done.
        """
        moves = self._store.cascades.changes_of(because.reference, limit=_HISTORY)
        if all(move.old != wanted.get(because.reference) for move in moves):
            # It never was that: nothing was built on it.
            return False
        run = self._run(task, request(), graph, wanted)
        if run is None or run.record is None:
            return False
        if not self._store.cascades.waits(wave.number, task):
            # Another scheduler was faster, or a person ended the wave.
            return True
        try:
            self._retag(task, _common(run.record, graph, task))
        except RunnerError as error:
            _log.warning("not_restored", task=task, run_id=run.id, error=error.message)
            return False
        words = f"{because.reference} went back; run {run.id} had pushed this"
        done = self._store.cascades.restored(wave.number, task, run.id, run.record, reason=words)
        # Whoever wrote first what became of the member: no run is to follow.
        if done:
            _log.info("restored", wave=wave.number, task=task, run_id=run.id)
        return True

    def _run(
        self, task: str, request: RunRequest, graph: Graph, wanted: Mapping[str, str]
    ) -> Run | None:
        """Return the newest earlier run that did what a run would do now."""
        outputs = graph.outputs_of.get(task, ())
        last = self._store.runs.get(outputs[0].run_id) if outputs else None
        if last is None or not _same(last.request, request):
            return None
        which = RunFilter(task=task, statuses=(RunStatus.SUCCEEDED,))
        for run in self._store.runs.list(which, limit=_RUNS).runs:
            if (
                run.id != last.id
                and run.commit == last.commit
                # What has no commit may have been anything then.
                and (run.commit or run.request.source == NO_SOURCE)
                and _same(run.request, request)
                and _stands(run.record or {}, graph, task, wanted)
                and _common(run.record or {}, graph, task)
            ):
                return run
        return None

    def _retag(self, task: str, images: Mapping[str, str]) -> None:
        def login(host: str) -> tuple[str, str]:
            own = own_login(self._settings, host)
            if own[0]:
                return own
            for found in self._store.tasks.secrets(task).credentials:
                if found.registry == host:
                    return found.username, found.password
            return "", ""

        tags = self._open(login)
        try:
            for reference, digest in sorted(images.items()):
                tags.retag(reference, digest)
        finally:
            tags.close()


def _same(one: RunRequest, other: RunRequest) -> bool:
    # Of what is secret only the names are compared.
    return replace(one, pins=()) == replace(other, pins=())


def _stands(record: Mapping[str, Any], graph: Graph, task: str, wanted: Mapping[str, str]) -> bool:
    """Return whether a run stood on all that is wanted, and on nothing else."""
    used: dict[str, str] = {}
    for base in record.get("baseImages") or ():
        name, digest = canonical(str(base.get("reference", ""))), str(base.get("digest", ""))
        if base.get("pinned") is True:
            name = f"{name}@{digest}"
        if not name or used.setdefault(name, digest) != digest:
            return False
    edges = graph.edges_of.get(task, ())
    needed = {
        edge.reference: edge.reference.partition("@")[2] or wanted.get(edge.reference, "")
        for edge in edges
    }
    return used == needed and all(used.values())


def _common(record: Mapping[str, Any], graph: Graph, task: str) -> Mapping[str, str]:
    """Return what a run pushed under names that the last one pushed, too."""
    names = {output.reference for output in graph.outputs_of.get(task, ())}
    pushed = {
        canonical(str(image.get("reference", ""))): str(image.get("digest", ""))
        for image in record.get("outputImages") or ()
    }
    return {name: digest for name, digest in pushed.items() if name in names and digest}
