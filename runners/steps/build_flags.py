"""Every option of ``docker build``, and what becomes of it in a ``build`` step.

A table, read by steps/build.py and by the page docs/build-flags.md.
"""

from __future__ import annotations

from runners.steps.flags import flag, markdown_table, no_effect, refused

_RUN_LIMITS = "BuildKit has no limits of its own for a build; the run's limits hold"
_RECORD = "there is no client whose files it could write; the run record (-o json) has it"

FLAGS = (
    flag("-t --tag --image", "REFERENCE", "may be repeated"),
    flag("-f --file", "FILE", "beneath the context or the working directory"),
    flag("--build-arg", "NAME[=VALUE]", "without a value it takes the step's env, if there"),
    flag("--label", "NAME[=VALUE]"),
    flag("--target", "STAGE"),
    flag("--platform", "PLATFORM[,...]"),
    flag("--secret", "id=ID[,src=FILE|env=NAME]", "without a source, the task's secret of that id"),
    flag("--ssh", "default|ID=SOCKET", "where the runner has an agent"),
    flag("--build-context", "NAME=DIRECTORY|IMAGE|ADDRESS"),
    flag("--no-cache"),
    flag("--no-cache-filter", "STAGE[,...]"),
    flag("--pull"),
    flag("--network", "MODE", "default or none; host only where an administrator allows it"),
    flag("--add-host", "HOST:ADDRESS"),
    flag("--shm-size", "SIZE"),
    flag("--ulimit", "NAME=SOFT[:HARD]"),
    flag("--cache-from", "REFERENCE|type=...,..."),
    flag("--cache-to", "REFERENCE|type=...,...", "registry or inline"),
    flag("--provenance", "MODE", "mode=max unless given"),
    flag("--sbom", "MODE"),
    flag("--attest", "type=...,...", "provenance and sbom"),
    flag("--push", note="pushes the tags when the build is done"),
    flag("-o --output", "type=...,...", "image, docker or registry"),
    no_effect("--load", note="an image always goes to the run's image store"),
    no_effect("-q --quiet"),
    no_effect("--progress", "STYLE", "see 'tasks run --help' for the styles of output"),
    no_effect("--rm"),
    no_effect("--force-rm"),
    no_effect("--compress", note="only changed files are sent in any case"),
    no_effect("--disable-content-trust"),
    no_effect("-m --memory", "SIZE", _RUN_LIMITS),
    no_effect("--memory-swap", "SIZE", _RUN_LIMITS),
    no_effect("-c --cpu-shares", "NUMBER", _RUN_LIMITS),
    no_effect("--cpu-period", "TIME", _RUN_LIMITS),
    no_effect("--cpu-quota", "TIME", _RUN_LIMITS),
    no_effect("--cpuset-cpus", "LIST", _RUN_LIMITS),
    no_effect("--cpuset-mems", "LIST", _RUN_LIMITS),
    refused("--isolation", "MODE", "it exists on Windows only"),
    refused("--squash", note="BuildKit cannot do it; use stages (FROM ... AS, COPY --from)"),
    refused("--stream", note="it is gone from Docker; contexts are always sent incrementally"),
    refused("--security-opt", "OPTION", "only an administrator can give a build that"),
    refused("--cgroup-parent", "PATH", "the run's limits are set from outside"),
    refused("--allow", "ENTITLEMENT", "only an administrator can give a build that"),
    refused("--builder", "NAME", "a run has one builder of its own"),
    refused("--annotation", "NAME=VALUE", "not done yet; use --label"),
    refused("--iidfile", "FILE", _RECORD),
    refused("--metadata-file", "FILE", _RECORD),
    refused("--call", "METHOD", "a step builds; to check a Dockerfile use the BuildKit linter"),
    refused("--check", note="a step builds; to check a Dockerfile use the BuildKit linter"),
    refused("--debug", note="a step has no terminal"),
    refused("-D", note="a step has no terminal"),
    refused("--policy", "FILE", "only an administrator sets policies"),
)


def flags_page() -> str:
    """Return the text of docs/build-flags.md."""
    return f"{_PAGE}{chr(10).join(markdown_table(FLAGS))}\n"


_PAGE = """# Flags of a `build` step

The text of a build step takes the flags of `docker build`. It is split as shell
words and never given to a shell. Each flag is honoured, accepted without effect
(a warning says so), or refused with its reason; none is silently ignored.

This page is generated from `runners/steps/build_flags.py`.

"""
