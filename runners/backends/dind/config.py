"""Settings of the dind backend and where its runs keep their things."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runners.backends.dind import levels, places, private_engine
from runners.model.errors import Unavailable

_FILE = "runner.json"


@dataclass(frozen=True, slots=True)
class DindConfig:
    """How one installation starts its runners.

    Attributes:
        state_dir: Root of this installation's state; everything made is
            marked with it, and only what carries it is ever swept.
        address: The outer engine, ``unix:///path``.
        image: Runner image, present in that engine (see ``image``).
        level: Isolation level, a name of ``levels``.
        allowed_networks: Private networks (CIDR) that runners may reach.
    """

    state_dir: Path
    address: str
    image: str
    level: str = levels.D3
    allowed_networks: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """The directory that holds one directory per live runner."""
        return places.data_root(self.state_dir) / "runs"

    @property
    def bridge_prefix(self) -> str:
        """How the interface names of run networks begin."""
        return private_engine.bridge_prefix(self.state_dir)

    @property
    def chain(self) -> str:
        """The packet filter chain of this installation."""
        return private_engine.chain_name(self.state_dir)


def save(config: DindConfig) -> None:
    """Remember the settings for ``load``; called by whoever set up the engine."""
    body = asdict(config)
    del body["state_dir"]
    path = config.state_dir / _FILE
    config.state_dir.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body, indent=2) + "\n")
    fresh.replace(path)


def load(state_dir: Path, level: str = "") -> DindConfig:
    """Return the settings saved in a state directory.

    ``level`` wins over the saved one.

    Raises:
        Unavailable: nothing was set up there.
        InvalidInput: there is no such level.
    """
    state_dir = state_dir.resolve()
    try:
        body = json.loads((state_dir / _FILE).read_text())
        config = DindConfig(
            state_dir=state_dir,
            address=str(body["address"]),
            image=str(body["image"]),
            level=str(body["level"]),
            allowed_networks=tuple(map(str, body["allowed_networks"])),
        )
    except FileNotFoundError as exc:
        raise Unavailable(
            f"no runner has been set up in {os.fspath(state_dir)}",
            hint="`tasks setup` prepares this machine (`tasks doctor` tells what it can do)",
        ) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise Unavailable(
            f"{state_dir / _FILE} can't be read", hint="remove it and run `tasks setup`"
        ) from exc
    if level:
        config = replace(config, level=level)
    levels.level(config.level)
    return config
