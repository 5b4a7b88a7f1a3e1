"""Image names: what a person writes in, the full form BuildKit stores out.

Called by request.py and client.py. BuildKit's image exporter takes names as
they are, so they are completed here; a wrong one is refused before anything
is built.
"""

from __future__ import annotations

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef


def full_name(name: str) -> str:
    """Return ``host/repository:tag`` for any accepted short form.

    Raises:
        InvalidInput: it can be no name of a tag; the message says why.
    """
    reference = ImageRef.parse(name)
    if reference.digest:
        raise InvalidInput(
            f"{name!r} cannot name a new image: its digest is not known before it is built.",
            hint="Give a tag instead of a digest.",
        )
    return reference.with_default_tag().canonical
