"""Source locations: a text the user typed in, a checked location or an error out.

Pure: nothing here touches the network, and only ``Path`` objects are made, not
looked at. Every text that could be taken for an option, a foreign transport or
another host is refused here, before any program is started (K-01 to K-12).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from tasks_service.sources.refs import check_directory, check_ref

MAX_LENGTH = 2048
"""Longest location taken; real ones stay far below."""

_TRANSPORT = re.compile(r"^([A-Za-z0-9+.\-]+)::")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*):(?=/)")
_SCP = re.compile(
    r"^(?P<user>[A-Za-z0-9_][A-Za-z0-9_.\-]*)@(?P<host>[^/:@]+):(?P<path>[^/].*|/.*)$"
)
_LABEL = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?$")
_IPV6 = re.compile(r"^\[[0-9A-Fa-f:.]{2,45}\]$")
_ARCHIVE = re.compile(r"\.(tar|tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst))$|/tar\.gz/", re.IGNORECASE)
_ENCODED_CONTROL = re.compile(r"%(0[0-9A-F]|1[0-9A-F]|7F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A login for exactly one scheme, host and port. Never printed."""

    host: str
    """``host`` or ``host:port`` as Git's credential protocol writes it."""
    username: str
    password: str = field(repr=False)
    scheme: str = "https"


