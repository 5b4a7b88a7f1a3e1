"""The ``build`` step: the text of ``docker build`` in, an image out (Y-060 to Y-081)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from runners.model.plan import WORKSPACE, PlannedStep
from runners.model.record import StepOutcome
from runners.push.pusher import push_all
from runners.sandbox import BuildRequest, BuildSecret, Output, Sandbox
from runners.steps.base import Parsed
from runners.steps.build_text import BuildSpec, read_build


class BuildKind:
    """See StepKind."""

    key = "build"
    properties = frozenset(
        [
            *("id", "when", "timeout", "startDelay", "ignoreErrors", "env", "retries"),
            *("retryDelay", "retryOnErrors", "repeat", "workingDirectory", "cache"),
        ]
    )
    value_schema: Mapping[str, Any] = {"type": "string", "minLength": 1}

    def parse(self, value: Any) -> Parsed:
        """See StepKind."""
        return read_build(value)

    def prepare(self, step: PlannedStep, sandbox: Sandbox) -> None:
        """See StepKind. There is nothing to get ready."""

    def execute(
        self, step: PlannedStep, sandbox: Sandbox, output: Output, cancel: Cancellation
    ) -> StepOutcome:
        """Build the image once; with ``--push``, push its tags as a push step would."""
        request = request_of(step)
        result = sandbox.build(request, output, cancel)
        images = () if result.image is None else (result.image,)
        pushed = push_all(request.tags, sandbox, output, cancel) if step.spec.push else ()
        return StepOutcome(None, images=images, pushed=pushed, base_images=result.base_images)


def request_of(step: PlannedStep) -> BuildRequest:
    """Return the build that the step asks for.

    ``cache: enabled`` is in the text already: the compiler puts the options
    there, which alone knows the run's registry and task (Y-075).
    """
    spec: BuildSpec = step.spec
    env = dict(step.env)
    arguments = tuple(
        (name, env[name] if value is None else value)
        for name, value in spec.build_args
        if value is not None or name in env
    )
    missing = [name for _, name in spec.secret_env if name not in env]
    if missing:
        raise InvalidInput(
            f"step '{step.id}': --secret takes the variable {missing[0]}, which it does not have",
            hint="add it to 'env' of the step",
        )
    from_env = tuple(BuildSecret(name, value=env[variable]) for name, variable in spec.secret_env)
    return BuildRequest(
        context=spec.context,
        working_directory=step.working_directory or WORKSPACE,
        dockerfile=spec.dockerfile,
        tags=spec.tags,
        build_args=arguments,
        labels=spec.labels,
        target=spec.target,
        platforms=spec.platforms,
        named_contexts=spec.named_contexts,
        secrets=spec.secrets + from_env,
        ssh=spec.ssh,
        network=spec.network,
        pull=spec.pull,
        no_cache=spec.no_cache,
        cache_from=spec.cache_from,
        cache_to=spec.cache_to,
        provenance=spec.provenance,
        sbom=spec.sbom,
        add_hosts=spec.add_hosts,
        shm_size=spec.shm_size,
        ulimits=spec.ulimits,
    )


KIND = BuildKind()
