"""Two hundred builds in a row leave nothing behind in the process."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from tests.integration.buildkit.conftest import Builder

_BUILDS = 200
_WARM_UP = 20
_MEMORY_KIB = 8 * 1024


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident_kib() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.timeout(600)
def test_two_hundred_builds_leak_no_thread_socket_or_memory(builder: Builder) -> None:
    builder.write({"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "1"})
    for _ in range(_WARM_UP):
        builder.solve()
    before = (threading.active_count(), descriptors(), resident_kib())
    for _ in range(_BUILDS):
        builder.solve()
    after = (threading.active_count(), descriptors(), resident_kib())
    # grpcio keeps a thread of its own or two around its calls.
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + _MEMORY_KIB
