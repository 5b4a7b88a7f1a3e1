"""One conformance case: arguments and files in, our outcome against the engine's.

A verdict is ``same``, ``differs`` (with the decision) or ``WRONG``; cases
about parts that we don't have (the engine's image scanner, its credentials)
are ``n/a``, each with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.model.errors import InvalidInput
from tasks_service.plans.compile import Compiled, CompileOptions, compile_task
from tasks_service.plans.variables import RunVariables
from tasks_service.plans.views.plan_json import plan_json

ENGINE_IMAGE_ALIASES = {
    name: f"mcr.microsoft.com/acr/{image}"
    for name, image in {
        "acr": "acr-cli:0.19",
        "az": "azure-cli:2ff604c",
        "bash": "bash:2ff604c",
        "curl": "curl:2ff604c",
        "cssc": "cssc:2ff604c",
    }.items()
}

STRICTER = {
    "TF101": "a byte-order mark or UTF-16 is refused",
    "TF103": "control characters are refused",
    "TF403": "a second document is refused, not ignored",
    "TF406": "YAML tags are refused",
    "TF407": "duplicate keys are errors with a line; the original takes the last",
    "TF409": "keys that aren't text are refused",
    "TF414": "null list items are errors with a line",
    "TF505": "a secret source that no provider can serve is refused before the run",
    "TF507": "a network without a usable name is refused before the run",
    "TF508": "an environment entry without a name is refused",
    "TF511": "names that no file can have are refused before the run",
    "TF512": "Base64 is checked before the run",
    "TF523": "step ids that no container can have are refused before the run",
    "TF526": "cpus is checked before the run",
    "TF527": "ports are checked before the run",
    "TF528": "mount paths are checked before the run",
}
"""Problem codes with which we refuse what the original runs, or fails on later."""

STEP_TEXT = "the text of a step is checked before the run and never given to a shell"

LAXER = (
    ("cannot parse task environment variable", "task env entries aren't split at commas"),
    ("from to", "unused"),
)
"""Engine errors that are no errors here, by their text, with the decision."""

_UNSEEN_TAG = "tags are seen as `--tag=`, `--image` and in quotes, too"

NOT_OURS = {
    "scan": "base images come from the builder's provenance, not from scanning Dockerfiles",
    "build": "the quick build is a command of its own, not a task file",
}

_VALUE_OPTIONS = {
    "-f", "-r", "--id", "--set", "--values", "--name", "--homevol", "--network",
    "--working-directory", "--env", "--credential", "--registry", "--commit", "--branch",
    "--repository", "--git-tag", "--triggered-by", "--os-version", "--architecture", "--os",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of one case."""

    name: str
    outcome: str
    reason: str = ""


def options_of(args: list[str]) -> dict[str, list[str]]:
    """Return the engine's options by name; values in order."""
    found: dict[str, list[str]] = {}
    index = 1
    while index < len(args):
        word = args[index]
        if word in _VALUE_OPTIONS and index + 1 < len(args):
            found.setdefault(word, []).append(args[index + 1])
            index += 1
        else:
            found.setdefault(word, [])
        index += 1
    return found


def compile_case(case: Mapping[str, Any]) -> Compiled:
    """Compile the case's file as its arguments say."""
    options = options_of(case["args"])
    files = case.get("files") or {}

    def one(name: str, default: str = "") -> str:
        return options.get(name, [default])[-1] if options.get(name) else default

    def read(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "no such file", name)
        return str(files[name])

    file = one("-f", "acb.yaml")
    if file not in files:
        raise InvalidInput(f"no {file}")
    values_file = one("--values")
    variables = RunVariables(
        id=one("--id"),
        registry=one("-r") or one("--registry"),
        commit=one("--commit"),
        branch=one("--branch"),
        repository=one("--repository"),
        git_tag=one("--git-tag"),
        triggered_by=one("--triggered-by"),
        task_name=one("--name"),
        shared_volume=one("--homevol"),
        architecture="amd64",
    )
    return compile_task(
        files[file],
        file=file,
        variables=variables,
        values=files[values_file] if values_file else None,
        values_file=values_file,
        set_values=options.get("--set", []),
        options=CompileOptions(
            image_aliases=ENGINE_IMAGE_ALIASES,
            working_directory=one("--working-directory"),
            env=tuple(options.get("--env", [])),
            network=one("--network"),
            alias_reader=read,
        ),
    )


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Return the cases of a file, one JSON object a line."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def judge(case: Mapping[str, Any]) -> Verdict:
    """Run one case and compare."""
    name = f"{case['kind']}: {case['name']}"
    if case["kind"] in NOT_OURS:
        return Verdict(name, "n/a", NOT_OURS[case["kind"]])
    if "--credential" in case["args"]:
        return Verdict(name, "n/a", "registry logins are no part of the language")
    compiled = compile_case(case)
    if case["kind"] == "render":
        return _judge_render(name, case, compiled)
    return _judge_exec(name, case, compiled)


