"""Image references: parse, check, complete, format.

Text as a person writes it in, ImageRef out. Used wherever an image is named.
The grammar is the one Docker and the OCI distribution specification share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from runners.model.errors import InvalidInput

DEFAULT_REGISTRY = "docker.io"
MAX_NAME = 255

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A reference to an image.

    Attributes:
        registry: ``host[:port]`` as written, or empty where none was.
        path: Repository path without the registry, as written.
        tag: The tag, or empty.
        digest: The digest, or empty.
    """

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """Registry and path as written, without tag and digest."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    @property
    def registry_host(self) -> str:
        """The registry that is asked: Docker Hub where none was written."""
        return self.registry or DEFAULT_REGISTRY

    @property
    def canonical(self) -> str:
        """The full form, e.g. ``docker.io/library/alpine:3``."""
        path = self.path
        if self.registry_host == DEFAULT_REGISTRY and "/" not in path:
            path = f"library/{path}"
        return str(replace(self, registry=self.registry_host, path=path))

    def with_default_tag(self) -> ImageRef:
        """Return the reference with ``:latest`` where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Parse ``[registry/]path[:tag][@digest]``.

        Raises:
            InvalidInput: it cannot be a reference; the message names the rule.
        """
        if not text or text != text.strip() or any(c.isspace() for c in text):
            raise _bad(text, "it is empty" if not text.strip() else "it has blanks")
        if "://" in text:
            raise _bad(text, "a reference has no URL scheme", f"write {text.split('://', 1)[1]!r}")
        rest, _, digest = text.partition("@")
        if digest or text.endswith("@"):
            _check_digest(text, digest)
        head, slash, last = rest.rpartition("/")
        last, colon, tag = last.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise _bad(text, _tag_rule(tag))
        return cls(*_split_name(text, f"{head}{slash}{last}"), tag, digest)


def _split_name(text: str, name: str) -> tuple[str, str]:
    registry, slash, path = name.partition("/")
    # The first part is a registry only if it looks like a host: Docker's rule.
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, path = "", name
    elif not _REGISTRY.fullmatch(registry):
        raise _bad(text, f"{registry!r} is not a registry host")
    if len(name) > MAX_NAME:
        raise _bad(text, f"the name is longer than {MAX_NAME} characters")
    if re.fullmatch(r"[0-9a-f]{64}", path) and not registry:
        raise _bad(text, "64 hexadecimal digits are an image id, not a name")
    for part in path.split("/"):
        if not _COMPONENT.fullmatch(part):
            raise _bad(text, *_component_rule(part, path))
    return registry, path


def _component_rule(part: str, path: str) -> tuple[str, str]:
    if not part:
        return "a part of the path is empty", ""
    if part != part.lower():
        return "the repository path must be lowercase", f"write {path.lower()!r}"
    odd = sorted({c for c in part if not re.match(r"[a-z0-9._-]", c)})
    if odd:
        return f"{' '.join(odd)!r} may not stand in a repository path", ""
    rule = "letters and digits, separated by one '.', one or two '_', or '-'; none first or last"
    return f"{part!r}: {rule}", ""


def _tag_rule(tag: str) -> str:
    if not tag:
        return "the tag after ':' is empty"
    if len(tag) > 128:
        return f"the tag is {len(tag)} characters long; 128 are allowed"
    return f"tag {tag!r}: letters, digits, '_', '.', '-'; not '.' or '-' first"


def _check_digest(text: str, digest: str) -> None:
    algorithm = digest.partition(":")[0]
    if not _DIGEST.fullmatch(digest) or (algorithm == "sha256" and not _SHA256.fullmatch(digest)):
        raise _bad(text, "the digest after '@' must be sha256: and 64 hexadecimal digits")


def _bad(text: str, rule: str, hint: str = "") -> InvalidInput:
    return InvalidInput(f"invalid image reference {text[:300]!r}: {rule}", hint=hint)
