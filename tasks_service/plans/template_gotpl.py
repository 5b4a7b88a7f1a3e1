"""The template engine behind the port: the gotpl package, fenced in.

No function reads the host (``env``, ``expandenv``, ``getHostByName`` are
left out), every function checks a clock and the size of what it takes and
makes, and each loop passes, template calls and output are counted, so no
template outlasts or outgrows its limits. Called through template.py only.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any

from gotpl import (
    BudgetExceededError,
    Environment,
    ExecutionBudget,
    SandboxPolicy,
    SandboxViolationError,
    TemplateExecutionError,
    TemplateSyntaxError,
)
from gotpl.errors import TemplateError as GotplError
from gotpl.funcs.sprig import generic_func_map
from gotpl.runtime.sync_vm import _builtin_functions

from tasks_service.plans.go_functions import Moment, corrected
from tasks_service.plans.template import TICK, TemplateError

MAX_SECONDS = 0.7
"""CPU time of one rendering."""
MAX_OUTPUT = 1 << 20
MAX_PRODUCED = 8 << 20
"""Characters all functions of one rendering may make together."""
MAX_TEXT = 1 << 20
"""Characters of one value, containers counted with all they hold."""
MAX_ITEMS = 10_000
"""Items of a list that a function makes."""
MAX_HELD = 1 << 16
"""Items a container may hold, nested ones counted as often as they appear."""
MAX_ITERATIONS = 100_000
MAX_CALLS = 200_000
MAX_DEPTH = 100
_MAX_REGEX_WORK = 2_000_000
_MAX_SLOW_CALLS = 2

_READS_HOST = ("env", "expandenv", "getHostByName")
# These cost a processor seconds: they make keys, or hash slowly on purpose.
_NOT_OFFERED = (
    "bcrypt", "htpasswd", "buildCustomCert", "genCA", "genCAWithKey", "genPrivateKey",
    "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
)  # fmt: skip
_GROWING_BUILTINS = ("html", "js", "urlquery")
_PRINTING = frozenset(("print", "println", "printf"))
_SHORT_TEXTS = (
    "ago", "date", "dateInZone", "dateModify", "date_in_zone", "date_modify", "duration",
    "durationRound", "htmlDate", "htmlDateInZone", "mustDateModify", "mustToDate",
    "must_date_modify", "semver", "semverCompare", "toDate", "unixEpoch",
)  # fmt: skip
_LONGEST_DATE = 64
_MAX_LAYOUT_DIGITS = 18


class _Clock(threading.local):
    """Time and amount spent by the rendering that runs in this thread."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self.produced = 0
        self.slow_calls = 0

    def start(self) -> None:
        self.deadline = time.thread_time() + MAX_SECONDS
        self.produced = 0
        self.slow_calls = 0

    def tick(self) -> str:
        if time.thread_time() > self.deadline:
            raise BudgetExceededError(f"the template runs longer than {MAX_SECONDS} s")
        return ""

    def account(self, amount: int) -> None:
        self.produced += amount
        if self.produced > MAX_PRODUCED:
            raise BudgetExceededError(
                f"the template's functions made more than {MAX_PRODUCED} characters"
            )


def _size(value: object) -> int:
    """Return the characters and items in a value, stopping above MAX_TEXT."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if not isinstance(value, (list, tuple, dict)):
        return 1
    total = held = 0
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        held += 1
        if isinstance(item, (str, bytes)):
            total += len(item)
        elif isinstance(item, Mapping):
            todo.extend(item.keys())
            todo.extend(item.values())
        elif isinstance(item, (list, tuple)):
            todo.extend(item)
        if total > MAX_TEXT or held + len(todo) > MAX_HELD:
            return MAX_TEXT + 1
    return total + held


def _too_big(name: str) -> BudgetExceededError:
    return BudgetExceededError(
        f"{name} makes or takes more than {MAX_TEXT} characters or {MAX_HELD} items"
    )


def _integers(arguments: tuple[Any, ...]) -> list[int]:
    return [a for a in arguments if isinstance(a, int) and not isinstance(a, bool)]


def _number(value: Any) -> int:
    """Read an argument as the library's own number functions would."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def _strings(arguments: tuple[Any, ...]) -> list[str]:
    return [a for a in arguments if isinstance(a, str)]


def _bounded_count(name: str, arguments: tuple[Any, ...]) -> None:
    """Refuse counts that would allocate before the result can be measured."""
    if any(abs(_number(a)) > MAX_TEXT for a in arguments if not isinstance(a, str)) or any(
        abs(_number(a)) > MAX_TEXT for a in _strings(arguments) if a[:1] in "+-0123456789" and a
    ):
        raise _too_big(name)