@dataclass(frozen=True, slots=True)
class NoSource:
    """``/dev/null``: nothing is sent; the workspace is empty (K-11)."""

    display: str = "/dev/null"


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """A directory of this machine, as typed (K-01)."""

    path: Path

    @property
    def display(self) -> str:
        """The text for messages and the record."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class GitLocation:
    """A Git repository, what to check out of it, and where inside (K-02 to K-08).

    ``url`` holds no password; ``ref`` and ``directory`` are empty for the
    default branch and the repository's root.
    """

    url: str
    scheme: str
    host: str
    ref: str = ""
    directory: str = ""
    credential: Credential | None = None

    @property
    def display(self) -> str:
        """The location without its credential, for messages and the record."""
        fragment = self.ref + (f":{self.directory}" if self.directory else "")
        return f"{self.url}#{fragment}" if fragment else self.url


@dataclass(frozen=True, slots=True)
class ArchiveLocation:
    """A tarball at an HTTP address (K-09). ``url`` may hold a signed query."""

    url: str = field(repr=False)
    host: str
    display: str
    directory: str = ""
    credential: Credential | None = None


@dataclass(frozen=True, slots=True)
class ArtifactLocation:
    """Files that a registry holds as an OCI artifact (K-10)."""

    reference: str
    """``host[:port]/repository`` with a tag or a digest."""
    host: str
    directory: str = ""
    credential: None = None
    """Logins of registries are kept elsewhere; an address holds none."""

    @property
    def display(self) -> str:
        """The location for messages and the record."""
        return f"oci://{self.reference}" + (f"#:{self.directory}" if self.directory else "")


Location = NoSource | LocalDirectory | GitLocation | ArchiveLocation | ArtifactLocation


def parse_location(text: str, *, allow_http: bool = False) -> Location:
    """Return the checked location that ``text`` means.

    Args:
        text: What the user typed.
        allow_http: Take ``http://`` for any host; loopback is always taken.

    Raises:
        InvalidInput: The text breaks a rule; the message names which.
    """
    _check_text(text)
    if text.lower() == "/dev/null":
        return NoSource()
    transport = _TRANSPORT.match(text)
    if transport:
        raise _scheme_refused(transport.group(1))
    scheme = _SCHEME.match(text)
    if scheme:
        return _parse_url(text, scheme.group(1).lower(), allow_http=allow_http)
    if text.lower().startswith("github.com/"):
        return _parse_url(f"https://{text}", "https", allow_http=allow_http)
    if _SCP.match(text):
        return _parse_scp(text)
    return LocalDirectory(Path(text))


def _check_text(text: str) -> None:
    if not text:
        raise InvalidInput(
            "the source location is empty",
            hint="give a directory, a Git URL such as https://host/app.git#main, or /dev/null",
        )
    if len(text) > MAX_LENGTH:
        raise InvalidInput(
            f"the source location is {len(text)} characters long (at most {MAX_LENGTH})"
        )
    for place, letter in enumerate(text):
        if ord(letter) < 32 or ord(letter) == 127:
            raise InvalidInput(
                f"the source location holds a control character"
                f" (U+{ord(letter):04X}) at position {place + 1}"
            )
    if text == "-":
        raise InvalidInput(
            "a source cannot be read from standard input",
            hint="give a directory; `-f -` reads the task file from standard input",
        )
    if text.startswith("-"):
        raise InvalidInput(
            f"source location {short(text)!r} begins with '-' and looks like an option",
            hint="write ./ in front of a directory of that name",
        )


def _scheme_refused(scheme: str) -> InvalidInput:
    hint = {
        "file": "give the directory itself: it is copied, not cloned",
        "git": "the git:// protocol is neither encrypted nor authenticated; use https://",
        "http": "use https://, or set TASKS_ALLOW_HTTP_SOURCES=1 if you trust the network",
    }.get(scheme.lower(), "")
    return InvalidInput(
        f"source URL scheme {short(scheme)!r} is not allowed (allowed: https, ssh, oci)", hint=hint
    )


def _parse_url(text: str, scheme: str, *, allow_http: bool) -> Location:
    if scheme == "oci":
        return _parse_artifact(text)
    if scheme not in ("https", "http", "ssh"):
        raise _scheme_refused(scheme)
    base, mark, fragment = text.partition("#")
    _check_url_text(base, scheme)
    authority, slash, rest = base[len(scheme) + 3 :].partition("/")
    path, question, query = rest.partition("?")
    userinfo, at, hostport = authority.rpartition("@")
    host = _check_host(hostport)
    if scheme == "http" and not (allow_http or _is_loopback(host)):
        raise _scheme_refused("http")
    if not slash or not path.strip("/"):
        raise InvalidInput(
            f"source URL {_without_login(base)!r} names no repository after the host"
        )
    if question and scheme == "ssh":
        raise InvalidInput("an ssh source URL takes no query string (the part after '?')")
    archive = _is_archive(scheme, path, query=bool(question))
    _refuse_zip(path)
    ref, directory = _split_fragment(fragment, archive=archive) if mark else ("", "")
    if scheme == "ssh":
        user = _check_ssh_user(userinfo) if at else ""
        return GitLocation(f"ssh://{user}{hostport}/{path}", scheme, hostport, ref, directory)
    credential = _credential(userinfo, hostport, scheme) if at else None
    clean = f"{scheme}://{hostport}/{path}"
    if archive:
        shown = clean + ("?…" if question else "")
        return ArchiveLocation(
            clean + (f"?{query}" if question else ""), hostport, shown, directory, credential
        )
    return GitLocation(clean, scheme, hostport, ref, directory, credential)


def _parse_artifact(text: str) -> ArtifactLocation:
    base, mark, fragment = text.partition("#")
    _check_url_text(base, "oci")
    named = base[len("oci://") :]
    authority, _, path = named.partition("/")
    if "@" in authority:
        raise InvalidInput(
            "an oci source takes no login in its address",
            hint="use `docker login`; for a stored task `tasks credential add`",
        )
    host = _check_host(authority)
    if not path or not ("." in host or ":" in authority or host == "localhost"):
        raise InvalidInput(
            f"source {short(base)!r} does not name a registry and a repository",
            hint="write oci://registry.example/repository:tag",
        )
    ref = ImageRef.parse(named).with_default_tag()
    directory = ""
    if mark:
        tag, _, directory = fragment.partition(":")
        if tag or not directory:
            raise InvalidInput(
                "an artifact's tag goes before the '#'",
                hint="write oci://registry.example/repository:tag#:directory",
            )
        check_directory(directory)
    return ArtifactLocation(str(ref), ref.registry_host, directory)


def _check_url_text(base: str, scheme: str) -> None:
    shown = short(_without_login(base))
    if not base.lower().startswith(f"{scheme}://"):
        raise InvalidInput(f"source URL {shown!r} needs '//' after '{scheme}:'")
    if "\\" in base:
        raise InvalidInput(f"source URL {shown!r} holds a backslash, which hosts read differently")
    if not base.isascii():
        raise InvalidInput(
            f"source URL {shown!r} holds letters outside ASCII",
            hint="write the host in its xn-- form and percent-encode the path",
        )
    if any(letter in base for letter in ' "<>`{}|^'):
        raise InvalidInput(f"source URL {shown!r} holds a character that must be percent-encoded")
    if _ENCODED_CONTROL.search(base):
        raise InvalidInput(f"source URL {shown!r} holds an encoded control character")
    if base.count("@") > 1:
        raise InvalidInput(
            "the source URL holds more than one '@', so its host is not clear",
            hint="percent-encode an '@' of the user name or the path as %40",
        )
    path = base.partition("://")[2].partition("?")[0]
    if ".." in unquote(path).split("/"):
        raise InvalidInput(f"source URL {shown!r} holds '..' in its path")


def _check_host(hostport: str) -> str:
    host, colon, port = hostport, "", ""
    if not hostport.startswith("["):
        host, colon, port = hostport.partition(":")
    elif "]:" in hostport:
        host, _, port = hostport.partition("]:")
        host, colon = f"{host}]", ":"
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        raise InvalidInput(f"source URL port {short(port)!r} is not a number from 1 to 65535")
    if not host:
        raise InvalidInput("the source URL has no host")
    if host.startswith("["):
        if not _IPV6.match(host):
            raise InvalidInput(f"source URL host {short(host)!r} is not an IPv6 address")
        return host
    labels = host.rstrip(".").split(".")
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise InvalidInput(f"source URL host {short(host)!r} is not a valid host name")
    if labels[-1][:1].isdecimal() and not _is_dotted_quad(labels):
        raise InvalidInput(
            f"source URL host {short(host)!r} is neither a name nor an address",
            hint="write an IPv4 address as four decimal numbers",
        )
    return host.lower()


def _is_dotted_quad(labels: list[str]) -> bool:
    return len(labels) == 4 and all(
        label.isdecimal() and int(label) < 256 and str(int(label)) == label for label in labels
    )


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or (
        host.startswith("127.") and _is_dotted_quad(host.split("."))
    )


def _is_archive(scheme: str, path: str, *, query: bool) -> bool:
    if scheme == "ssh" or path.endswith(".git") or "/_git/" in f"/{path}":
        return False
    return query or bool(_ARCHIVE.search(path))


def _refuse_zip(path: str) -> None:
    if path.lower().endswith(".zip"):
        raise InvalidInput(
            "zip archives are not taken as a source", hint="use a tarball (.tar.gz, .tar.xz)"
        )


def _split_fragment(fragment: str, *, archive: bool) -> tuple[str, str]:
    ref, _, directory = fragment.partition(":")
    if not ref and not directory:
        raise InvalidInput(
            "nothing follows the '#' of the source URL",
            hint="write #branch, #tag, #commit, #branch:directory or #:directory",
        )
    if archive and ref:
        raise InvalidInput("a tarball has no branches; write #:directory for a directory in it")
    if ref:
        check_ref(ref)
    if directory:
        check_directory(directory)
    return ref, directory


def _check_ssh_user(userinfo: str) -> str:
    if ":" in userinfo:
        raise InvalidInput("an ssh source URL takes no password; use a key")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", userinfo):
        raise InvalidInput(f"user name {short(userinfo)!r} of the source URL is not valid")
    return f"{userinfo}@"


def _credential(userinfo: str, host: str, scheme: str) -> Credential | None:
    username, colon, password = (unquote(part) for part in userinfo.partition(":"))
    if any(ord(letter) < 32 for letter in username + password):
        raise InvalidInput("the login in the source URL holds a control character")
    if colon and password:
        return Credential(host.lower(), username or "dummy", password, scheme)
    # A lone token travels as the password: some servers read no other place (K-08).
    return Credential(host.lower(), "dummy", username, scheme) if username else None


def _parse_scp(text: str) -> GitLocation:
    base, mark, fragment = text.partition("#")
    match = _SCP.match(base)
    if match is None:
        raise InvalidInput(f"source {short(text)!r} names no repository after the host")
    host, path = match["host"], match["path"]
    _check_host(host)
    if path.startswith("-") or "\\" in path or not path.isascii() or ".." in path.split("/"):
        raise InvalidInput(f"path {short(path)!r} of the source is not a valid repository path")
    ref, directory = _split_fragment(fragment, archive=False) if mark else ("", "")
    return GitLocation(f"{match['user']}@{host}:{path}", "ssh", host, ref, directory)


def _without_login(url: str) -> str:
    head, scheme, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{head}{scheme}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def short(text: str) -> str:
    """Return ``text`` cut to 80 characters, for messages."""
    return text if len(text) <= 80 else f"{text[:79]}…"


def redactions(location: Location) -> tuple[str, ...]:
    """Return every text of the location that no output may show."""
    credential = getattr(location, "credential", None)
    if credential is None:
        return ()
    secret = credential.password
    return tuple(dict.fromkeys((secret, quote(secret, safe=""))))
