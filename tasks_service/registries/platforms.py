"""Whether an index that moved is still the same image for the platforms that count.

In: two digests of one reference. Out: yes or no. Indexes change for others' platforms,
for attestations and annotations; nothing of that is a reason to rebuild.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from runners.model.errors import RunnerError
from tasks_service.registries.client import RegistryClient

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MOST = 500


class Platforms:
    """Compares indexes. One thread at a time.

    Args:
        registry: Asked for both, by digest: of what did not move nothing is got.
        count: Platforms that count (``linux/amd64``, ``linux/arm/v7``); none is all of them.
    """

    def __init__(self, registry: RegistryClient, count: Collection[str]) -> None:
        self._registry = registry
        self._count = frozenset(name.lower() for name in count)

    def equal(self, reference: str, old: str, new: str) -> bool:
        """Return whether both digests are the same images; False in any doubt."""
        name = reference.rpartition(":")[0]
        try:
            before, after = self._images(f"{name}@{old}"), self._images(f"{name}@{new}")
        except RunnerError:
            # The old one may be gone. It moved, then.
            return False
        if self._count:
            before = {key: before[key] for key in before.keys() & self._count}
            after = {key: after[key] for key in after.keys() & self._count}
            if before.keys() != self._count:
                return False
        return bool(before) and before == after

    def _images(self, reference: str) -> dict[str, str]:
        found = self._registry.manifest(reference)
        try:
            index = json.loads(found.content)
        except (ValueError, RecursionError):
            return {}
        kind = found.kind.partition(";")[0].strip()
        listed = index.get("manifests") if isinstance(index, Mapping) else None
        if kind not in _INDEXES or not isinstance(listed, list) or len(listed) > _MOST:
            return {}
        return images_of(listed)


def images_of(listed: Collection[Any]) -> dict[str, str]:
    """Return the digest of each platform of an index, without attestations.

    Nothing where two are of one platform, or one can't be read: then nobody knows.
    """
    found: dict[str, str] = {}
    for one in listed:
        platform = one.get("platform") if isinstance(one, Mapping) else None
        if not isinstance(platform, Mapping):
            return {}
        parts = [platform.get(key) for key in ("os", "architecture", "variant", "os.version")]
        name = "/".join(str(part) for part in parts if part).lower()
        if name == "unknown/unknown":
            continue
        digest = one.get("digest")
        if not isinstance(digest, str) or not digest or name in found:
            return {}
        found[name] = digest
    return found