def _check_repeat(name: str, arguments: tuple[Any, ...]) -> None:
    count = max((abs(n) for n in _integers(arguments)), default=0)
    length = max((len(s) for s in _strings(arguments)), default=0)
    if count * max(1, length) > MAX_TEXT:
        raise _too_big(name)


def _check_indent(name: str, arguments: tuple[Any, ...]) -> None:
    count = max((abs(n) for n in _integers(arguments)), default=0)
    lines = max((s.count("\n") + 1 for s in _strings(arguments)), default=1)
    if count * lines > MAX_TEXT:
        raise _too_big(name)


def _check_sequence(name: str, arguments: tuple[Any, ...]) -> None:
    numbers = [_number(a) for a in arguments] or [0]
    if name == "until":
        count = abs(numbers[0])
    elif name == "untilStep":
        start, stop, step = (*numbers, 0, 0, 1)[:3]
        count = abs(stop - start) // (abs(step) or 1)
    else:
        first = numbers[0] if len(numbers) > 1 else 1
        step = numbers[1] if len(numbers) > 2 else 1
        count = abs(numbers[-1] - first) // (abs(step) or 1)
    if count > MAX_ITEMS:
        raise BudgetExceededError(f"{name} makes a list of more than {MAX_ITEMS} items")


def _check_regex(name: str, arguments: tuple[Any, ...]) -> None:
    texts = sorted((len(s) for s in _strings(arguments)), reverse=True)
    if len(texts) > 1 and (texts[1] > 1000 or texts[0] * texts[1] > _MAX_REGEX_WORK):
        raise BudgetExceededError(f"{name}: the pattern or the text is too long")
    if any(re.search(r"\{\d*,?\d{3,}", s) for s in _strings(arguments)[:1]):
        raise BudgetExceededError(f"{name}: a repeat count in the pattern is too large")


def _check_join(name: str, arguments: tuple[Any, ...]) -> None:
    separator = len(arguments[0]) if arguments and isinstance(arguments[0], str) else 0
    items = max((len(a) for a in arguments if isinstance(a, (list, tuple))), default=0)
    if separator * items > MAX_TEXT:
        raise _too_big(name)


def _check_replace(name: str, arguments: tuple[Any, ...]) -> None:
    if len(arguments) > 2 and all(isinstance(a, str) for a in arguments[:3]):
        old, new, text = arguments[:3]
        times = text.count(old) if old else len(text) + 1
        if times * len(new) + len(text) > MAX_TEXT:
            raise _too_big(name)


def _check_wrap(name: str, arguments: tuple[Any, ...]) -> None:
    texts = sorted((len(s) for s in _strings(arguments)), reverse=True)
    if len(texts) > 1 and texts[0] * texts[1] > MAX_TEXT:
        raise _too_big(name)


def _check_short(name: str, arguments: tuple[Any, ...]) -> None:
    """Dates and versions are short; the library's time grows fast with longer texts."""
    if any(len(text) > _LONGEST_DATE for text in _strings(arguments)):
        raise BudgetExceededError(f"{name} takes texts of at most {_LONGEST_DATE} characters")
    if "oDate" in name and arguments and isinstance(arguments[0], str):
        # Each number of a layout may take one digit or two; with many of them
        # the library tries every combination.
        numbers = sum(map(str.isdigit, re.sub(r"[.,][09]+", "", arguments[0], count=1)))
        if numbers > _MAX_LAYOUT_DIGITS:
            raise BudgetExceededError(f"{name}: the layout has too many numbers")


_CHECKS: dict[str, Callable[[str, tuple[Any, ...]], None]] = {
    **dict.fromkeys(("until", "untilStep", "seq"), _check_sequence),
    **dict.fromkeys(("repeat",), _check_repeat),
    **dict.fromkeys(("indent", "nindent"), _check_indent),
    **dict.fromkeys(
        ("randAlpha", "randAlphaNum", "randAscii", "randNumeric", "randBytes"), _bounded_count
    ),
    **dict.fromkeys(("join",), _check_join),
    **dict.fromkeys(("replace",), _check_replace),
    **dict.fromkeys(("wrap", "wrapWith"), _check_wrap),
    **dict.fromkeys(_SHORT_TEXTS, _check_short),
}


