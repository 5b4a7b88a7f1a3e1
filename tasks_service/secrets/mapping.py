"""Send the secrets of an Azure key vault to another place, by configuration.

In: ``TASKS_KEYVAULT_MAP`` and a Location. Out: the Location that is asked.
Called by resolve.py, so that task files written for Azure run elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tasks_service.secrets.base import Location, parse_location, shown
from tasks_service.secrets.errors import SecretRefused

_HINT = "write TASKS_KEYVAULT_MAP as <vault host>=<scheme>:<place with {name}>, comma-separated"


def read_mapping(text: str) -> Mapping[str, str]:
    """Read ``host=target`` entries; a target holds ``{name}`` or ``{NAME}``.

    Raises:
        SecretRefused: An entry has no host or no placeholder.
    """
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, separator, target = entry.partition("=")
        if not separator or not host or not ("{name}" in target or "{NAME}" in target):
            raise SecretRefused(
                f"TASKS_KEYVAULT_MAP has an entry that can't be: '{shown(entry)}'", hint=_HINT
            )
        found[host.strip().lower()] = target.strip()
    return found


def mapped(location: Location, mapping: Mapping[str, str]) -> Location:
    """Return where configuration says that the secret is, else the same location.

    ``{name}`` becomes the secret's name, ``{NAME}`` the same in capitals with
    ``_`` for ``-``. A version in the URL is dropped: other places number
    theirs differently.

    Raises:
        SecretRefused: The vault is mapped, but the URL isn't a key vault's.
    """
    if not mapping or location.scheme != "https":
        return location
    try:
        parts = urlsplit(location.text)
        target = mapping.get((parts.netloc or "").lower())
    except ValueError:
        return location
    if target is None:
        return location
    name = keyvault_name(parts.path)[0]
    filled = target.replace("{name}", name).replace("{NAME}", name.upper().replace("-", "_"))
    # An Azure identity means nothing elsewhere.
    client_id = location.client_id if filled.lower().startswith("https:") else ""
    return parse_location(filled, client_id=client_id, trusted=True)


def keyvault_name(path: str) -> tuple[str, str]:
    """Return name and version (or '') of ``/secrets/<name>[/<version>]`` (Y-031).

    Raises:
        SecretRefused: The path is another one.
    """
    first, *rest = path.strip("/").split("/")
    plain = all(part.isascii() and part.replace("-", "").isalnum() for part in rest)
    if first.lower() != "secrets" or len(rest) not in {1, 2} or not plain:
        raise SecretRefused(
            f"'{shown(path)}' is not the path of a key vault's secret",
            hint="write keyvault: https://<vault>/secrets/<name>[/<version>]",
        )
    return rest[0], rest[1] if len(rest) == 2 else ""
