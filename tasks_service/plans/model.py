"""The task language's properties, declared once; and what a file holds of them.

The tables drive the reader, the JSON Schema, ``tasks explain`` and the
reference page, so they can't disagree. The classes hold what one file says,
typed, before defaults: spec of the user, not yet the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks_service.plans.yaml_nodes import Node


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the language.

    Attributes:
        name: The YAML key.
        attribute: Field of the class that holds it.
        type: ``string``, ``integer``, ``boolean``, ``strings``, ``integers``,
            ``texts`` (map of text) or the name of a section (a list of it).
        text: What it means, one or two sentences.
        default: As shown to people; empty for none.
        rows: Ids of the reference table it implements.
        enum: The only values allowed, without case.
        minimum: Smallest value that isn't an error.
        required: The section is wrong without it.
        deprecated: Why not to use it, or an empty string.
        pattern: Regular expression a text (or map key) must match.
    """

    name: str
    attribute: str
    type: str
    text: str
    default: str = ""
    rows: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    required: bool = False
    deprecated: str = ""
    pattern: str = ""


STEP_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
VOLUME_NAME_PATTERN = r"[A-Za-z0-9_-]+"
FILE_NAME_PATTERN = r"[A-Za-z0-9_.-]+"
MAX_ID = 128

SECRET = (
    Property("id", "id", "string", "Name of the secret: `{{.Secrets.<id>}}`, `--secret id=<id>`.",
             rows=("Y-030",), required=True, pattern=r"\S+"),
    Property("keyvault", "keyvault", "string",
             "Where the value is: an Azure Key Vault secret URL, `vault:path#key`, `env:NAME`, "
             "`file:path` or `store:name`.", rows=("Y-031",), required=True),
    Property("clientID", "client_id", "string",
             "UUID of the identity that reads the key vault; absent means the default identity.",
             rows=("Y-032",)),
)  # fmt: skip

NETWORK = (
    Property("name", "name", "string", "Name of the network.", rows=("Y-040",), required=True),
    Property("driver", "driver", "string", "Network driver.", "bridge", rows=("Y-041",)),
    Property("ipv6", "ipv6", "boolean", "Enables IPv6.", "false", rows=("Y-042",)),
    Property("skipCreation", "skip_creation", "boolean",
             "The network exists already; it is neither created nor removed.", "false",
             rows=("Y-043",)),
    Property("isDefault", "is_default", "boolean",
             "Makes it the network of every step without `network`; the last one marked wins.",
             "false", rows=("Y-044",)),
)  # fmt: skip

VOLUME = (
    Property("name", "name", "string", "Name of the volume, unique in the file.",
             rows=("Y-050",), required=True, pattern=VOLUME_NAME_PATTERN),
    Property("secret", "secret", "texts",
             "Files of the volume: file name to Base64 text. Written byte for byte to memory.",
             rows=("Y-051", "Y-052"), required=True, pattern=FILE_NAME_PATTERN),
)  # fmt: skip

MOUNT = (
    Property("name", "name", "string", "Name of a volume of this file.", rows=("Y-053",),
             required=True),
    Property("mountPath", "mount_path", "string",
             "Absolute path in the step's container; unique within the step.",
             rows=("Y-054",), required=True),
)  # fmt: skip

ALIAS = (
    Property("values", "values", "texts", "Alias name (letters and digits) to text.",
             rows=("V-40",), pattern=r"[A-Za-z0-9]+"),
    Property("src", "src", "strings",
             "YAML files (or URLs, where allowed) with more aliases; a later one is stronger.",
             rows=("V-41", "V-42")),
    Property("directive", "directive", "string",
             "One character, no letter or digit, that calls an alias.", "$", rows=("V-43",)),
)  # fmt: skip

