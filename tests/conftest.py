"""For all tests: where tests must be complete, a skipped one is a failure."""

from __future__ import annotations

import os
import signal

import pytest

# Tests never ask a server that the user of this machine has configured.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent/config"
for _name in ("TASKS_SERVER", "TASKS_TOKEN", "TASKS_CONTEXT"):
    os.environ.pop(_name, None)
# A shell that runs the tests in the background has SIGINT ignored, and so would
# every process of theirs whose interruption is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if os.environ.get("TASKS_TEST_COMPLETE") and skipped and session.exitstatus == 0:
        reporter.write_line(f"{skipped} skipped: `make test` has all they could need", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