def _judge_render(name: str, case: Mapping[str, Any], compiled: Compiled) -> Verdict:
    if case["rc"] != 0:
        wrong = not compiled.render_failed and not compiled.errors
        return Verdict(name, "WRONG" if wrong else "same", "rendered" if wrong else "")
    if compiled.render_failed:
        return _refused(name, compiled)
    if compiled.rendered == case["out"]:
        return Verdict(name, "same")
    return Verdict(name, "WRONG", f"{compiled.rendered!r} for {case['out']!r}")


def _refused(name: str, compiled: Compiled) -> Verdict:
    codes = {problem.code for problem in compiled.errors}
    if codes and codes <= set(STRICTER):
        return Verdict(name, "differs", "; ".join(STRICTER[code] for code in sorted(codes)))
    if codes and not any(code.startswith("TF") for code in codes - set(STRICTER)):
        return Verdict(name, "differs", STEP_TEXT + f" ({', '.join(sorted(codes))})")
    return Verdict(name, "WRONG", "; ".join(p.headline() for p in compiled.errors))


def _judge_exec(name: str, case: Mapping[str, Any], compiled: Compiled) -> Verdict:
    if case["rc"] != 0:
        if not compiled.ok:
            return Verdict(name, "same")
        if case["rc"] == "hang":
            return Verdict(name, "differs", "a step named twice in `when` counts once, warned")
        for text, reason in LAXER:
            if text in case.get("error", ""):
                return Verdict(name, "differs", reason)
        return Verdict(name, "WRONG", f"accepted; the engine: {case.get('error', '')}")
    if not compiled.ok:
        return _refused(name, compiled)
    wrong = _compare(case, compiled)
    if not wrong:
        return Verdict(name, "same")
    ignored = [p for p in compiled.problems if p.code == "TF408"]
    if ignored:
        return Verdict(
            name, "differs", "undocumented internals can't be set; unknown properties warn"
        )
    if wrong.endswith(_UNSEEN_TAG):
        return Verdict(name, "differs", _UNSEEN_TAG)
    if any("{{.Run." in line for line in case.get("commands", ())):
        return Verdict(name, "differs", "a bare run variable stands for its value")
    return Verdict(name, "WRONG", wrong)


def _compare(case: Mapping[str, Any], compiled: Compiled) -> str:
    """Return what differs between the engine's steps and our plan, or ''."""
    steps = plan_json(compiled)["steps"]
    expected = {entry[0]: entry for entry in case["steps"]}
    ours = {step["id"]: step for step in steps}
    if list(expected) != [step["id"] for step in steps] and set(expected) != set(ours):
        return f"steps {list(ours)} for {list(expected)}"
    for step_id, (_, timeout, _, network) in expected.items():
        step = ours[step_id]
        if str(step["timeout"]) != timeout or (step["network"] or "") != network:
            return f"{step_id}: {step['timeout']} {step['network']} for {timeout} {network}"
    assert compiled.plan is not None
    created = [line for line in case["commands"] if line.startswith("docker network create ")]
    made = [network for network in compiled.plan.networks if not network.skip_creation]
    if [line.split()[3] for line in created] != [network.name for network in made]:
        return f"networks {[n.name for n in made]} for {created}"
    for line in case["commands"]:
        wrong = _compare_command(line, ours, compiled)
        if wrong:
            return wrong
    return ""


def _compare_command(line: str, ours: Mapping[str, Any], compiled: Compiled) -> str:
    match = re.match(r"/bin/sh -c docker run .*?--name (\S+) ", line, re.DOTALL)
    if match is None or match[1] not in ours:
        return ""
    step = ours[match[1]]
    assert compiled.plan is not None
    planned = compiled.plan.step(step["id"])
    rest = line[match.end() :]
    environment = re.split(r"--env HOME=/acb/home ?", rest, maxsplit=1)[-1]
    directory = re.search(r"--workdir (\S+) ", environment)
    text = environment[directory.end() :] if directory else environment
    remote = step["kind"] == "build" and re.search(r"(://|github\.com/|git@)", step["build"])
    if directory and not remote and planned.working_directory != directory[1]:
        return f"{step['id']}: in {planned.working_directory} for {directory[1]}"
    before = environment[: directory.start()] if directory else ""
    names = re.findall(r"--env (\S+)", before)
    expected = [
        entry for entry in names if "=" in entry and not entry.startswith("DOCKER_BUILDKIT")
    ]
    mine = [f"{k}={v}" for k, v in planned.env if k != "DOCKER_BUILDKIT"]
    if expected != mine:
        return f"{step['id']}: env {mine} for {expected}"
    command = step.get("cmd")
    if command is not None and command.strip() != text.strip():
        return f"{step['id']}: runs {command!r} for {text!r}"
    if "build" in step and not remote:
        built = re.sub(r"^docker build |^buildx build (?:--load (?=--cache-to))?", "", text)
        planned_text = step["build"].replace(",ignore-error=true", "")
        if built != planned_text and planned_text.endswith(" " + built):
            return f"{step['id']}: {_UNSEEN_TAG}"
        if built != planned_text:
            return f"{step['id']}: builds {step['build']!r} for {built!r}"
    return ""
