"""``python -m tasks_service.devstack VERB``: what the Makefile calls.

Verbs: up, down, status, demo, service, env, check, test, bench. Exit code 0 is
success, 1 that something to be checked is not right, 2 that a prerequisite
is missing; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from runners.model.errors import RunnerError
from tasks_service.devstack import demo, environment, gate, patching, service, stack
from tasks_service.devstack.layout import CHECKOUT, Layout, exclusive

Options = argparse.Namespace


def _up(where: Layout, options: Options) -> int:
    del options
    found = stack.up(where)
    sys.stdout.write(
        f"registry    {found.registry} (holds {found.base_image})\n"
        f"Git server  {found.git_url}\n"
        f"engine      {found.runners.address}\n"
    )
    return 0


def _down(where: Layout, options: Options) -> int:
    del options
    stack.down(where)
    return 0


def _status(where: Layout, options: Options) -> int:
    del options
    for name, state in stack.status(where).items():
        sys.stdout.write(f"{name:20} {state}\n")
    return 0


def _demo(where: Layout, options: Options) -> int:
    del options
    found = stack.up(where)
    return demo.run(found) or patching.run(found)


def _service(where: Layout, options: Options) -> int:
    del options
    with exclusive(where, "make service"):
        words = service.prepare(stack.up(where))
    # Others may use the stack while the service runs.
    return service.become(where, words)


def _env(where: Layout, options: Options) -> int:
    del options
    for name, value in environment.for_tests(stack.up(where)).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def _check(where: Layout, options: Options) -> int:
    del options
    good = gate.run_checks(where.checkout)
    return 0 if gate.run_tests(where.checkout, None) and good else 1


def _test(where: Layout, options: Options) -> int:
    del options
    # What is checked needs no stack, and the stack mostly waits.
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(gate.run_checks, where.checkout)
        found = stack.up(where)
        good = checked.result()
    tests = gate.run_tests(where.checkout, environment.for_tests(found))
    if not good:
        sys.stderr.write("\nThe tests ran, but style, types, layers or drift are not right.\n")
    return 0 if tests and good else 1


def _bench(where: Layout, options: Options) -> int:
    found = stack.up(where)
    words = [sys.executable, "-m", "tests.bench"]
    words += ["--only", options.only] if options.only else []
    words += ["--rounds", str(options.rounds)] if options.rounds else []
    more = environment.for_bench(found) | demo.tasks_environment(found)
    done = subprocess.run(words, cwd=where.checkout, env={**os.environ, **more}, check=False)
    return done.returncode


_VERBS: dict[str, tuple[Callable[[Layout, Options], int], bool, str]] = {
    "up": (_up, True, "start everything and leave it running"),
    "down": (_down, True, "stop and remove everything"),
    "status": (_status, False, "show what runs"),
    "demo": (_demo, True, "build, test and push a real task"),
    "service": (_service, False, "run the service on the demo's parts"),
    "env": (_env, True, "start everything and print what tests need"),
    "check": (_check, False, "what needs no engine"),
    "test": (_test, True, "the gate and all tests"),
    "bench": (_bench, True, "measure"),
}


def main(argv: list[str] | None = None) -> int:
    """Do one verb and return the exit code; errors end in one message."""
    parser = argparse.ArgumentParser(prog="python -m tasks_service.devstack")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (_, _, text) in _VERBS.items():
        verb = verbs.add_parser(name, help=text)
        if name == "bench":
            verb.add_argument("--only", default="")
            verb.add_argument("--rounds", type=int, default=0)
    options = parser.parse_args(argv)
    work, alone, _ = _VERBS[options.verb]
    where = Layout(CHECKOUT)
    try:
        if not alone:
            return work(where, options)
        with exclusive(where, f"make {options.verb}"):
            return work(where, options)
    except RunnerError as error:
        parts = [f"error: {error.message}", error.detail, error.hint and f"hint: {error.hint}"]
        sys.stderr.write("\n" + "\n".join(part for part in parts if part) + "\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; `make down` removes what was started\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
