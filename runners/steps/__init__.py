"""Step kinds: one module each, one line each in ``KINDS``."""

from __future__ import annotations

from runners.steps import build, cmd, push
from runners.steps.base import StepKind

KINDS: dict[str, StepKind] = {
    build.KIND.key: build.KIND,
    cmd.KIND.key: cmd.KIND,
    push.KIND.key: push.KIND,
}
