"""Step kinds: one module each, one line each in ``KINDS``."""

from __future__ import annotations

from runners.steps.base import StepKind

KINDS: dict[str, StepKind] = {}
