"""Errors at the end of the program: one clear message, the right exit code.

In: whatever a command raised. Out: text on standard error and a number.
Called by ``main.main`` only.
"""

from __future__ import annotations

import os
import sys
import traceback

import click

from runners.model.errors import RunnerError
from tasks_service.cli import exit_codes
from tasks_service.cli.terminal import Paint, clean_text

REPORT_HINT = (
    "this is a fault of the program, not of your task; please report it with the output of"
    " `tasks --debug ...` and `tasks version -o json`"
)


class Interrupted(Exception):
    """A signal ended the command before there was a run to record."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("interrupted")
        self.exit_code = exit_code


def report(error: BaseException, *, debug: bool) -> int:
    """Print what happened and return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else exit_codes.FAULT
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say("interrupted")
        return exit_codes.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader of our output went away; nothing can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.FAILED
    if debug and not isinstance(error, click.ClickException):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, RunnerError):
        print_runner_error(error)
        return exit_codes.of_error(error)
    if isinstance(error, click.ClickException):
        _print_usage(error)
        return exit_codes.USAGE
    print_error(f"unexpected {type(error).__name__}: {_one_line(error)}", hint=REPORT_HINT)
    return exit_codes.FAULT


def print_runner_error(error: RunnerError) -> None:
    """Print an error of ours; every problem of a task file once, with its line."""
    problems = getattr(error, "problems", ())
    count = sum(problem.severity == "error" for problem in problems)
    message = error.message
    if count:
        message = f"the task file cannot be run: {count} error{'s' if count > 1 else ''}"
    print_error(message, hint=error.hint, detail=error.detail)


def print_error(message: str, *, hint: str = "", detail: str = "") -> None:
    """Print what, the excerpt, and what to do, to standard error."""
    paint = Paint.of(sys.stderr)
    lines = [f"{paint.bold_red('Error:')} {clean_text(message)}"]
    if detail:
        lines += [f"  {line}" for line in clean_text(detail).rstrip().splitlines()]
    if hint:
        lines.append(f"{paint.bold('What to do:')} {clean_text(hint)}")
    _say("\n".join(lines))


def _print_usage(error: click.ClickException) -> None:
    ctx = getattr(error, "ctx", None)
    usage = f"{ctx.get_usage()}\n" if ctx is not None else ""
    hint = f"{ctx.command_path} --help shows all options" if ctx is not None else ""
    _say(usage, end="")
    print_error(error.format_message(), hint=hint)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or "no message"


def _say(text: str, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()
