"""Push with retries: references in, digests out.

Called by steps/push.py. One image after another, in the order given (Y-061);
an image that fails ends the list.
"""

from __future__ import annotations

from collections.abc import Iterable

from runners.model.cancellation import Cancellation
from runners.model.clock import SYSTEM_CLOCK, Clock
from runners.model.errors import Unavailable
from runners.model.record import PushedImage
from runners.sandbox import Output, Sandbox

ATTEMPTS = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0


def push_all(
    references: Iterable[str],
    sandbox: Sandbox,
    output: Output,
    cancel: Cancellation,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[PushedImage, ...]:
    """Push every reference and return what the registries hold, in order.

    A registry that does not answer is tried ``ATTEMPTS`` times, with pauses
    of 250 ms · 2^n and at most 5 s (Y-090). A refusal is not tried again.

    Raises:
        Denied, Unavailable, StepFailed: see Sandbox.push.
    """
    return tuple(push_one(text, sandbox, output, cancel, clock) for text in references)


def push_one(
    reference: str, sandbox: Sandbox, output: Output, cancel: Cancellation, clock: Clock
) -> PushedImage:
    """Push one image, see ``push_all``."""
    attempt = 1
    while True:
        cancel.check()
        try:
            return sandbox.push(reference, output, cancel)
        except Unavailable as error:
            if attempt == ATTEMPTS:
                raise Unavailable(
                    f"push of '{reference}' failed after {ATTEMPTS} attempts: {error.message}",
                    hint=error.hint or "check that the registry is up, then run again",
                    detail=error.detail,
                ) from error
            pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
            text = f"attempt {attempt} of {ATTEMPTS}: {error.message}; again in {pause:g} s\n"
            output.write("stderr", text.encode())
            if clock.wait(pause, cancel):
                raise cancel.reason from error
        attempt += 1
