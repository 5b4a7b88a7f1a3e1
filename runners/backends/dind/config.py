"""Settings of the dind backend and where its runs keep their things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runners.backends.dind import levels, places, private_engine


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
        firewall: Install the packet filter where that is possible.
    """

    state_dir: Path
    address: str
    image: str
    level: str = levels.D3
    allowed_networks: tuple[str, ...] = ()
    firewall: bool = True

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