TASK = (
    Property("version", "version", "string",
             "Version of the language. Aliases (`$Registry`) work from v1.1.0 on.", "v1.0.0",
             rows=("Y-004", "Y-005", "Y-020"), enum=("1.0-preview-1", "v1.0.0", "v1.1.0")),
    Property("stepTimeout", "step_timeout", "integer",
             "Seconds a step may take that has no `timeout`; 0 or less means the default.", "600",
             rows=("Y-021",)),
    Property("workingDirectory", "working_directory", "string",
             "Working directory of every step without its own; a relative one is below "
             "/workspace.", "/workspace", rows=("Y-022",)),
    Property("env", "env", "strings",
             "`NAME=value` entries for every step; a step's own entry of that name wins.",
             rows=("Y-023",), pattern=r"[^=]+=.*"),
    Property("secrets", "secrets", "secret", "Secrets, found before the first step starts.",
             rows=("Y-024",)),
    Property("networks", "networks", "network",
             "Networks made for the run. Without any, one is made and used by all steps.",
             rows=("Y-025", "Y-045", "Y-046")),
    Property("volumes", "volumes", "volume", "Volumes of secret files.", rows=("Y-026",)),
    Property("steps", "steps", "step", "The steps, in file order.", rows=("Y-027",)),
    Property("alias", "alias", "alias", "Short names for texts; needs version v1.1.0.",
             rows=("Y-028",)),
)  # fmt: skip

STEP = (
    Property("id", "id", "string",
             "Name of the step: container name, host name on the network, name in `when`.",
             "`acb_step_<n>`, n counted from 0", rows=("Y-200",), pattern=STEP_ID_PATTERN),
    Property("when", "when", "strings",
             "Ids of earlier steps that must have succeeded, or `-` to start at once. Without it "
             "a step waits for the one right above.", rows=("Y-201", "W-01", "W-02", "W-03")),
    Property("timeout", "timeout", "integer",
             "Seconds for the whole step, all repeats and retries together; 0 or less means "
             "`stepTimeout`.", "stepTimeout, else 600", rows=("Y-202",)),
    Property("startDelay", "start_delay", "integer",
             "Seconds to wait once the step could start.", "0", rows=("Y-203",)),
    Property("retries", "retries", "integer", "How often a failed attempt is tried again.", "0",
             rows=("Y-204",), minimum=0),
    Property("retryDelay", "retry_delay", "integer",
             "Seconds between attempts; 0 means none when written.", "5", rows=("Y-205",)),
    Property("retryOnErrors", "retry_on_errors", "strings",
             "Retry only if the attempt's output contains one of these texts.", rows=("Y-206",)),
    Property("repeat", "repeat", "integer",
             "Runs the step n+1 times, all of them; it fails if any failed.", "0", rows=("Y-207",),
             minimum=0),
    Property("ignoreErrors", "ignore_errors", "boolean",
             "A failure counts as success; the steps that wait for it go on.", "false",
             rows=("Y-208",)),
    Property("detach", "detach", "boolean",
             "Leaves the container running in the background until the run ends.", "false",
             rows=("Y-209",)),
    Property("keep", "keep", "boolean", "Keeps the stopped container until the run ends.",
             "false", rows=("Y-210",)),
    Property("workingDirectory", "working_directory", "string",
             "Working directory; relative to /workspace. For a build also the base of the "
             "context.", "the task's", rows=("Y-211",)),
    Property("disableWorkingDirectoryOverride", "disable_working_directory_override", "boolean",
             "Keeps the image's own working directory.", "false", rows=("Y-212",)),
    Property("entryPoint", "entry_point", "string", "Replaces the image's entry point.",
             "the image's", rows=("Y-213",)),
    Property("env", "env", "strings", "`NAME=value` entries; stronger than the task's.",
             rows=("Y-214",)),
    Property("expose", "expose", "strings", "Ports to expose on the network.", rows=("Y-215",)),
    Property("ports", "ports", "strings", "Ports to publish inside the runner: `[host:]container`.",
             rows=("Y-216",)),
    Property("network", "network", "string", "Network of the step.", "the default network",
             rows=("Y-217",)),
    Property("isolation", "isolation", "string",
             "Container isolation; only `default` means anything on Linux.", "default",
             rows=("Y-218",), enum=("default", "process", "hyperv")),
    Property("privileged", "privileged", "boolean",
             "Asks for a privileged container inside the runner; most runners refuse.", "false",
             rows=("Y-219",)),
    Property("user", "user", "string", "User name or id the command runs as.", "the image's",
             rows=("Y-220",)),
    Property("pull", "pull", "boolean", "Pulls the image even if it is here.", "false",
             rows=("Y-221",)),
    Property("cmdDownloadRetries", "cmd_download_retries", "integer",
             "How often a failed pull (`pull: true`) is tried again.", "0", rows=("Y-222",)),
    Property("cmdDownloadRetryDelay", "cmd_download_retry_delay", "integer",
             "Seconds between those pulls.", "0", rows=("Y-222",)),
    Property("cache", "cache", "string",
             "Keeps the build cache in the registry, next to the first tag.", "disabled",
             rows=("Y-076", "Y-223"), enum=("enabled", "disabled")),
    Property("volumeMounts", "volume_mounts", "mount", "Volumes of secret files to mount.",
             rows=("Y-053", "Y-055", "Y-224")),
    Property("volumeMount", "volume_mount", "mount", "The same as `volumeMounts`.",
             rows=("Y-224",), deprecated="write volumeMounts, a list"),
    Property("cpus", "cpus", "string", "CPUs the container may use, such as `1.5`; 0 is no limit.",
             rows=("Y-226",), pattern=r"[0-9]*\.?[0-9]+"),
    Property("exitedWith", "exited_with", "integers",
             "Exit codes that count as success.", "[0]", rows=("Y-227",)),
    Property("exitedWithout", "exited_without", "integers",
             "Exit codes that count as failure; any other is a success.", rows=("Y-227",)),
)  # fmt: skip

