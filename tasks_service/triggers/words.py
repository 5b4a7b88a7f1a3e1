"""Parts of schedules in words: sets of numbers in, English out."""

from __future__ import annotations

import re
from collections.abc import Sequence


def time_of_day(minute: str, hour: str, minutes: Sequence[int], hours: Sequence[int]) -> str:
    """Return minute and hour fields in words; ``minutes``, ``hours`` are what they mean."""
    all_hours = len(hours) == 24
    step = re.fullmatch(r"(?:\*|0)/(\d+)", minute)
    if len(minutes) == 60:
        often = "every minute"
    elif step and 60 % int(step[1]) == 0:
        often = f"every {step[1]} minutes"
    elif all_hours:
        return f"at minute {listed(minutes)} of every hour"
    elif len(minutes) * len(hours) <= 6:
        return "at " + joined([f"{h:02}:{m:02}" for h in hours for m in minutes])
    else:
        often = f"at minute {listed(minutes)}"
    if all_hours:
        return often
    steps = re.fullmatch(r"(?:\*|0)/(\d+)", hour)
    if steps and 24 % int(steps[1]) == 0:
        return f"{often} of every {steps[1]}. hour"
    return f"{often} of hour {listed(hours)}"


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as ranges where three or more follow each other: ``1, 3-5 and 9``."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and groups[-1][-1] == number - 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    texts: list[str] = []
    for group in groups:
        texts += [f"{group[0]}-{group[-1]}"] if len(group) > 2 else [str(n) for n in group]
    return joined(texts)


def named(numbers: Sequence[int], names: Sequence[str], first: int) -> str:
    """Return numbers by their names; ``first`` is the number of the first name."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{names[numbers[0] - first]} to {names[numbers[-1] - first]}"
    return joined([names[number - first] for number in numbers])


def joined(texts: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
