"""``tasks build``: a Dockerfile from a source becomes a pushed image, in two steps.

In: options named as ``az acr build`` names them. Out: a run whose plan has the
steps ``build`` and ``push``; the same engine as for task files walks it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from tasks_service.cli.arguments import build_argument, build_secret
from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import parse_run_options, run_options
from tasks_service.cli.remote.flags import chosen_server, server_or_here
from tasks_service.model.run import BuildRequest, RunSecrets


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
@server_or_here
@run_options(several_platforms=True)
def command(source: str, **parameters: Any) -> int:
    """Build an image from a Dockerfile, here or on a server, and push it.

    SOURCE is a directory, a Git URL such as https://host/app.git#main:dir, or
    a tarball URL. The image is pushed when it has a name (-t).

    \b
    tasks build . -t app:{{.Run.ID}} -r localhost:5000
    tasks build https://host/app.git#v1.2.0 -t registry:5000/app:v1.2.0
    tasks build . --target test --no-push
    """  # fmt: skip
    options = parse_run_options(parameters)
    server = chosen_server(parameters)
    if source.lower() == "/dev/null":
        raise click.UsageError("a build needs a source: /dev/null has no Dockerfile")
    for label in parameters["labels"]:
        if "=" not in label:
            raise click.UsageError(f"--label {label[:80]!r} has no '='")
    hidden = RunSecrets(
        build_args=_arguments(parameters["secret_build_args"], "--secret-build-arg"),
        build_secrets=dict(build_secret(text) for text in parameters["secrets"]),
    )
    build = BuildRequest(
        images=parameters["images"],
        dockerfile=parameters["file"] or "",
        build_args=_arguments(parameters["build_args"], "--build-arg"),
        labels=parameters["labels"],
        secret_ids=tuple(hidden.build_secrets),
        target=parameters["target"] or "",
        platforms=options.platforms,
        push=not parameters["no_push"],
        no_cache=parameters["no_cache"],
        pull=parameters["pull"],
    )
    from tasks_service.cli.execute import execute, request_of

    request = dataclasses.replace(request_of(options, source), build=build)
    if server is not None:
        from tasks_service.cli.remote.submit import submit

        return submit(server, request, hidden, options, parameters)
    return execute(request, options, run_type="QuickBuild", hidden=hidden)


def _arguments(texts: tuple[str, ...], flag: str) -> tuple[str, ...]:
    return tuple(build_argument(text, flag) for text in texts)
