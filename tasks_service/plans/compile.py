"""One pipeline from a task file's text to a Plan, or to every problem in it.

In: the text the user wrote, run variables, values, secrets. Out: a Compiled.
Called by ``tasks lint``, ``render``, ``plan``, ``run`` and the service, so
that what they show is what runs. The order of work is Y-010's: version,
comments, aliases, template, secrets, template again, YAML, checks, graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runners.model.plan import Plan, PlannedStep, Position
from runners.steps import KINDS
from tasks_service.errors import ERROR, InvalidTaskFile, Problem
from tasks_service.plans.aliases import (
    ALIASED_KINDS,
    IMAGE_ALIASES,
    AliasContext,
    Aliases,
    expand,
    read_aliases,
    replace_first_word,
    split_block,
)
from tasks_service.plans.caching import cache_options
from tasks_service.plans.checks import TaskCheck
from tasks_service.plans.decoding import MAX_BYTES, decode
from tasks_service.plans.graph import step_ids, step_needs
from tasks_service.plans.masking import MASK, mask_text
from tasks_service.plans.model import StepItem, TaskFile
from tasks_service.plans.planning import StepPlanner, plan_networks
from tasks_service.plans.source import Reporter, SourceText
from tasks_service.plans.step_checks import StepCheck
from tasks_service.plans.task_file import TaskFileReader
from tasks_service.plans.template import Rendered, render_template
from tasks_service.plans.traps import Traps, check_unknown_aliases, check_variables
from tasks_service.plans.values import Values, env_problems, merge_values
from tasks_service.plans.variables import RunVariables, template_data
from tasks_service.plans.version import (
    DEFAULT_VERSION,
    aliases_on,
    find_version,
    without_comments,
)
from tasks_service.plans.yaml_nodes import YamlProblem, parse_yaml


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """One entry of ``secrets`` whose value must be found (Y-030 to Y-032)."""

    id: str
    keyvault: str = ""
    client_id: str = ""


SecretResolver = Callable[[Sequence[SecretRequest]], Mapping[str, str]]
"""Resolve all secrets of a file at once; raise a RunnerError if one can't be had."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What changes how a file is read, besides its variables and values.

    Attributes:
        strict: A missing template key is an error (``--strict``).
        image_aliases: Bare first words of ``cmd`` and their images (V-30);
            None takes the defaults.
        working_directory: Used where the file names none (Y-022).
        env: ``NAME=value`` entries added after the file's own.
        network: An existing network that becomes the default (Y-047).
        alias_reader: Returns the text of one ``alias.src`` entry; raises
            OSError or InvalidInput where it can't be had.
    """

    strict: bool = False
    image_aliases: Mapping[str, str] | None = None
    working_directory: str = ""
    env: tuple[str, ...] = ()
    network: str = ""
    alias_reader: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of a task file.

    ``plan`` is None exactly when ``problems`` holds an error. ``rendered`` is
    the text after aliases and templates; it may hold secret values, which
    ``mask`` lists. ``render_failed`` tells that there is no such text. ``task``
    is what the file says, None if it isn't YAML. Problems are in file order.
    """

    file: str
    plan: Plan | None = field(repr=False)
    problems: tuple[Problem, ...]
    rendered: str = field(default="", repr=False)
    task: TaskFile | None = field(default=None, repr=False)
    mask: tuple[str, ...] = field(default=(), repr=False)
    render_failed: bool = False

    @property
    def ok(self) -> bool:
        """True if there is a plan."""
        return self.plan is not None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the file from running."""
        return tuple(p for p in self.problems if p.severity == ERROR)

    def require_plan(self) -> Plan:
        """Return the plan.

        Raises:
            InvalidTaskFile: the file has errors; carries all problems.
        """
        if self.plan is None:
            raise InvalidTaskFile(self.problems)
        return self.plan


def compile_task(  # noqa: PLR0913 - the one funnel; all but the text have defaults
    text: str | bytes,
    *,
    file: str = "acb.yaml",
    variables: RunVariables | None = None,
    values: str | bytes | None = None,
    values_file: str = "values.yaml",
    set_values: Sequence[str] = (),
    set_secrets: Sequence[str] = (),
    resolve_secrets: SecretResolver | None = None,
    options: CompileOptions | None = None,
) -> Compiled:
    """Compile a task file's text to a plan; find every problem on the way.

    Args:
        text: What the user wrote; bytes must be UTF-8.
        file: Its name, for messages.
        variables: Facts of the run; None means all unknown.
        values: Text of the values file, YAML.
        values_file: Its name, for messages.
        set_values: ``key=value`` entries, strings, stronger than the file.
        set_secrets: The same, masked in all output.
        resolve_secrets: Called once, before the second rendering, with the
            file's secrets; None leaves a placeholder, for looking offline.
        options: See CompileOptions.

    Returns:
        A Compiled. Bad input never raises.

    Raises:
        RunnerError: only what ``resolve_secrets`` raises.
    """
    decoded, problem = decode(text, file)
    if problem is not None:
        return Compiled(file, None, (problem,), render_failed=True)
    merged = merge_values(values, values_file, set_values, set_secrets)
    return _Compilation(
        SourceText(file, decoded),
        variables or RunVariables(),
        merged,
        options or CompileOptions(),
        resolve_secrets,
    ).run()


class _Compilation:
    """One compilation; its methods are the stages, in order."""

    def __init__(
        self,
        source: SourceText,
        variables: RunVariables,
        values: Values,
        options: CompileOptions,
        resolve_secrets: SecretResolver | None,
    ) -> None:
        self._source = source
        self._variables = variables
        self._values = values
        self._options = options
        self._resolve = resolve_secrets
        self._reporter = Reporter(source)
        self._run = variables.template_data()
        self._aliases: Aliases | None = None
        self._secrets: Mapping[str, str] = {}
        self._render_failed = False
        for problem in (*values.problems, *env_problems(options.env)):
            self._reporter.add(problem)

    def run(self) -> Compiled:
        """Run every stage that still makes sense."""
        text = self._source.text
        if not text:
            self._reporter.report("TF104", "the file is empty", 0)
        text = self._expand(text)
        rendered = self._render(text)
        self._render_failed = self._reporter.failed
        if rendered is None:
            return self._finish(None, "", None)
        task = self._parse(rendered)
        plan = self._plan(task) if task is not None else None
        return self._finish(plan, rendered, task)

    def _finish(self, plan: Plan | None, rendered: str, task: TaskFile | None) -> Compiled:
        problems = self._reporter.problems()
        if self._reporter.failed:
            plan = None
        mask = (*self._values.mask, *(v for v in self._secrets.values() if v and v != MASK))
        if mask:
            # A message may quote what a template put in.
            problems = tuple(
                replace(
                    problem,
                    message=mask_text(problem.message, mask),
                    suggestion=mask_text(problem.suggestion, mask),
                )
                for problem in problems
            )
        return Compiled(
            self._source.file, plan, problems, rendered, task, mask, self._render_failed
        )

    def _data(self, secrets: Mapping[str, str]) -> dict[str, Any]:
        return template_data(self._variables, self._values.data, secrets)

    def _expand(self, text: str) -> str:
        """Remove comment lines; where the version says so, expand aliases."""
        reporter = self._reporter
        version = find_version(text)
        text, segments = without_comments(text)
        reporter.push(segments)
        if not aliases_on(version):
            Traps.aliases_off(text, reporter, version)
            return text
        block, block_map, rest, rest_map = split_block(text)
        images = self._options.image_aliases
        context = AliasContext(
            data=self._data({}),
            name=self._source.file,
            strict=self._options.strict,
            images=IMAGE_ALIASES if images is None else images,
            reader=self._options.alias_reader,
        )
        self._aliases = read_aliases(block, block_map, reporter, context)
        reporter.push(rest_map)
        expanded, segments, unknown = expand(rest, self._aliases, reporter)
        check_unknown_aliases(unknown, self._aliases, reporter)
        reporter.push(segments)
        return expanded

    def _render(self, text: str) -> str | None:
        """Render the templates, with the secrets found first (Y-010)."""
        if not text:
            # Comment lines only: nothing to do, and nothing wrong.
            return text
        if "secrets" in text:
            self._find_secrets(text)
        data = self._data(self._secrets)
        reporter = self._reporter
        check_variables(text, data, reporter)
        rendered = self._rendered(text, data, strict=self._options.strict)
        for error in rendered.errors:
            code = "TF305" if error.limit else "TF301"
            reporter.report(code, error.message, error.offset, width=2)
        if rendered.text is None:
            return None
        reporter.push(rendered.segments)
        reporter.text = rendered.text
        if not rendered.text and not rendered.errors:
            reporter.report("TF302", "the file renders to nothing", 0)
            return None
        if len(rendered.text) > MAX_BYTES:
            reporter.report("TF305", f"the file renders to more than {MAX_BYTES} characters", 0)
            return None
        return rendered.text

    def _rendered(self, text: str, data: Mapping[str, Any], *, strict: bool) -> Rendered:
        return render_template(text, name=self._source.file, data=data, strict=strict)

    def _find_secrets(self, text: str) -> None:
        """Read ``secrets`` from a rendering without any, and resolve them."""
        first = self._rendered(text, self._data({}), strict=False)
        if first.text is None or "secrets" not in first.text:
            return
        scratch = Reporter(self._source)
        try:
            root = parse_yaml(first.text)
        except YamlProblem:
            return
        task = TaskFileReader(scratch).read(root)
        if task is None or not task.secrets:
            return
        named = [secret for secret in task.secrets if secret.id]
        requests = [SecretRequest(s.id, s.keyvault, s.client_id) for s in named]
        if self._resolve is None:
            self._secrets = {request.id: MASK for request in requests}
            return
        TaskCheck(task, scratch, MASK).check_secrets()
        if not scratch.failed:
            self._secrets = dict(self._resolve(requests))
        else:
            self._secrets = {request.id: MASK for request in requests}

    def _parse(self, rendered: str) -> TaskFile | None:
        try:
            root = parse_yaml(rendered)
        except YamlProblem as problem:
            self._reporter.report(problem.code, problem.message, problem.offset)
            return None
        return TaskFileReader(self._reporter).read(root)

    def _plan(self, task: TaskFile) -> Plan | None:
        reporter = self._reporter
        whole = TaskCheck(task, reporter, MASK)
        whole.check()
        if "alias" in task.keys:
            self._alias_without_effect(task.keys["alias"].start)
        volumes = whole.volumes()
        checker = StepCheck(task, reporter, MASK, env=bool(self._options.env))
        checker.check()
        ids = step_ids(task.steps, reporter)
        needs = step_needs(task.steps, ids, reporter)
        networks, default = plan_networks(task, self._options.network)
        planner = StepPlanner(
            task,
            directory=self._options.working_directory,
            env=self._options.env,
            network=default,
        )
        steps: list[PlannedStep] = []
        for index, step in enumerate(task.steps):
            kind = checker.parse_kind(step, self._kind_text(step, ids[index]))
            if kind is None:
                continue
            line, column = reporter.position(step.node.start)
            position = Position(self._source.file, line, column)
            steps.append(planner.plan(step, ids[index], kind, needs[index], position))
        Traps(task, reporter, ids, needs, self._secret_texts(), self._options.network).check()
        if reporter.failed:
            return None
        return Plan(
            steps=tuple(steps),
            version=task.version.lower() or DEFAULT_VERSION,
            networks=networks,
            volumes=volumes,
            shared_volume=self._variables.shared_volume,
            secrets=dict(self._secrets),
            mask=self._values.mask,
        )

    def _alias_without_effect(self, offset: int) -> None:
        """Warn about an ``alias`` key that reached YAML, so that nothing read it."""
        if self._aliases is None:
            code, why = "TF902", "aliases are off with this version"
        elif self._aliases.block:
            code, why = "TF207", "put its entries into the first one"
        else:
            code, why = "TF207", "it must start a line of its own"
        if not self._reporter.reported("TF902"):
            self._reporter.report(code, f"this alias block is ignored: {why}", offset, width=5)

    def _kind_text(self, step: StepItem, step_id: str) -> str | None:
        """Return the step's text with alias and cache put in, None if unchanged."""
        if len(step.kinds) != 1:
            return None
        ((key, text),) = step.kinds.items()
        if not isinstance(text, str) or not text:
            return None
        changed = text
        if self._aliases is not None and key in ALIASED_KINDS:
            changed = replace_first_word(text, self._aliases, self._run)
        if step.cache.lower() == "enabled" and "cache" in KINDS[key].properties:
            changed = self._with_cache(step, step_id, text)
        if changed == text:
            return None
        step.kinds[key] = changed
        return changed

    def _with_cache(self, step: StepItem, step_id: str, text: str) -> str:
        found, problem = cache_options(
            text,
            step_id=step_id,
            registry=self._variables.registry,
            task_name=self._variables.task_name,
        )
        if problem:
            node = step.nodes["cache"]
            width = max(1, node.end - node.start)
            self._reporter.report("TF910", f"no cache: {problem}", node.start, width=width)
            return text
        step.cache_placed = True
        return f"{found} {text}"

    def _secret_texts(self) -> tuple[str, ...]:
        return (*filter(None, self._secrets.values()), *self._values.mask)
