"""Every option of ``docker run``, and what becomes of it in a ``cmd`` step (Y-101, A1).

A table, read by steps/cmd.py and by the page docs/cmd-flags.md.
"""

from __future__ import annotations

from runners.steps.flags import flag, markdown_table, no_effect, refused

_ADMIN = "only an administrator can give a runner that"
_FILE = "there is no client whose files it could use; "
_LIMIT = "the run's limits are set from outside"

FLAGS = (
    flag("-e --env", "NAME[=VALUE]", "without a value it takes the step's own"),
    flag("-w --workdir", "DIRECTORY"),
    flag("-u --user", "USER[:GROUP]"),
    flag("--entrypoint", "PROGRAM"),
    flag("-p --publish", "PORT", "published in the runner, not on the machine"),
    flag("--expose", "PORT"),
    flag("--network --net", "NETWORK", "a network of the task, or none"),
    flag("--network-alias --net-alias", "NAME"),
    flag("-h --hostname", "NAME"),
    flag("--domainname", "NAME"),
    flag("--add-host", "HOST:ADDRESS"),
    flag("--dns", "ADDRESS"),
    flag("--dns-search", "DOMAIN"),
    flag("--dns-option --dns-opt", "OPTION"),
    flag("-v --volume", "VOLUME:PATH[:ro]", "volumes of the task; no path of the machine"),
    flag("--tmpfs", "PATH[:OPTIONS]"),
    flag("--read-only"),
    flag("-t --tty"),
    flag("--init"),
    flag("-l --label", "NAME[=VALUE]"),
    flag("-m --memory", "SIZE"),
    flag("--memory-swap", "SIZE"),
    flag("--memory-reservation", "SIZE"),
    flag("--shm-size", "SIZE"),
    flag("--cpus", "NUMBER"),
    flag("-c --cpu-shares", "NUMBER"),
    flag("--cpuset-cpus", "LIST"),
    flag("--pids-limit", "NUMBER"),
    flag("--ulimit", "NAME=SOFT[:HARD]"),
    flag("--cap-drop", "CAPABILITY"),
    flag("--group-add", "GROUP"),
    flag("--stop-signal", "SIGNAL"),
    flag("--pull", "POLICY", "missing or always"),
    no_effect("-i --interactive", note="a step has no terminal to read from"),
    no_effect("--rm", note="a step's container is always removed; see 'keep'"),
    no_effect("-a --attach", "STREAM", "a step's output is always shown"),
    no_effect("--sig-proxy"),
    no_effect("--detach-keys", "KEYS"),
    no_effect("-q --quiet"),
    no_effect("--disable-content-trust"),
    no_effect("--oom-score-adj", "NUMBER", _LIMIT),
    no_effect("--log-driver", "DRIVER", "a step's output always goes to the run's log"),
    no_effect("--log-opt", "OPTION", "a step's output always goes to the run's log"),
    no_effect("--no-healthcheck"),
    no_effect("--health-cmd", "COMMAND", "nothing waits for health; let a step try"),
    no_effect("--health-interval", "TIME", "nothing waits for health"),
    no_effect("--health-retries", "NUMBER", "nothing waits for health"),
    no_effect("--health-start-period", "TIME", "nothing waits for health"),
    no_effect("--health-start-interval", "TIME", "nothing waits for health"),
    no_effect("--health-timeout", "TIME", "nothing waits for health"),
    no_effect("--stop-timeout", "SECONDS", "a stopped step has 0.4 s to end by itself"),
    refused("--name", "NAME", "the step's 'id' is its name"),
    refused("-d --detach", note="write 'detach: true' on the step"),
    refused("--restart", "POLICY", "write 'retries' on the step"),
    refused("--privileged", note=_ADMIN),
    refused("--cap-add", "CAPABILITY", _ADMIN),
    refused("--security-opt", "OPTION", _ADMIN),
    refused("--device", "DEVICE", _ADMIN),
    refused("--device-cgroup-rule", "RULE", _ADMIN),
    refused("--gpus", "GPUS", _ADMIN),
    refused("--pid", "MODE", "a step sees its own processes only"),
    refused("--ipc", "MODE", "a step has its own inter-process communication"),
    refused("--uts", "MODE", "a step has its own host name"),
    refused("--userns", "MODE", _ADMIN),
    refused("--cgroupns", "MODE", _ADMIN),
    refused("--cgroup-parent", "PATH", _LIMIT),
    refused("--runtime", "RUNTIME", _ADMIN),
    refused("--isolation", "MODE", "it exists on Windows only"),
    refused("--sysctl", "NAME=VALUE", _ADMIN),
    refused("--annotation", "NAME=VALUE", _ADMIN),
    refused("--use-api-socket", note="a step gets no engine's socket"),
    refused("--mount", "SPEC", "write -v VOLUME:PATH, --tmpfs, or 'volumeMounts' on the step"),
    refused("--volumes-from", "CONTAINER", "steps share /workspace and the task's volumes"),
    refused("--volume-driver", "DRIVER", "volumes are declared in the task"),
    refused("--link", "CONTAINER", "steps on one network reach each other by step id"),
    refused("--link-local-ip", "ADDRESS", "networks of the run give the addresses"),
    refused("--ip", "ADDRESS", "networks of the run give the addresses"),
    refused("--ip6", "ADDRESS", "networks of the run give the addresses"),
    refused("--mac-address", "ADDRESS", "networks of the run give the addresses"),
    refused("-P --publish-all", note="name the ports with -p"),
    refused("--env-file", "FILE", f"{_FILE}write 'env' on the step"),
    refused("--label-file", "FILE", f"{_FILE}write -l"),
    refused("--cidfile", "FILE", f"{_FILE}the step's id is the container's name"),
    refused("--platform", "PLATFORM", "a step runs on the runner's platform"),
    refused("--storage-opt", "OPTION", _LIMIT),
    refused("--oom-kill-disable", note=_LIMIT),
    refused("--memory-swappiness", "NUMBER", _LIMIT),
    refused("--kernel-memory", "SIZE", _LIMIT),
    refused("--blkio-weight", "NUMBER", _LIMIT),
    refused("--blkio-weight-device", "DEVICE:NUMBER", _LIMIT),
    refused("--device-read-bps", "DEVICE:RATE", _LIMIT),
    refused("--device-read-iops", "DEVICE:RATE", _LIMIT),
    refused("--device-write-bps", "DEVICE:RATE", _LIMIT),
    refused("--device-write-iops", "DEVICE:RATE", _LIMIT),
    refused("--cpu-period", "TIME", "write --cpus"),
    refused("--cpu-quota", "TIME", "write --cpus"),
    refused("--cpu-rt-period", "TIME", _LIMIT),
    refused("--cpu-rt-runtime", "TIME", _LIMIT),
    refused("--cpuset-mems", "LIST", _LIMIT),
    refused("--cpu-count", "NUMBER", "it exists on Windows only"),
    refused("--cpu-percent", "NUMBER", "it exists on Windows only"),
    refused("--io-maxbandwidth", "RATE", "it exists on Windows only"),
    refused("--io-maxiops", "RATE", "it exists on Windows only"),
)


def flags_page() -> str:
    """Return the text of docs/cmd-flags.md."""
    return f"{_PAGE}{chr(10).join(markdown_table(FLAGS))}\n"


_PAGE = """# Options of a `cmd` step

The text of a cmd step may begin with options of `docker run`, before the image.
It is split as shell words and never given to a shell. Each option is honoured,
accepted without effect (a warning says so), or refused with its reason; none is
silently ignored.

This page is generated from `runners/steps/cmd_flags.py`.

"""
