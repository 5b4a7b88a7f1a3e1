"""``python -m tests.fuzz [SECONDS]``: look for inputs that break the language."""

from __future__ import annotations

import random
import sys
import time

from tests.fuzz.test_fuzz_language import FOUND, check

PIECES = [text for text in FOUND if isinstance(text, str)]
ALPHABET = "{}[]:-,#&*!|>'\"%@`$. \n\tacdepst019é\x85\u2028😀"


def mutate(text: str, randomness: random.Random) -> str:
    """Return the text with one to four random changes."""
    for _ in range(randomness.randint(1, 4)):
        at = randomness.randint(0, len(text))
        choice = randomness.randrange(4)
        if choice == 0:
            text = text[:at] + randomness.choice(ALPHABET) + text[at:]
        elif choice == 1:
            text = text[:at] + text[at + randomness.randint(1, 5) :]
        elif choice == 2:
            text = text[:at] + randomness.choice(PIECES) + text[at:]
        else:
            end = min(len(text), at + randomness.randint(1, 12))
            text = text[:end] + text[at:end] * randomness.randint(1, 3) + text[end:]
    return text[:4000]


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(1 << 32)
    randomness = random.Random(seed)
    pool = list(PIECES)
    end = time.monotonic() + seconds
    tried = 0
    print(f"seed {seed}")
    while time.monotonic() < end:
        text = mutate(randomness.choice(pool), randomness)
        tried += 1
        try:
            done = check(text, set_values=["a=b"], set_secrets=["s=hush-hush"])
        except Exception as error:
            print(f"{type(error).__name__}: {error}\n{text!r}")
            return 1
        if done.ok and len(pool) < 2000:
            pool.append(text)
    print(f"{tried} inputs, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
