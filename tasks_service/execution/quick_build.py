"""A quick build: a Dockerfile of the source becomes a pushed image, in two steps.

In: a BuildRequest. Out: a plan whose steps are ``build`` and ``push``; the
same engine as for task files walks it (C-020 to C-029).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from runners.model.errors import InvalidInput
from runners.model.plan import Plan, PlannedStep
from runners.steps import KINDS
from tasks_service.execution.compiling import Compiled
from tasks_service.execution.job import Job, Place
from tasks_service.model.run import BuildRequest
from tasks_service.plans.template import render_template
from tasks_service.plans.variables import RunVariables, template_data
from tasks_service.sources.beneath import read_regular, resolve_beneath
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import Source

BUILD_TIMEOUT_S = 28_800
PUSH_TIMEOUT_S = 3600
_DOCKERFILE_LIMIT = 4 << 20


def compile_build(job: Job, place: Place, source: Source, variables: RunVariables) -> Compiled:
    """Return the plan of the build.

    Raises:
        InvalidInput: A part of the request can't be; the message names it.
        SourceNotFound: There is no Dockerfile.
    """
    build = job.request.build
    assert build is not None  # noqa: S101 - the caller chose by it
    images = tuple(_image(text, build, variables) for text in build.images)
    words = _words(job, build, images, _dockerfile(source, build.dockerfile, place))
    steps = [_step("build", shlex.join(words), BUILD_TIMEOUT_S, ())]
    if images and build.push:
        steps.append(_step("push", list(images), PUSH_TIMEOUT_S, ("build",)))
    hidden = tuple(text.partition("=")[2] for text in job.secrets.build_args)
    plan = Plan(tuple(steps), secrets=dict(job.secrets.build_secrets), mask=hidden)
    warnings = () if images else ("no -t was given: the image is built and not pushed",)
    return Compiled(
        plan,
        texts=_own_texts(build, source) if place.own_machine else (),
        warnings=warnings,
        needs_workspace=False,
    )


def _own_texts(build: BuildRequest, source: Source) -> tuple[str, ...]:
    """Return what the user wrote that may name registries."""
    typed = (*build.images, *build.build_args)
    if source.remote or source.directory is None:
        return typed
    path = Path(build.dockerfile or source.directory / "Dockerfile")
    data = read_regular(path, limit=_DOCKERFILE_LIMIT, what="Dockerfile", follow=True)
    return (*typed, data.decode(errors="replace"))


def _words(
    job: Job, build: BuildRequest, images: Sequence[str], dockerfile: Sequence[str]
) -> list[str]:
    words = _flags("--tag", images)
    words += _flags("--build-arg", (*build.build_args, *job.secrets.build_args))
    words += _flags("--label", build.labels)
    words += _flags("--secret", [f"id={name}" for name in job.secrets.build_secrets])
    words += _flags("--platform", [",".join(build.platforms)] if build.platforms else [])
    words += _flags("--target", [build.target] if build.target else [])
    words += ["--no-cache"] if build.no_cache else []
    words += ["--pull"] if build.pull else []
    return [*words, *_flags("--file", dockerfile), "."]


def _image(text: str, build: BuildRequest, variables: RunVariables) -> str:
    done = render_template(text, name="-t", data=template_data(variables, {}, {}))
    if done.text is None or done.errors:
        raise InvalidInput(f"-t {text[:80]!r}: {done.errors[0].message}")
    image = done.text
    first, slash, _ = image.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost")
    if named or image.startswith("library/"):
        return image
    if variables.registry:
        return f"{variables.registry}/{image}"
    if not build.push:
        return image
    raise InvalidInput(
        f"-t {image[:80]!r} names no registry to push to",
        hint="give one by -r, write it in the name (host/app:tag), or build with --no-push",
    )


def _step(kind: str, value: str | list[str], timeout_s: int, needs: tuple[str, ...]) -> PlannedStep:
    parsed = KINDS[kind].parse(value)
    for problem in parsed.problems:
        if problem.severity == "error":
            raise InvalidInput(problem.message, hint=problem.suggestion)
    return PlannedStep(kind, kind, parsed.spec, needs=needs, timeout_s=timeout_s)


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def _dockerfile(source: Source, name: str, place: Place) -> list[str]:
    """Return the Dockerfile's path in the context, or nothing for the usual one (C-024)."""
    root = source.directory
    if root is None:
        raise InvalidInput("a build needs a source")
    if source.remote or not place.own_machine:
        resolve_beneath(root, name or "Dockerfile", what="Dockerfile")
        return [name] if name else []
    path = Path(name) if name else root / "Dockerfile"
    if not path.is_file():
        hint = "-f is counted from the current directory" if name else ""
        raise SourceNotFound(f"there is no Dockerfile {str(path)!r}", hint=hint)
    if not name:
        return []
    try:
        return [str(path.absolute().parent.resolve().joinpath(path.name).relative_to(root))]
    except ValueError:
        raise InvalidInput(
            f"Dockerfile {name!r} lies outside the source {source.location!r}",
            hint="move it into the source, or build from a directory that holds both",
        ) from None
