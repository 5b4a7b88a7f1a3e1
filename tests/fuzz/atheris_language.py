"""Coverage-guided fuzzing of the language, where atheris can be had.

``pip install atheris && python -m tests.fuzz.atheris_language -max_total_time=60``
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tasks_service.plans", "runners.steps"]):
    from tests.fuzz.test_fuzz_language import FOUND, check


def one_input(data: bytes) -> None:
    check(data[1:], set_values=["a=b"], set_secrets=["s=hush-hush"])
    if data[:1] > b"\x7f":
        check(b"version: v1.1.0\n" + data[1:], set_values=["a=b"])


if __name__ == "__main__":
    check(FOUND[0])  # the template engine and YAML are loaded before the clock runs
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
