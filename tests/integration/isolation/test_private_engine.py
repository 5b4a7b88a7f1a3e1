"""The private engine comes up, comes back after a kill, and goes without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runners.backends.dind import bridge, outer, places, private_engine
from runners.backends.dind.owner import process_start


@pytest.fixture
def place(state_dir: Path) -> Iterator[Path]:
    state = state_dir / "engine-tests"
    yield state
    private_engine.stop(state)
    assert not private_engine.PrivateEngine(state).data.exists()


def test_two_starts_at_once_give_one_engine(place: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        engines = list(pool.map(private_engine.start, [place, place]))
    assert engines[0].pid() == engines[1].pid()
    found = outer.describe(engines[0].address)
    assert found.remaps
    assert found.beside
    assert found.base[0] >= 100_000
    assert private_engine.status(place) is not None


def test_a_killed_engine_is_started_again_and_stops_without_a_trace(place: Path) -> None:
    first = private_engine.start(place).pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    again = private_engine.start(place)
    second = again.pid()
    assert second not in (None, first)
    assert private_engine.stop(place)
    assert second is not None
    assert process_start(second) is None
    assert not private_engine.stop(place)
    names = [path.name for path in Path("/sys/class/net").iterdir()]
    assert again.bridge not in names
    assert str(places.data_root(place)) not in Path("/proc/self/mountinfo").read_text()
    rules = subprocess.run(
        ["iptables", "-t", "mangle", "-S"], capture_output=True, text=True, check=True
    ).stdout
    assert private_engine.chain_name(place) not in rules


@pytest.fixture
def docker0() -> Iterator[str]:
    """The interface of the user's engine, or one that stands for it."""
    name = "docker0"
    ours = not Path("/sys/class/net", name).exists()
    if ours:
        bridge.make(name, "10.159.0.1", 24, 1400)
    yield name
    if ours:
        bridge.remove(name)


def test_a_restart_leaves_the_users_default_bridge_alone(place: Path, docker0: str) -> None:
    first = private_engine.start(place).pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    private_engine.start(place)
    assert Path("/sys/class/net", docker0).exists()


def test_the_number_of_a_dead_engine_is_not_taken_for_it(place: Path) -> None:
    engine = private_engine.PrivateEngine(place)
    places.make(engine.run)
    engine.pid_file.write_text(str(os.getpid()))
    assert engine.pid() is None
    assert private_engine.status(place) is None
