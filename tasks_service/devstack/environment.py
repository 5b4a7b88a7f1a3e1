"""What tests and benchmarks need to know of the stack, as environment variables.

``tests/integration/conftest.py`` reads them back.
"""

from __future__ import annotations

from tasks_service.devstack import databases, images, progress, second_engine
from tasks_service.devstack.engines import Engine
from tasks_service.devstack.stack import Stack, with_databases

_OLD_MAJOR = 20


def for_tests(stack: Stack) -> dict[str, str]:
    """Return the variables for tests; starts the second engine.

    The older engine is Debian 12's where the machine has it. On a machine
    with a newer one both names mean newer engines, and a line says so.

    Raises:
        Unavailable: the second engine does not come up.
    """
    with progress.step("A second, newer engine for the tests"):
        new = second_engine.start(stack.where, stack.runners, bench_image(stack))
    urls = with_databases(stack.where)
    old = stack.runners
    version = _version(old)
    if int(version.split(".")[0]) > _OLD_MAJOR:
        progress.note(
            f"the older engine of the tests is {version}: "
            f"this machine's Debian has no {_OLD_MAJOR}.10"
        )
    return {
        "TASKS_TEST_ENGINE_OLD": old.address,
        "TASKS_TEST_ENGINE_NEW": new,
        "TASKS_TEST_REGISTRY": stack.registry,
        "TASKS_TEST_STATE": str(stack.where.state),
        "TASKS_TEST_RUNNER_IMAGE": stack.runner_image,
        "TASKS_TEST_BASE_IMAGE": stack.base_image,
        "TASKS_TEST_REDIS": urls[databases.REDIS],
        "TASKS_TEST_POSTGRES": urls[databases.POSTGRES],
        # All parts are there, so a skipped test hides something.
        "TASKS_TEST_COMPLETE": "1",
    }


def for_bench(stack: Stack) -> dict[str, str]:
    """Return the variables of ``tests.bench``; starts the second engine and databases."""
    address = second_engine.start(stack.where, stack.runners, bench_image(stack))
    urls = with_databases(stack.where)
    name = second_engine.name(stack.where)
    process = stack.runners.api.get(f"/containers/{name}/json")["State"]["Pid"]
    # The peer's programs are in that container, whatever this machine has.
    enter = ["env", "-u", "DOCKER_HOST", "nsenter", f"--target={process}"]
    enter += ["--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    return {
        "TASKS_BENCH_ENGINE": address,
        "TASKS_BENCH_EXEC": " ".join(enter),
        "TASKS_BENCH_REGISTRY": stack.registry,
        "TASKS_BENCH_BASE_IMAGE": stack.base_image,
        "TASKS_BENCH_SCRATCH": str(second_engine.shared_folder(stack.where)),
        # As the tests call them: the same fixtures serve both.
        "TASKS_TEST_REDIS": urls[databases.REDIS],
        "TASKS_TEST_POSTGRES": urls[databases.POSTGRES],
    }


def bench_image(stack: Stack) -> str:
    """Return the image of the second engine, built if it is missing."""
    return images.runner(stack.where, stack.runners, stack.debian_image, target="bench")


def _version(engine: Engine) -> str:
    return str(engine.api.get("/version")["Version"])
