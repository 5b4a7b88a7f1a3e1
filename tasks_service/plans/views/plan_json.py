"""A plan as data: the stable form of ``tasks plan -o json``, secrets masked.

In: a Compiled with a plan. Out: JSON-like data. Property names are those of
the task file. Called by ``tasks plan``, the service, and other views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runners.model.plan import PlannedStep
from tasks_service.plans.compile import Compiled
from tasks_service.plans.masking import mask_data
from tasks_service.plans.model import StepItem, TaskFile
from tasks_service.plans.scalars import is_null
from tasks_service.plans.yaml_nodes import SCALAR

# Planned attribute by YAML key, where a written property is shown as planned.
_SHOWN: Mapping[str, str] = {
    "startDelay": "start_delay_s",
    "retries": "retries",
    "retryDelay": "retry_delay_s",
    "retryOnErrors": "retry_on_errors",
    "repeat": "repeat",
    "ignoreErrors": "ignore_errors",
    "detach": "detach",
    "keep": "keep",
    "entryPoint": "entry_point",
    "expose": "expose",
    "ports": "ports",
    "isolation": "isolation",
    "privileged": "privileged",
    "user": "user",
    "pull": "pull",
    "cmdDownloadRetries": "download_retries",
    "cmdDownloadRetryDelay": "download_retry_delay_s",
    "cpus": "cpus",
    "exitedWith": "exited_with",
    "exitedWithout": "exited_without",
}


def plan_json(compiled: Compiled) -> dict[str, Any]:
    """Return the plan: steps in file order, each with all that is set.

    Raises:
        InvalidTaskFile: the file has errors.
    """
    plan = compiled.require_plan()
    task = compiled.task
    items = task.steps if task is not None else []
    data = {
        "version": plan.version,
        "steps": [
            _step(planned, item, task) for planned, item in zip(plan.steps, items, strict=True)
        ],
        "networks": [
            {
                "name": network.name,
                "driver": network.driver,
                "ipv6": network.ipv6,
                "skipCreation": network.skip_creation,
            }
            for network in plan.networks
        ],
        "volumes": [{"name": v.name, "secret": sorted(v.files)} for v in plan.volumes],
        "secrets": [_secret(secret) for secret in (task.secrets if task else ())],
    }
    masked: dict[str, Any] = mask_data(data, compiled.mask)
    return masked


def _secret(secret: Any) -> dict[str, str]:
    entry = {"id": secret.id, "keyvault": secret.keyvault}
    if secret.client_id:
        entry["clientID"] = secret.client_id
    return entry


def _step(planned: PlannedStep, item: StepItem, task: TaskFile | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": planned.id,
        "kind": planned.kind,
        "needs": list(planned.needs),
        "timeout": planned.timeout_s,
        "network": planned.network,
        "env": dict(planned.env),
        **item.kinds,
    }
    for name, attribute in _SHOWN.items():
        node = item.nodes.get(name)
        if node is not None and not (node.kind == SCALAR and is_null(node)):
            value = getattr(planned, attribute)
            data[name] = list(value) if isinstance(value, tuple) else value
    if item.disable_working_directory_override:
        data["disableWorkingDirectoryOverride"] = True
    elif item.working_directory or (task is not None and task.working_directory):
        data["workingDirectory"] = planned.working_directory
    if item.cache:
        data["cache"] = item.cache.lower()
    if planned.volume_mounts:
        data["volumeMounts"] = [
            {"name": mount.name, "mountPath": mount.mount_path} for mount in planned.volume_mounts
        ]
    return data
