"""Every recorded case comes out as in the original, or differs for a named reason."""

from __future__ import annotations

from collections import Counter

from tests.conformance.__main__ import DEFAULT
from tests.conformance.cases import judge, read_cases


def test_no_recorded_case_comes_out_wrong() -> None:
    verdicts = [judge(case) for case in read_cases(DEFAULT)]
    assert [verdict for verdict in verdicts if verdict.outcome == "WRONG"] == []
    counts = Counter(verdict.outcome for verdict in verdicts)
    assert counts["same"] > 10 * counts["differs"] > 0
