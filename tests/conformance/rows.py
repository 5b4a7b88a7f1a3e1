"""Every row of the compatibility table: what it is, and how we stand to it.

``docs/compatibility.md`` is made of this and of the tests that name a row's
id (``python -m tests.conformance.page``). A row that is the same, better or
different on purpose needs at least one such test.
"""

from __future__ import annotations

from dataclasses import dataclass

SAME = "same"
BETTER = "better"
DIFFERS = "differs on purpose"
NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what the original does, in a few words, and our verdict."""

    title: str
    verdict: str
    reason: str = ""


def _same(title: str, reason: str = "") -> Row:
    return Row(title, SAME, reason)


def _better(title: str, reason: str) -> Row:
    return Row(title, BETTER, reason)


def _differs(title: str, reason: str) -> Row:
    return Row(title, DIFFERS, reason)


def _none(title: str, reason: str) -> Row:
    return Row(title, NOT_APPLICABLE, reason)


WINDOWS = "Runners are Linux machines."
HOSTED = "A limit or habit of the hosted service, not of the language."

ROWS: dict[str, Row] = {
    # The file.
    "Y-001": _better("default file name", "`acr-task.yaml` and `task.yaml` are found, too."),
    "Y-002": _none("extensions that mark a task file", "`-f` names a task file, `build -f` a "
                   "Dockerfile; no guessing by extension."),
    "Y-003": _same("only YAML is implemented"),
    "Y-004": _same("accepted versions"),
    "Y-005": _better("aliases by version text", "The same rule; a file that trips over it is "
                     "warned."),
    "Y-006": _same("version line scan"),
    "Y-007": _better("`1.1.0` without `v` is invalid", "The error suggests `v1.1.0`."),
    "Y-008": _differs("comment lines are removed", "Lines with `#` inside block scalars stay, so "
                      "scripts keep their first line."),
    "Y-009": _better("unknown keys are ignored", "Ignored, too, with a warning and a near miss."),
    "Y-010": _better("order of work", "`render` and `plan` go the same way as `run`."),
    "Y-011": _same("a file that renders to nothing is an error"),
    # Task properties.
    "Y-020": _same("`version`"),
    "Y-021": _same("`stepTimeout`"),
    "Y-022": _same("`workingDirectory`"),
    "Y-023": _differs("task `env`", "Entries in a file aren't split at commas."),
    "Y-024": _same("`secrets`"),
    "Y-025": _same("`networks`"),
    "Y-026": _same("`volumes`"),
    "Y-027": _same("`steps`"),
    "Y-028": _same("`alias`"),
    # Secrets.
    "Y-030": _same("secret `id`"),
    "Y-031": _better("secret `keyvault`", "Other providers by URL scheme: `vault:`, `env:`, "
                     "`file:`, `store:`."),
    "Y-032": _same("secret `clientID`"),
    "Y-033": _same("all secrets are found before the first step; one failure fails the run"),
    "Y-034": _same("`{{.Secrets.<id>}}`"),
    "Y-035": _same("nothing is resolved in a file without the word `secrets`"),
    "Y-036": _better("no identity in quick runs", "`tasks run` resolves secrets like a task."),
    # Networks.
    "Y-040": _better("network `name`", "A missing or impossible name is an error with a line."),
    "Y-041": _same("network `driver`"),
    "Y-042": _same("network `ipv6`"),
    "Y-043": _same("network `skipCreation`"),
    "Y-044": _same("network `isDefault`; the last one wins"),
    "Y-045": _same("no network declared: one is made and used"),
    "Y-046": _same("networks declared, none default: steps use the engine's bridge"),
    "Y-047": _same("an external network becomes the default"),
    "Y-048": _better("networks go at the end", "They go with the whole runner, however it ends."),
    # Volumes.
    "Y-050": _same("volume `name`"),
    "Y-051": _better("volume `secret`", "Base64 is checked before the run."),
    "Y-052": _better("files of a volume", "Bytes are exact and no shell sees them."),
    "Y-053": _same("mount `name`"),
    "Y-054": _better("mount `mountPath`", "A relative path is an error with a line."),
    "Y-055": _same("no mounts on push steps"),
    "Y-056": _same("secrets and values through `b64enc`"),
    # Kinds.
    "Y-060": _better("`build`", "BuildKit over its API, no client in a container."),
    "Y-061": _same("`push`"),
    "Y-062": _better("`cmd`", "argv to the engine's API; no shell in between."),
    "Y-070": _same("documented options of build"),
    "Y-071": _better("context forms", "Sub-directories work for every Git URL; tags are refs, "
                     "too."),
    "Y-072": _same("build doesn't push"),
    "Y-073": _same("container properties don't reach a build"),
    "Y-074": _differs("BuildKit only on request", "BuildKit always builds; `DOCKER_BUILDKIT` has "
                      "no effect."),
    "Y-075": _same("`cache: enabled`"),
    "Y-076": _same("values of `cache`"),
    "Y-077": _better("tags and build arguments", "`--tag=x` and quoted words are understood."),
    "Y-078": _better("`--build-arg NAME` without value", "No scan that fails on it."),
    "Y-079": _none("Windows build options", WINDOWS),
    "Y-080": _differs("base image scan", "Base images come from the builder's provenance."),
    "Y-081": _same("a context with `github` without `.git` warns"),
    "Y-090": _same("a push tries three times"),
    "Y-091": _same("`timeout` covers a push as a whole"),
    "Y-092": _same("targets of push"),
    "Y-093": _same("names aren't completed with the registry"),
    "Y-100": _differs("the command line goes through the runner's shell", "Never; text that "
                      "wants a shell is an error that shows `sh -c`."),
    "Y-101": _same("`cmd` may start with options of docker run"),
    "Y-102": _same("images without a registry"),
    "Y-103": _differs("tools with short names are on the agent", "Nothing is there but what the "
                      "task names; image aliases cover the usual tools."),
    "Y-104": _same("`pull: true`"),
    # Step properties.
    "Y-200": _better("`id`", "Impossible ids are errors with a line before the run."),
    "Y-201": _same("`when`"),
    "Y-202": _same("`timeout`"),
    "Y-203": _same("`startDelay`"),
    "Y-204": _same("`retries`"),
    "Y-205": _differs("`retryDelay`", "0 is 0 when written, 5 when absent."),
    "Y-206": _same("`retryOnErrors`"),
    "Y-207": _same("`repeat`"),
    "Y-208": _same("`ignoreErrors`"),
    "Y-209": _same("`detach`"),
    "Y-210": _same("`keep`"),
    "Y-211": _same("`workingDirectory` of a step"),
    "Y-212": _same("`disableWorkingDirectoryOverride`"),
    "Y-213": _same("`entryPoint`"),
    "Y-214": _better("`env` of a step", "Values are one word whatever is in them."),
    "Y-215": _same("`expose`"),
    "Y-216": _same("`ports`"),
    "Y-217": _same("`network` of a step"),
    "Y-218": _none("`isolation`", WINDOWS),
    "Y-219": _differs("`privileged`", "Inside the runner only, and only where it is allowed."),
    "Y-220": _same("`user`"),
    "Y-221": _same("`pull`"),
    "Y-222": _same("`cmdDownloadRetries`, `cmdDownloadRetryDelay`"),
    "Y-223": _same("`cache` of a step"),
    "Y-224": _better("`volumeMounts`", "`volumeMount`, the documents' name, is read, too, with a "
                     "warning."),
    "Y-225": _better("step `secret` has no effect", "The same; a warning says so."),
    "Y-226": _same("`cpus`"),
    "Y-227": _better("`exitedWith`, `exitedWithout`", "They do what their names say."),
    # The graph.
    "W-01": _same("the first step starts at once"),
    "W-02": _same("a step without `when` waits for the one above"),
    "W-03": _same('`when: ["-"]` starts at once'),
    "W-04": _same("`-` stands alone"),
    "W-05": _same("several ids: all of them"),
    "W-06": _same("no step waits for itself"),
    "W-07": _better("only earlier steps can be named", "The error says where the later step is."),
    "W-08": _same("generated ids can be named"),
    "W-09": _same("no conditions"),
    "W-10": _better("the first failure ends the run", "Every step is listed with its state."),
    "W-11": _same("all ready steps start"),
    "W-12": _same("step states"),
    "W-13": _better("a step after a parallel block", "The same, with a warning."),
    "W-14": _better("an id twice in `when`", "It counts once, with a warning; no hang."),
    "W-15": _better("two parents that end together", "One owner of the state; no race."),
    "W-16": _better("a step that times out", "Its container is stopped at once."),
    # Containers.
    "X-01": _same("shared workspace at `/workspace`"),
    "X-02": _differs("every step has the engine's socket", "No step has one."),
    "X-03": _differs("a home volume with logins", "Logins stay outside the steps."),
    "X-04": _same("name, network and working directory of a container"),
    "X-05": _none("order of docker's flags", "There is no docker command line."),
    "X-06": _better("logins before the steps", "Credentials never reach a command line."),
    "X-07": _same("the source is in the workspace before step 1"),
    "X-08": _same("data passes through files, images and the network"),
    # Limits.
    "L-01": _same("limit of a run"),
    "L-02": _same("default limit of a step"),
    "L-03": _same("the run's limit ends the steps"),
    "L-04": _none("limits of the quick build's inner steps", HOSTED),
    "L-05": _none("limits of pack", HOSTED),
    "L-06": _none("CPUs of the shared agent", HOSTED),
    "L-07": _none("names of Azure resources", HOSTED),
    "L-08": _none("timers", "No part of the file."),
    "L-09": _better("no documented size limits", "256 KiB, 32 levels, 20 000 values; said so."),
    "L-10": _none("log retention", "No part of the file."),
    "L-11": _none("inner time limits", "The parts they bound don't exist."),
    # Variables.
    "V-01": _same("`.Run.ID`, `$ID`"),
    "V-02": _same("`.Run.SharedVolume`, `$SharedVolume`"),
    "V-03": _same("`.Run.Registry`, `$Registry`"),
    "V-04": _same("`.Run.RegistryName`, `$RegistryName`"),
    "V-05": _same("`.Run.Date`, `$Date`"),
    "V-06": _same("`.Run.OS`, `$OS`"),
    "V-07": _same("`.Run.Architecture`, `$Architecture`"),
    "V-08": _same("`.Run.Commit`, `$Commit`"),
    "V-09": _same("`.Run.Branch`, `$Branch`"),
    "V-10": _same("`.Run.TaskName`, no alias"),
    "V-11": _same("`.Run.Repository`"),
    "V-12": _same("`.Run.GitTag`"),
    "V-13": _same("`.Run.TriggeredBy`"),
    "V-14": _same("`.Run.OSVersion`"),
    "V-15": _same("`.Build.ID`"),
    "V-16": _same("`.Values.<key>`"),
    "V-17": _same("`.Secrets.<id>`"),
    "V-18": _same("`.ValuesJSON`, `.RunJSON`"),
    "V-30": _same("image alias `acr`"),
    "V-31": _differs("image alias `az`", "The public azure-cli image; configurable."),
    "V-32": _differs("image alias `bash`", "The public bash image; configurable."),
    "V-33": _differs("image alias `curl`", "The public curl image; configurable."),
    "V-34": _same("image alias `cssc`"),
    "V-35": _better("first word of `cmd`", "A bare run variable stands for its value."),
    "V-40": _same("`alias.values`"),
    "V-41": _better("`alias.src`", "Files below the source only; URLs where configured."),
    "V-42": _same("precedence of aliases"),
    "V-43": _same("`alias.directive`"),
    "V-44": _better("the alias block is a template", "What a value brings in isn't rendered "
                    "again."),
    "V-45": _same("where an alias name ends"),
    "V-46": _same("`$$`"),
    "V-47": _same("unknown names stay"),
    "V-48": _same("chains of names"),
    "V-49": _same("no recursion"),
    "V-50": _better("where the alias block ends", "A second block is warned about, or an error."),
    "V-51": _same("aliases work everywhere in the file"),
    # Values and templates.
    "V-60": _same("values file"),
    "V-61": _same("`--set`"),
    "V-62": _same("`--set` without `=`", "An error, as in the engine."),
    "V-63": _same("merging", "An entry replaces a top-level key, as the engine really does."),
    "V-64": _same("`--set-secret`"),
    "V-65": _none("`--arg`", "Belongs to the quick build and stored tasks."),
    "V-66": _none("`--secret-arg`", "Belongs to the quick build and stored tasks."),
    "V-67": _none("overrides of a stored task", "Belongs to stored tasks."),
    "V-68": _none("replacing stored values", "Belongs to stored tasks."),
    "V-69": _none("no environment from the command line", "Belongs to the hosted service."),
    "V-80": _better("Go templates with Sprig", "With limits; without host access and key "
                    "generation."),
    "V-81": _same("`b64enc`"),
    "V-82": _differs("missing keys", "`<no value>` that a person wrote stays."),
    "V-83": _same("template syntax"),
    "V-84": _better("a missing map in between is an error", "With the right line and column."),
    "V-85": _same("rendering comes before YAML"),
    "V-86": _better("templates can't read the host", "No `env`, `expandenv`, files or DNS."),
}  # fmt: skip
"""All rows of sections 1 and 2 of the feature reference."""