def _fenced(name: str, function: Callable[..., object], clock: _Clock) -> Callable[..., object]:
    check = _CHECKS.get(name, _check_regex if "egex" in name else None)
    slow = name == "derivePassword"

    @wraps(function)
    def call(*arguments: Any) -> object:
        clock.tick()
        if check is not None:
            check(name, arguments)
        if slow:
            clock.slow_calls += 1
            if clock.slow_calls > _MAX_SLOW_CALLS:
                raise BudgetExceededError(f"{name} is called more than {_MAX_SLOW_CALLS} times")
        for argument in arguments:
            if isinstance(argument, (list, tuple, dict)) and _size(argument) > MAX_TEXT:
                raise _too_big(name)
        result = function(*arguments)
        if isinstance(result, datetime):
            result = Moment.of(result)
        size = _size(result)
        if size > MAX_TEXT:
            raise _too_big(name)
        clock.account(size)
        return result

    return call


def _printing(name: str, function: Callable[..., object]) -> Callable[..., object]:
    @wraps(function)
    def call(*arguments: Any) -> object:
        try:
            return function(*arguments)
        except OverflowError:
            raise _too_big(name) from None

    return call


def _functions(clock: _Clock) -> dict[str, Callable[..., object]]:
    chosen: dict[str, Callable[..., object]] = {
        name: function
        for name, function in generic_func_map().items()
        if name not in _READS_HOST and name not in _NOT_OFFERED
    }
    builtins = _builtin_functions("go")
    chosen.update({name: builtins[name] for name in _GROWING_BUILTINS})
    chosen = corrected(chosen, MAX_TEXT)
    fenced = {name: _fenced(name, function, clock) for name, function in chosen.items()}
    for name in _PRINTING:
        fenced[name] = _printing(name, fenced[name])
    fenced[TICK] = clock.tick
    return fenced


class GotplEngine:
    """TemplateEngine over gotpl. Thread-safe: its counters are per thread."""

    def __init__(self) -> None:
        self._clock = _Clock()
        functions = _functions(self._clock)
        policy = SandboxPolicy.strict(
            allow_functions=list(functions),
            # What a `semver` has; nothing else a template can hold has them.
            allow_attributes=("Major", "Minor", "Patch"),
            allow_methods=("Prerelease", "Metadata", "Original", "Compare"),
            default_budget=ExecutionBudget(
                max_output_chars=MAX_OUTPUT,
                max_iterations=MAX_ITERATIONS,
                max_template_depth=MAX_DEPTH,
                max_function_calls=MAX_CALLS,
            ),
        )
        self._environments = {
            strict: Environment(
                functions=functions, missing_key="error" if strict else "zero", sandbox=policy
            )
            for strict in (False, True)
        }
        self.names = frozenset(functions) - {TICK}

    @lru_cache(maxsize=32)  # noqa: B019 - one engine lives as long as the process
    def _template(self, source: str, name: str, strict: bool) -> Any:
        return self._environments[strict].from_string(source, name=name)

    def render(self, source: str, name: str, data: Mapping[str, Any], *, strict: bool) -> str:
        """Render within the limits; see TemplateEngine."""
        self._clock.start()
        try:
            return str(self._template(source, name, strict).render(data))
        except TemplateSyntaxError as error:
            raise TemplateError(
                _without_position(str(error)), _offset(source, error.line, error.column)
            ) from None
        except TemplateExecutionError as error:
            limit = isinstance(error, BudgetExceededError)
            raise TemplateError(
                _execution_message(error), _offset(source, error.line, error.column), limit=limit
            ) from None
        except GotplError as error:
            raise TemplateError(str(error), 0) from None
        except (RecursionError, MemoryError):
            raise TemplateError("the template is nested too deeply", 0, limit=True) from None
        except Exception as error:  # noqa: BLE001 - the library's own slips must not be tracebacks
            raise TemplateError(f"the template can't be rendered: {error}", 0) from None


def _offset(source: str, line: int | None, column: int | None) -> int:
    start = 0
    for _ in range((line or 1) - 1):
        start = source.find("\n", start) + 1
        if start == 0:
            return len(source)
    return min(len(source), start + max(0, (column or 1) - 1))


def _without_position(message: str) -> str:
    return re.sub(r"^template:[^ ]*: ", "", message).removeprefix("tasksTick")


def _execution_message(error: Any) -> str:
    message = str(error.message)
    if isinstance(error, SandboxViolationError):
        found = re.search(r"'([^']*)'", message)
        if found and "is not allowed" in message:
            return f"there is no '{found[1]}' in this value (it is no map, or is missing)"
    found = re.fullmatch(r"function '(\w+)' failed: (.*)", message, re.DOTALL)
    if found:
        return f"{found[1]}: {found[2]}"
    return message