SECTIONS: Mapping[str, tuple[Property, ...]] = {
    "task": TASK,
    "step": STEP,
    "secret": SECRET,
    "network": NETWORK,
    "volume": VOLUME,
    "mount": MOUNT,
    "alias": ALIAS,
}
"""Every section of the language; a property's type may name one of them."""


@dataclass(slots=True)
class Item:
    """What every part of a file has: its node and its properties' nodes.

    ``keys`` and ``nodes`` hold only what was written, by YAML key.
    """

    node: Node
    keys: dict[str, Node] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True)
class SecretItem(Item):
    """An entry of ``secrets``."""

    id: str = ""
    keyvault: str = ""
    client_id: str = ""


@dataclass(slots=True)
class NetworkItem(Item):
    """An entry of ``networks``."""

    name: str = ""
    driver: str = ""
    ipv6: bool = False
    skip_creation: bool = False
    is_default: bool = False


@dataclass(slots=True)
class VolumeItem(Item):
    """An entry of ``volumes``; ``secret_nodes`` has the nodes by file name."""

    name: str = ""
    secret: dict[str, tuple[Node, Node]] = field(default_factory=dict)


@dataclass(slots=True)
class MountItem(Item):
    """An entry of ``volumeMounts``."""

    name: str = ""
    mount_path: str = ""


@dataclass(slots=True)
class StepItem(Item):
    """An entry of ``steps``, as written.

    ``kinds`` holds the step-kind keys that were given a value, with it;
    ``cache_placed`` tells that the place of the cache is in that text.
    """

    index: int = 0
    kinds: dict[str, str | list[str]] = field(default_factory=dict)
    cache_placed: bool = False
    id: str = ""
    when: list[str] = field(default_factory=list)
    timeout: int = 0
    start_delay: int = 0
    retries: int = 0
    retry_delay: int = 0
    retry_on_errors: list[str] = field(default_factory=list)
    repeat: int = 0
    ignore_errors: bool = False
    detach: bool = False
    keep: bool = False
    working_directory: str = ""
    disable_working_directory_override: bool = False
    entry_point: str = ""
    env: list[str] = field(default_factory=list)
    expose: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    network: str = ""
    isolation: str = ""
    privileged: bool = False
    user: str = ""
    pull: bool = False
    cmd_download_retries: int = 0
    cmd_download_retry_delay: int = 0
    cache: str = ""
    volume_mounts: list[MountItem] = field(default_factory=list)
    volume_mount: list[MountItem] = field(default_factory=list)
    cpus: str = ""
    exited_with: list[int] = field(default_factory=list)
    exited_without: list[int] = field(default_factory=list)

    @property
    def mounts(self) -> list[MountItem]:
        """All mounts, by either spelling."""
        return self.volume_mounts + self.volume_mount


@dataclass(slots=True)
class TaskFile(Item):
    """A whole file, as written."""

    version: str = ""
    step_timeout: int = 0
    working_directory: str = ""
    env: list[str] = field(default_factory=list)
    secrets: list[SecretItem] = field(default_factory=list)
    networks: list[NetworkItem] = field(default_factory=list)
    volumes: list[VolumeItem] = field(default_factory=list)
    steps: list[StepItem] = field(default_factory=list)
