"""The API keeps its own OpenAPI document: generated requests, good and bad, of every operation.

Nothing they hold is a server error; every answer has a status, a content type
and a body that the document names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runners.model.status import RunStatus
from tasks_service.model.run import RunEnd
from tests.contract.api_server import Api, api

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
EXAMPLES = 12
# Tokens of the test itself must outlive it, and a stream of a run that goes on has no end.
LEFT_OUT = re.compile(r"/logs/stream$")


@schemathesis.serializer("application/gzip", "application/x-tar", "application/zstd")
def archives(_: Any, value: Any) -> bytes:
    """Send what was generated for an archive: never one."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("api")
    with api("sqlite", folder) as made:
        made.call("PUT", "/api/v1/tasks/known", json={"command": "alpine true"})
        run = made.call("POST", "/api/v1/runs", json={"command": "alpine true"}).json()
        claim = made.store.leases.claim("default", owner="w", lease_s=60)
        assert claim is not None
        made.store.leases.finish(run["id"], claim.fence, RunEnd(RunStatus.SUCCEEDED, {"steps": []}))
        yield made


def operations(made: Api) -> list[Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", made.app)
    found = [result.ok() for result in schema.get_all_operations()]
    return [one for one in found if not LEFT_OUT.search(one.path)]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_every_operation_answers_as_documented(served: Api, mode: GenerationMode) -> None:
    tried = 0
    for operation in operations(served):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def attempt(case: Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(
                headers={"Authorization": f"Bearer {served.admin}"}, checks=list(CHECKS)
            )

        # What takes no parameter can't be asked wrongly.
        with suppress(Unsatisfiable):
            attempt()
    assert tried > len(operations(served))
