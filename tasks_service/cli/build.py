"""``tasks build``: a Dockerfile from a source becomes a pushed image, in two steps.

In: options named as ``az acr build`` names them. Out: a run whose plan has the
steps ``build`` and ``push``; the same engine as for task files walks it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runners.model.errors import InvalidInput
from tasks_service.cli.arguments import build_argument, build_secret
from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import RunOptions, parse_run_options, run_options

if TYPE_CHECKING:
    from runners.model.cancellation import Cancellation
    from runners.model.plan import Plan, PlannedStep
    from tasks_service.cli.execute import Compiled
    from tasks_service.plans.variables import RunVariables
    from tasks_service.sources.open import Source

BUILD_TIMEOUT_S = 28_800
PUSH_TIMEOUT_S = 3600
_DOCKERFILE_LIMIT = 4 << 20


@click.command("build", epilog=EPILOG)
@click.argument("source")
@click.option(
    "-t",
    "--image",
    "images",
    metavar="NAME[:TAG]",
    multiple=True,
    help="Name of the image; may hold {{.Run.ID}} and the like. Repeatable.",
)
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    help="Dockerfile: from here for a local SOURCE, else in the source.",
)
@click.option(
    "--build-arg",
    "build_args",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="Build argument; NAME alone takes the environment's value. Repeatable.",
)
@click.option(
    "--secret-build-arg",
    "secret_build_args",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="The same, hidden in all output (it may still be in the image's history).",
)
@click.option(
    "--secret",
    "secrets",
    metavar="id=ID,src=FILE|env=NAME",
    multiple=True,
    help="Secret for RUN --mount=type=secret. Repeatable.",
)
@click.option(
    "--label", "labels", metavar="NAME=VALUE", multiple=True, help="Label of the image. Repeatable."
)
@click.option("--target", metavar="STAGE", help="Build this stage.")
@click.option("--no-push", is_flag=True, help="Build only.")
@click.option("--no-cache", is_flag=True, help="Build every instruction anew.")
@click.option("--pull", is_flag=True, help="Ask for newer base images.")
@run_options(several_platforms=True)
def command(source: str, **parameters: Any) -> int:
    """Build an image from a Dockerfile in an isolated engine, and push it.

    SOURCE is a directory, a Git URL such as https://host/app.git#main:dir, or
    a tarball URL. The image is pushed when it has a name (-t).

    \b
    tasks build . -t app:{{.Run.ID}} -r localhost:5000
    tasks build https://host/app.git#v1.2.0 -t registry:5000/app:v1.2.0
    tasks build . --target test --no-push
    """  # fmt: skip
    options = parse_run_options(parameters)
    if source.lower() == "/dev/null":
        raise click.UsageError("a build needs a source: /dev/null has no Dockerfile")
    build = _Build(parameters, options)
    from tasks_service.cli.execute import Job, execute

    return execute(Job(source, "QuickBuild", build.compile, needs_workspace=False), options)


class _Build:
    """What the options say about the build; checked before anything is fetched."""

    def __init__(self, parameters: dict[str, Any], options: RunOptions) -> None:
        self._given = parameters
        self._options = options
        self._plain_args = tuple(build_argument(a, "--build-arg") for a in parameters["build_args"])
        self._hidden_args = tuple(
            build_argument(a, "--secret-build-arg") for a in parameters["secret_build_args"]
        )
        self._secrets = dict(build_secret(text) for text in parameters["secrets"])
        for label in parameters["labels"]:
            if "=" not in label:
                raise click.UsageError(f"--label {label[:80]!r} has no '='")

    def compile(self, source: Source, variables: RunVariables, _cancel: Cancellation) -> Compiled:
        """Return the plan of the build.

        Raises:
            InvalidInput: An option can't be; the message names it.
            SourceNotFound: There is no Dockerfile.
        """
        from runners.model.plan import Plan
        from tasks_service.cli.execute import Compiled

        images = tuple(self._image(text, variables) for text in self._given["images"])
        push = bool(images) and not self._given["no_push"]
        words = self._words(source, images)
        steps = [_step("build", shlex.join(words), BUILD_TIMEOUT_S, ())]
        if push:
            steps.append(_step("push", list(images), PUSH_TIMEOUT_S, ("build",)))
        hidden = tuple(text.partition("=")[2] for text in self._hidden_args)
        plan: Plan = Plan(tuple(steps), secrets=self._secrets, mask=hidden)
        warnings = () if images else ("no -t was given: the image is built and not pushed",)
        return Compiled(plan, texts=self._own_texts(source), warnings=warnings)

    def _own_texts(self, source: Source) -> tuple[str, ...]:
        """Return what the user wrote that may name registries."""
        typed = (*self._given["images"], *self._plain_args)
        if source.remote or source.directory is None:
            return typed
        from tasks_service.sources.beneath import read_regular

        path = Path(self._given["file"] or source.directory / "Dockerfile")
        data = read_regular(path, limit=_DOCKERFILE_LIMIT, what="Dockerfile", follow=True)
        return (*typed, data.decode(errors="replace"))

    def _words(self, source: Source, images: Sequence[str]) -> list[str]:
        given = self._given
        words = [word for image in images for word in ("--tag", image)]
        words += _flags("--build-arg", (*self._plain_args, *self._hidden_args))
        words += _flags("--label", given["labels"])
        words += _flags("--secret", [f"id={name}" for name in self._secrets])
        words += _flags(
            "--platform", [",".join(self._options.platforms)][: bool(given["platform"])]
        )
        words += ["--target", given["target"]] if given["target"] else []
        words += ["--no-cache"] if given["no_cache"] else []
        words += ["--pull"] if given["pull"] else []
        return [*words, *_flags("--file", _dockerfile(source, given["file"])), "."]

    def _image(self, text: str, variables: RunVariables) -> str:
        from tasks_service.plans.template import render_template
        from tasks_service.plans.variables import template_data

        done = render_template(text, name="-t", data=template_data(variables, {}, {}))
        if done.text is None or done.errors:
            raise InvalidInput(f"-t {text[:80]!r}: {done.errors[0].message}")
        return self._with_registry(done.text)

    def _with_registry(self, image: str) -> str:
        first, slash, _ = image.partition("/")
        named = bool(slash) and ("." in first or ":" in first or first == "localhost")
        registry = self._options.registry
        if named or image.startswith("library/"):
            return image
        if registry:
            return f"{registry}/{image}"
        if self._given["no_push"]:
            return image
        raise InvalidInput(
            f"-t {image[:80]!r} names no registry to push to",
            hint="give one by -r, write it in the name (host/app:tag), or build with --no-push",
        )


def _step(kind: str, value: str | list[str], timeout_s: int, needs: tuple[str, ...]) -> PlannedStep:
    from runners.model.plan import PlannedStep
    from runners.steps import KINDS

    parsed = KINDS[kind].parse(value)
    for problem in parsed.problems:
        if problem.severity == "error":
            raise InvalidInput(problem.message, hint=problem.suggestion)
    return PlannedStep(kind, kind, parsed.spec, needs=needs, timeout_s=timeout_s)


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def _dockerfile(source: Source, name: str | None) -> list[str]:
    """Return the Dockerfile's path in the context, or nothing for the usual one (C-024)."""
    from tasks_service.sources.beneath import resolve_beneath
    from tasks_service.sources.errors import SourceNotFound

    root = source.directory
    if root is None:
        raise InvalidInput("a build needs a source")
    if source.remote:
        resolve_beneath(root, name or "Dockerfile", what="Dockerfile")
        return [name] if name else []
    path = Path(name) if name is not None else root / "Dockerfile"
    if not path.is_file():
        hint = "" if name is None else "-f is counted from the current directory"
        raise SourceNotFound(f"there is no Dockerfile {str(path)!r}", hint=hint)
    if name is None:
        return []
    try:
        return [str(path.absolute().parent.resolve().joinpath(path.name).relative_to(root))]
    except ValueError:
        raise InvalidInput(
            f"Dockerfile {name!r} lies outside the source {source.location!r}",
            hint="move it into the source, or build from a directory that holds both",
        ) from None
