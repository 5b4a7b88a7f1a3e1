"""Values printed as Go does; the recorded cases of tests/conformance hold many more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tasks_service.plans.go_functions import Moment
from tasks_service.plans.go_numbers import json_float
from tasks_service.plans.go_printf import sprintf
from tests.unit.tasks_service.plans.make import compiled

LIMIT = 1000


@pytest.mark.parametrize(
    ("pattern", "values", "text"),
    [
        ("%v %d%%", ["a", 5], "a 5%"),
        ("%[2]s-%[1]s", ["a", "b"], "b-a"),
        ("%[3]s", ["a"], "%!s(BADINDEX)"),
        ("%[x]s|%[1", ["a"], "%!s(BADINDEX)|%!(NOVERB)"),
        ("%*d|%-*d|", [4, 7, 3, 8], "   7|8  |"),
        ("%*d", ["x", 7], "%!(BADWIDTH)7"),
        ("%.*f %.*s", [1, 2.55, -1, "abc"], "2.5 %!(BADPREC)abc"),
        ("%d %d", [1], "1 %!d(MISSING)"),
        ("%d", [1, "x", None], "1%!(EXTRA string=x, <nil>)"),
        ("%", [], "%!(NOVERB)"),
        ("%z", [1], "%!z(int=1)"),
        ("%5t|%-6v|%06d|%+d", [True, "ab", -42, 3], " true|ab    |-00042|+3"),
        ("%s %d", [[1, "a", None], {"b": "x", "a": 2.5}],
         "[%!s(int=1) a <nil>] map[%!d(string=a):%!d(float64=2.5) %!d(string=b):%!d(string=x)]"),
        ("%#v", [[1, "a", None, {"k": True}]],
         '[]interface {}{1, "a", interface {}(nil), map[string]interface {}{"k":true}}'),
        ("%q %+q %#q", ["é\n\"", "é", "a"], '"é\\n\\"" "\\u00e9" `a`'),
        ("%x % x %#X", ["hi", "hi", "hi"], "6869 68 69 0X6869"),
        ("%U %#U %c", [0x1F600, 0x41, 0x41], "U+1F600 U+0041 'A' A"),
        ("%g %e %6.2f %b %x", [1e21, 1.5, 3.14159, 1.0, 10.0],
         "1e+21 1.500000e+00   3.14 4503599627370496p-52 0x1.4p+03"),
        ("%v %+v % v", [float("inf"), float("nan"), float("-inf")], "+Inf NaN -Inf"),
    ],
)  # fmt: skip
def test_printf(pattern: str, values: list[object], text: str) -> None:
    assert sprintf(pattern, values, LIMIT) == text


@pytest.mark.parametrize("pattern", ["%1001d", "%01001d", "%.1001d", "%-1001v", "%1001q"])
def test_no_width_outgrows_the_limit(pattern: str) -> None:
    with pytest.raises(OverflowError):
        sprintf(pattern, [7], LIMIT)
    with pytest.raises(OverflowError):
        sprintf("%600v", [["a", "b"]], LIMIT)


@pytest.mark.parametrize(
    ("number", "text"),
    [(1000.0, "1000"), (1e21, "1e+21"), (1e-7, "1e-7"), (1e-6, "0.000001"), (-0.5, "-0.5"),
     (123456789012345680000.0, "123456789012345680000"), (0.0, "0")],
)  # fmt: skip
def test_numbers_of_json(number: float, text: str) -> None:
    assert json_float(number) == text


def test_times_print_as_go_prints_them() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 60000, UTC)
    assert str(Moment.of(moment)) == "2026-01-02 03:04:05.06 +0000 UTC"
    east = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=2)))
    assert str(Moment.of(east)) == "2026-01-02 03:04:05 +0200 +0200"


def test_a_missing_value_compares_with_anything() -> None:
    text = "steps: [{cmd: 'img {{if eq .Values.stage \"prod\"}}a{{else}}b{{end}}'}]\n"
    made = compiled(text)
    assert made.plan is not None
    assert made.plan.steps[0].spec.args == ("b",)
