"""Scalars as YAML 1.1 with Go's number forms reads them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tasks_service.plans.scalars import resolve
from tasks_service.plans.yaml_nodes import parse_yaml


def value(text: str) -> Any:
    root = parse_yaml(f"v: {text}\n")
    assert root is not None
    return resolve(root.value[0][1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True), ("No", False), ("on", True), ("OFF", False), ("y", True), ("n", False),
        ("True", True), ("tRue", "tRue"), ("~", None), ("", None), ("Null", None),
        ("010", 8), ("0o17", 15), ("0x10", 16), ("0b11", 3), ("-0x10", -16), ("1_000", 1000),
        ("+5", 5), ("-0", 0), ("08", 8.0), ("1e2", 100.0), ("1.9", 1.9), (".5", 0.5), ("5.", 5.0),
        ("1e3", 1000.0), ("22:22", "22:22"), ("2020-01-01", "2020-01-01"), ("'5'", "5"),
        ('"yes"', "yes"), ("1.2.3", "1.2.3"), ("0xg", "0xg"), ("!!str 5", "5"),
        ("!!float 5", 5.0), ("!!int '5'", 5), ("!!null x", None), ("v1", "v1"),
        ("9223372036854775807", 9223372036854775807),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775809.0), ("=", "="),
    ],
)  # fmt: skip
def test_values(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_special_floats() -> None:
    assert math.isnan(value(".nan"))
    assert value("-.inf") == -math.inf


def test_endless_digits_stay_text() -> None:
    assert value("1" * 5000) == "1" * 5000
