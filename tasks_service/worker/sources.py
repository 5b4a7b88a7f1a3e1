"""Sources of runs as a worker opens them: with the run's own login, and no other.

In: a Job. Out: an open Source. Files, keys and tokens of the machine are for
nobody's run.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from tasks_service.blobs import BlobStore
from tasks_service.config import Settings
from tasks_service.errors import NotFound
from tasks_service.execution.job import Job, Say
from tasks_service.model.run import UPLOAD
from tasks_service.registries.access import own_login, policy_of
from tasks_service.runs.source_settings import service_source_settings, with_token
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.location import (
    ArtifactLocation,
    GitLocation,
    LocalDirectory,
    parse_location,
)
from tasks_service.sources.mirror import Mirrors
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.upload import open_upload


class ServiceSources:
    """Opens what a job names. Thread-safe."""

    def __init__(
        self, settings: Settings, uploads: BlobStore, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._settings = settings
        self._uploads = uploads
        self._base = dataclasses.replace(
            service_source_settings(settings, environ),
            submodules=settings.git_submodules,
            lfs=settings.git_lfs,
            mirrors=Mirrors(settings.state_dir / "mirrors", settings.source_cache)
            if settings.source_cache
            else None,
        )

    @property
    def folder(self) -> Path:
        """Where fetched sources live."""
        return self._base.folder

    def open(self, job: Job, cancel: Cancellation, say: Say) -> AbstractContextManager[Source]:
        """Yield the source of a job; see ``sources.open_source``.

        Raises:
            InvalidInput: It names a place of this machine, or breaks another rule.
            SourceNotFound: The upload is not there any more.
        """
        text = job.request.source
        if text.startswith(UPLOAD):
            return self._upload(text.removeprefix(UPLOAD), cancel)
        location = parse_location(text, allow_http=self._base.allow_http)
        if isinstance(location, LocalDirectory):
            raise InvalidInput(
                f"source {text[:80]!r} is a path, and paths are of no use on a server",
                hint="name a Git or archive URL, or upload the directory",
            )
        settings = self._base
        if isinstance(location, GitLocation):
            settings = with_token(settings, location, job.secrets.git_token)
        if isinstance(location, ArtifactLocation):
            settings = dataclasses.replace(
                settings,
                egress=policy_of(self._settings),
                registry_login=lambda host: self._registry_login(job, host),
            )
        return open_source(
            text, settings=settings, cancel=cancel, notice=lambda words: say("info", words)
        )

    def _registry_login(self, job: Job, host: str) -> tuple[str, str]:
        """Return the run's own login of a registry, or the service's; no stranger gets one."""
        if not job.request.trusted:
            return "", ""
        for login in job.secrets.credentials:
            if login.registry.partition("/")[0] == host:
                return login.username, login.password
        return own_login(self._settings, host)

    @contextmanager
    def _upload(self, digest: str, cancel: Cancellation) -> Iterator[Source]:
        with tempfile.TemporaryDirectory(prefix="tasks-upload-") as folder:
            path = Path(folder) / "context"
            try:
                with self._uploads.open(digest) as blocks, path.open("wb") as file:
                    for block in blocks:
                        cancel.check()
                        file.write(block)
            except NotFound:
                raise SourceNotFound(
                    "the uploaded context is not there any more", hint="start the run anew"
                ) from None
            with open_upload(path, settings=self._base, cancel=cancel) as source:
                yield source
