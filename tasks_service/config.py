# ruff: noqa: RUF009 - _setting returns fields, as dataclasses.field does
"""Settings of the service: read once by a daemon and passed down.

In: command line, environment (``TASKSD_…``), a TOML file. Out: Settings, and
where each value came from (``tasks config``). Precedence: flag, environment,
file, default. A setting that is secret may be given by a file:
``TASKSD_<NAME>_FILE``.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runners.model.errors import InvalidInput

PREFIX = "TASKSD_"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - told like every other problem
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdecimal():
        raise ValueError("must be a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be true or false")


def _seconds(value: Any) -> float:
    text = str(value).strip().lower()
    unit = _UNITS.get(text[-1:], 0)
    number = text[:-1] if unit else text
    try:
        seconds = float(number) * (unit or 1)
    except ValueError:
        raise ValueError("must be a time such as 30, 90s, 5m, 12h or 30d") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError("must not be negative")
    return seconds


def _size(value: Any) -> int:
    text = str(value).strip().lower().removesuffix("b").removesuffix("i")
    unit = _SIZES.get(text[-1:], 0)
    try:
        size = int(float(text[:-1] if unit else text) * (unit or 1))
    except (ValueError, OverflowError):
        raise ValueError("must be a size such as 500m or 2g") from None
    if size < 0:
        raise ValueError("must not be negative")
    return size


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise ValueError("must be a list of texts")


def _path(value: Any) -> Path:
    return Path(_text(value)).expanduser()


def _setting(default: Any, parse: Callable[[Any], Any], text: str, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "help": text, "secret": secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; ``tasks config`` prints it with its origin."""

    state_dir: Path = _setting(
        lambda: Path("/var/lib/tasks"), _path, "Folder of the database, keys, uploads and logs."
    )
    database_url: str = _setting(
        "", _text, "postgresql://…; empty is SQLite in the state folder.", secret=True
    )
    redis_url: str = _setting(
        "", _text, "redis://…; empty is the queue inside `tasks up`.", secret=True
    )
    listen: str = _setting("127.0.0.1:8080", _text, "Address and port of the API.")
    metrics_listen: str = _setting(
        "", _text, "Address and port of /metrics; empty serves it with the API."
    )
    public_url: str = _setting("", _text, "Where people reach the API; for links.")
    key_file: str = _setting(
        "", _text, "Keys that seal secrets; empty is keys.json in the state folder."
    )
    registry: str = _setting("", _text, "Registry of runs that name none.")
    registry_username: str = _setting("", _text, "Login of the registry.")
    registry_password: str = _setting("", _text, "Password of that login.", secret=True)
    pool: str = _setting("default", _text, "Pool this worker serves.")
    concurrency: int = _setting(2, _whole, "Runs this worker executes at once.")
    warm_runners: int = _setting(
        1, _whole, "Runners that wait ready for runs, at least; 0 makes each when a run asks."
    )
    warm_age: float = _setting(
        1800.0, _seconds, "How long a runner may wait before it is made anew."
    )
    backend: str = _setting("dind", _text, "How runners are made.")
    isolation: str = _setting("", _text, "Isolation level of runners; empty is the strongest.")
    runner_state_dir: str = _setting(
        "", _text, "State folder of the runner backend; empty is the state folder."
    )
    max_timeout: float = _setting(28_800.0, _seconds, "Longest time of a run.")
    lease: float = _setting(60.0, _seconds, "How long a worker may be silent before it is lost.")
    heartbeat: float = _setting(10.0, _seconds, "How often a worker renews its leases.")
    drain: float = _setting(300.0, _seconds, "How long a worker that stops waits for its runs.")
    sweep: float = _setting(5.0, _seconds, "How often the scheduler looks for what was lost.")
    requeue_after: float = _setting(
        30.0, _seconds, "When a queued run nobody took is announced again."
    )
    infra_retries: int = _setting(2, _whole, "How often a run is tried again after a lost worker.")
    retention: float = _setting(30 * 86400.0, _seconds, "How long finished runs are kept.")
    log_store: str = _setting(
        "files", _text, "Where finished logs go: files, or s3://bucket/prefix."
    )
    upload_store: str = _setting("files", _text, "Where uploads go: files, or s3://bucket/prefix.")
    s3_endpoint: str = _setting("", _text, "Address of an S3-compatible store.")
    s3_region: str = _setting("us-east-1", _text, "Its region.")
    s3_access_key: str = _setting("", _text, "Its access key.")
    s3_secret_key: str = _setting("", _text, "Its secret key.", secret=True)
    git_poll: float = _setting(
        3600.0, _seconds, "How often repositories of commit triggers are looked at; 0 is never."
    )
    base_poll: float = _setting(
        300.0, _seconds, "How often a base image's registry is asked without a notification."
    )
    base_debounce: float = _setting(
        20.0, _seconds, "How long base images must rest before a wave of rebuilds is planned."
    )
    base_debounce_max: float = _setting(
        180.0, _seconds, "How long a wave waits for base images that keep moving."
    )
    base_policies: str = _setting(
        "", _text, "TOML file of policies of base images; `tasks policies` checks one."
    )
    base_platforms: tuple[str, ...] = _setting(
        (), _names, "Platforms whose base images count (linux/amd64); empty is all of an index."
    )
    event_key: str = _setting(
        "",
        _text,
        "Last part of the URL /hooks/registry/… for registries that send no login; empty is none.",
        secret=True,
    )
    max_upload: int = _setting(2 << 30, _size, "Largest uploaded context.")
    max_queued: int = _setting(10_000, _whole, "Queued runs above which new ones are refused.")
    source_cache: int = _setting(20 << 30, _size, "Most that mirrors of Git repositories may take.")
    allow_http_sources: bool = _setting(False, _flag, "Take http:// sources.")
    allow_hosts: tuple[str, ...] = _setting(
        (), _names, "Hosts at private addresses that sources and secrets may name."
    )
    allow_networks: tuple[str, ...] = _setting((), _names, "The same, as networks (10.0.0.0/8).")
    git_submodules: bool = _setting(False, _flag, "Fetch submodules.")
    git_lfs: bool = _setting(False, _flag, "Fetch Git LFS files.")
    image_marks: tuple[str, ...] = _setting(
        (), _names, "Labels that built images get: base, source, revision."
    )
    log_format: str = _setting("auto", _text, "auto, json or console.")
    log_level: str = _setting("info", _text, "debug, info, warning or error.")

    @property
    def database(self) -> str:
        """The database URL that is really used."""
        return self.database_url or f"sqlite:///{self.state_dir / 'tasks.db'}"

    @property
    def keys(self) -> Path:
        """The file of the sealing keys."""
        return Path(self.key_file) if self.key_file else self.state_dir / "keys.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from, for people."""

    name: str
    value: str
    source: str
    help: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the origin of each in the order of the class."""

    settings: Settings
    origins: tuple[Origin, ...]


def load_settings(
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read all settings; unknown names and wrong values are all told at once.

    Args:
        environ: The environment.
        file: A TOML file; one that was named must exist.
        flags: Values of the command line by setting name; None is not given.
        defaults: Defaults of this command that differ from the class's.

    Raises:
        InvalidInput: With one line for each problem.
    """
    known = {item.name: item for item in dataclasses.fields(Settings)}
    problems: list[str] = []
    found: dict[str, tuple[Any, str]] = {}
    for name, value in (defaults or {}).items():
        found[name] = (value, "default")
    _from_file(file, known, found, problems)
    _from_environment(environ, known, found, problems)
    for name, value in (flags or {}).items():
        if value is not None:
            found[name] = (value, "--" + name.replace("_", "-"))
    values: dict[str, Any] = {}
    for name, (value, source) in found.items():
        try:
            given = isinstance(value, Path | tuple)
            values[name] = value if given else known[name].metadata["parse"](value)
        except ValueError as error:
            shown = "***" if known[name].metadata["secret"] else repr(value)[:60]
            problems.append(f"{source}: {name} = {shown} {error}")
    if problems:
        raise InvalidInput(
            problems[0] if len(problems) == 1 else f"{len(problems)} settings are wrong",
            hint="`tasks config` lists every setting",
            detail="\n".join(problems) if len(problems) > 1 else "",
        )
    settings = Settings(**values)
    origins = tuple(
        Origin(
            name,
            _shown(getattr(settings, name), secret=item.metadata["secret"]),
            found[name][1] if name in found else "default",
            item.metadata["help"],
        )
        for name, item in known.items()
    )
    return Loaded(settings, origins)


def _shown(value: Any, *, secret: bool) -> str:
    if secret and value:
        return "***"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_file(
    file: Path | None,
    known: Mapping[str, Any],
    found: dict[str, tuple[Any, str]],
    problems: list[str],
) -> None:
    if file is None:
        return
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise InvalidInput(f"{file}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {error}") from error
    for name, value in content.items():
        if name in known:
            found[name] = (value, str(file))
        else:
            problems.append(f"{file}: there is no setting '{name}'{_near(name, known)}")


def _from_environment(
    environ: Mapping[str, str],
    known: Mapping[str, Any],
    found: dict[str, tuple[Any, str]],
    problems: list[str],
) -> None:
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in known:
            found[name] = (value, variable)
        elif (base := name.removesuffix("_file")) in known and base != name:
            try:
                found[base] = (Path(value).read_text().rstrip("\r\n"), variable)
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{variable}: {value}: {error}")
        elif name != "config":
            problems.append(f"{variable}: there is no setting '{name}'{_near(name, known)}")


def _near(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean '{near[0]}'?" if near else ""
