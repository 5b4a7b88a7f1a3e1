"""Bodies that come in: what to run, tasks, tokens.

Only form is checked here; what can be run is for ``tasks_service.runs`` to say.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks_service.api.models.base import MAX_STRING, Text, Wire
from tasks_service.model.timer import MAX_JITTER_S, MAX_TIMERS
from tasks_service.triggers.windows import MAX_WINDOWS

Short = Annotated[Text, Field(max_length=2048)]
Long = Annotated[Text, Field(max_length=MAX_STRING)]
MAX_LIST = 1000
Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class NamedValue(Wire):
    """A value or build argument. A secret one is sealed and never shown.

    In a stored task ``secret`` without ``value`` keeps the stored one.
    """

    name: Short
    value: Long | None = None
    secret: bool = False


class BuildSecret(Wire):
    """A secret of ``RUN --mount=type=secret,id=…``; without a value the stored one is kept."""

    id: Short
    value: Annotated[Text, Field(max_length=524_288)] | None = None


class Credential(Wire):
    """A login of a registry."""

    registry: Short
    username: Short
    password: Annotated[Text, Field(max_length=16_384)]


class CredentialInput(Wire):
    """A login; the path names the registry."""

    username: Annotated[Text, Field(min_length=1, max_length=2048)]
    password: Annotated[Text, Field(min_length=1, max_length=16_384)]


class BuildInput(Wire):
    """A Dockerfile instead of a task file."""

    images: Annotated[list[Short], Field(max_length=MAX_LIST)] | None = None
    dockerfile: Short | None = None
    build_args: Annotated[list[NamedValue], Field(max_length=MAX_LIST)] | None = None
    labels: Annotated[list[Short], Field(max_length=MAX_LIST)] | None = None
    secrets: Annotated[list[BuildSecret], Field(max_length=MAX_LIST)] | None = None
    target: Short | None = None
    platforms: Annotated[list[Short], Field(max_length=100)] | None = None
    push: bool | None = None
    no_cache: bool | None = None
    pull: bool | None = None


class RunInput(Wire):
    """What to run. Exactly one of ``file``, ``content``, ``command`` and ``build`` decides how.

    ``null`` is the same as leaving a key out.
    """

    source: Short | None = None
    file: Short | None = None
    content: Long | None = None
    command: Long | None = None
    build: BuildInput | None = None
    values_file: Short | None = None
    values_content: Long | None = None
    values: Annotated[list[NamedValue], Field(max_length=MAX_LIST)] | None = None
    registry: Short | None = None
    platform: Short | None = None
    timeout: Int64 | None = Field(None, description="Seconds.")
    cpu: Annotated[float, Field(allow_inf_nan=False)] | None = None
    memory: Int64 | None = Field(None, description="Bytes.")
    disk: Int64 | None = Field(None, description="Bytes.")
    pids: Int64 | None = None
    isolation: Short | None = None
    pool: Short | None = None
    strict: bool | None = None
    credentials: Annotated[list[Credential], Field(max_length=100)] | None = None
    git_token: Short | None = None


class TimerFields(Wire):
    """When a task starts by itself.

    ``schedule`` has five fields, read as NCrontab does, in UTC; or is standard
    cron behind ``CRON_TZ=Zone``. ``jitter`` are seconds.
    """

    schedule: Short
    enabled: bool | None = None
    jitter: Annotated[int, Field(ge=0, le=MAX_JITTER_S)] | None = None
    misfire: Literal["run-once", "skip"] | None = None
    windows: Annotated[list[Short], Field(max_length=MAX_WINDOWS)] | None = None


class TimerInput(TimerFields):
    """A timer with its name."""

    name: Short


class TaskFields(RunInput):
    """What a stored task has besides what it runs."""

    status: Literal["Enabled", "Disabled"] | None = None
    max_concurrent: Annotated[int, Field(ge=0, le=100_000)] | None = None
    supersede: bool | None = None
    base_image_trigger: Literal["All", "Runtime", "None"] | None = None
    labels: dict[Short, Short] | None = None
    timers: Annotated[list[TimerInput], Field(max_length=MAX_TIMERS)] | None = None


_READ_ONLY = ("version", "createTime", "updateTime", "created", "updated", "hasGitToken")


class TaskInput(TaskFields):
    """A stored task. An answer of GET can be sent back: what is read-only is passed over."""

    name: Short | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        kept = {key: value for key, value in body.items() if key not in _READ_ONLY}
        logins = kept.get("credentials")
        if isinstance(logins, list) and any(_is_shown_login(login) for login in logins):
            # Logins as an answer shows them say nothing new.
            kept["credentials"] = [login for login in logins if not _is_shown_login(login)] or None
        return kept


def _is_shown_login(login: Any) -> bool:
    return isinstance(login, dict) and "password" not in login and "registry" in login


class NewTask(TaskInput):
    """A stored task that is not there yet."""

    name: Short


class Approval(Wire):
    """What was looked at."""

    commit: Short = Field("", description="The whole commit id; another one is refused.")


class RunPatch(Wire):
    """What of a run can be changed."""

    archived: bool


class NotificationInput(Wire):
    """Who shall be told of the ends of runs.

    ``secret`` signs webhooks; one is made where none is given. ``tasks`` are
    patterns of the tasks it is for; without any it is for all runs. For e-mail
    ``url`` is the mail server, ``smtps://host`` or ``smtp://host`` (STARTTLS).
    """

    kind: Literal["webhook", "slack", "email"]
    url: Short
    events: (
        Annotated[list[Literal["finished", "failed", "recovered", "approval"]], Field(min_length=1)]
        | None
    ) = Field(None, description="`failed` and `recovered` if left out.")
    tasks: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-*?]{1,100}$")]], Field(max_length=100)
        ]
        | None
    ) = None
    secret: Short | None = None
    from_: Annotated[Short | None, Field(alias="from")] = None
    to: list[Short] | None = None
    username: Short | None = None
    password: Short | None = None


class TokenInput(Wire):
    """A token to be made.

    ``tasks`` are patterns (``*`` and ``?``) of the tasks it is for; without any
    it is for all tasks and for quick runs.
    """

    name: Annotated[Text, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
    role: Literal["reader", "runner", "author", "admin"]
    tasks: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-*?]{1,100}$")]], Field(max_length=100)
        ]
        | None
    ) = None
    expires: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="RFC 3339; without it the token never expires."
    )
