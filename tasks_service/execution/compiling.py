"""A RunRequest and its open source to a plan: task file, text, command or quick build.

Called by ``execution.run``. Which of the request's fields decides is told in
RunRequest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runners.model.cancellation import Cancellation
from runners.model.plan import Plan
from tasks_service.execution.inputs import Inputs
from tasks_service.execution.job import Job, Place
from tasks_service.plans.compile import CompileOptions, SecretRequest, SecretResolver, compile_task
from tasks_service.plans.variables import RunVariables
from tasks_service.sources.open import Source


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a request makes of a source.

    Attributes:
        plan: What to run.
        texts: Texts of the author's own that name registries: on the author's
            machine those get their login, and are reachable at a loopback
            address. Never the text of a fetched source, which could ask for
            any login and any port.
        warnings: Lines to show before the run.
        needs_workspace: False if builds may read the source in place.
    """

    plan: Plan
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    needs_workspace: bool = True


def compile_job(
    job: Job, place: Place, source: Source, variables: RunVariables, cancel: Cancellation
) -> Compiled:
    """Return what the job is to do.

    Raises:
        InvalidTaskFile: With every problem of the file.
        InvalidInput, SourceNotFound: A part of the request can't be.
        SecretsRefused, SecretsUnavailable: Secrets of it can't be had.
    """
    if job.request.build is not None:
        from tasks_service.execution.quick_build import compile_build

        return compile_build(job, place, source, variables)
    return _task(job, place, source, variables, cancel)


def _task(
    job: Job, place: Place, source: Source, variables: RunVariables, cancel: Cancellation
) -> Compiled:
    request = job.request
    inputs = Inputs(source, own_machine=place.own_machine)
    written = True
    if request.command:
        file, text = "--cmd", _one_command(request.command, request.timeout_s)
    elif request.content:
        file, text = job.content_name, request.content.encode()
    else:
        file, text = inputs.task_file(request.file)
        written = not source.remote
    # A file that somebody else wrote must not choose what is read, reached
    # or logged in to from here; on a server, nobody's may.
    own = place.own_machine and written
    done = compile_task(
        text,
        file=file,
        variables=variables,
        values=_values(job, inputs),
        values_file=request.values_file or "values.yaml",
        set_values=request.values,
        set_secrets=job.secrets.values,
        options=CompileOptions(
            strict=request.strict,
            image_aliases=job.image_aliases,
            alias_reader=inputs.alias_reader(allow_urls=own, allow_http=place.allow_http),
        ),
        resolve_secrets=_late_resolver(place.environ, allow_local=own, cancel=cancel)
        if place.fetches_secrets
        else _refuse_secrets,
    )
    plan = done.require_plan()
    return Compiled(
        plan,
        texts=(done.rendered,) if own else (),
        warnings=tuple(problem.text() for problem in done.problems),
    )


def _values(job: Job, inputs: Inputs) -> bytes | None:
    if job.request.values_content:
        return job.request.values_content.encode()
    if job.request.values_file:
        return inputs.read(job.request.values_file, "values file")
    return None


def _one_command(text: str, timeout_s: int) -> bytes:
    # JSON strings are YAML: no text can break out of its place.
    command = json.dumps(text, ensure_ascii=False)
    return (
        "version: v1.1.0\n"
        "steps:\n"
        f"  - cmd: {command}\n"
        "    disableWorkingDirectoryOverride: true\n"
        f"    timeout: {timeout_s}\n"
    ).encode()


def _refuse_secrets(requests: Sequence[SecretRequest]) -> Mapping[str, str]:
    from tasks_service.secrets.errors import SecretRefused, gathered

    raise gathered(
        {
            request.id: SecretRefused(
                "workers fetch no secrets from vaults",
                hint="give it with the run or the task: `--set-secret NAME=VALUE`",
            )
            for request in requests
        }
    )


def _late_resolver(
    environ: Mapping[str, str], *, allow_local: bool, cancel: Cancellation
) -> SecretResolver:
    """Return a resolver that loads the providers only for a file that has secrets."""

    def resolve(requests: Sequence[SecretRequest]) -> Mapping[str, str]:
        from tasks_service.secrets import resolver

        return resolver(environ, allow_local=allow_local, cancel=cancel)(requests)

    return resolve
