"""Background processes: recorded before they run, never mistaken for others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack import processes

SLEEPER = ["sleep", "300"]
STUBBORN_CODE = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""
STUBBORN = [sys.executable, "-c", STUBBORN_CODE]


def test_a_started_process_is_found_and_stopped(tmp_path: Path) -> None:
    processes.start("sleeper", SLEEPER, run=tmp_path, log=tmp_path / "log")
    record = processes.find("sleeper", tmp_path)
    assert record is not None
    assert processes.stop("sleeper", tmp_path)
    assert processes.find("sleeper", tmp_path) is None
    assert not Path(f"/proc/{record.pid}").exists()


def test_the_process_is_its_own_session(tmp_path: Path) -> None:
    processes.start("sleeper", SLEEPER, run=tmp_path, log=tmp_path / "log")
    record = processes.find("sleeper", tmp_path)
    assert record is not None
    assert os.getsid(record.pid) == record.pid
    processes.stop("sleeper", tmp_path)


def test_stopping_twice_and_stopping_nothing_is_fine(tmp_path: Path) -> None:
    assert not processes.stop("nobody", tmp_path)


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes.start("stubborn", STUBBORN, run=tmp_path, log=log)
    while "ready" not in processes.tail(log):
        os.sched_yield()
    assert processes.stop("stubborn", tmp_path, grace_s=0.1)
    assert processes.find("stubborn", tmp_path) is None


def test_a_number_given_to_another_process_is_not_signalled(tmp_path: Path) -> None:
    processes.start("sleeper", SLEEPER, run=tmp_path, log=tmp_path / "log")
    path = tmp_path / "sleeper.process"
    stat, boot = path.read_text().splitlines()
    fields = stat.split()
    fields[21] = str(int(fields[21]) + 1)
    (tmp_path / "other.process").write_text(" ".join(fields) + "\n" + boot + "\n")
    assert not processes.stop("other", tmp_path)
    assert processes.find("sleeper", tmp_path) is not None
    processes.stop("sleeper", tmp_path)


def test_a_record_of_an_earlier_boot_counts_for_nothing(tmp_path: Path) -> None:
    processes.start("sleeper", SLEEPER, run=tmp_path, log=tmp_path / "log")
    path = tmp_path / "sleeper.process"
    stat = path.read_text().splitlines()[0]
    (tmp_path / "old.process").write_text(f"{stat}\nanother boot\n")
    assert processes.find("old", tmp_path) is None
    processes.stop("sleeper", tmp_path)


@pytest.mark.parametrize("text", ["", "nonsense", "1 (a) b) S 2 3"])
def test_a_damaged_record_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.process").write_text(text)
    assert processes.find("broken", tmp_path) is None
    assert not processes.stop("broken", tmp_path)


def test_a_missing_program_leaves_its_words_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes.start("nothing", ["/no/such/program"], run=tmp_path, log=log)
    while not processes.tail(log):
        os.sched_yield()
    assert "/no/such/program" in processes.tail(log)
    processes.stop("nothing", tmp_path)


def test_a_record_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "x.process.partial").mkdir()
    with pytest.raises(Unavailable):
        processes.start("x", SLEEPER, run=run, log=tmp_path / "log")
