"""A newer engine for tests and benchmarks: Debian's next release in a container.

The tests speak to two generations of Docker Engine. The second one runs, with
the containerd image store, in a container of the runner image's ``bench``
target, on the network of this machine, so that the registry has the same
address for both. It runs only our own tests: it is not isolated as runners
are, and nothing here is used by ``tasks run``.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from runners.backends.dind import bridge, places
from runners.backends.dind.engine_api import EngineApi, NotFound, unix_dial
from runners.model.errors import Unavailable
from tasks_service.devstack import packet_filter, processes
from tasks_service.devstack.engines import Engine
from tasks_service.devstack.layout import Layout

_START_S = 60
_SOCKETS = "/sockets"
_ENTRY = r"""
set -eu
exec > /sockets/log 2>&1
# Their owner is root in a remapped engine's images, but nobody in here.
chmod u-s /bin/mount /bin/umount
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  umount -R /sys/fs/cgroup
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while IFS=: read -r _ names _; do
    [ -n "$names" ] || continue
    folder=/sys/fs/cgroup/${names#name=}
    case $names in name=*) options=none,$names ;; *) options=$names ;; esac
    mkdir -p "$folder"
    mount -t cgroup -o "$options" cgroup "$folder" || rmdir "$folder"
  done < /proc/self/cgroup
fi
# With its old default network at hand it would remove the machine's docker0.
rm -f /var/lib/docker/network/files/local-kv.db
printf 'version = 2\\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\\n' \\
  > /etc/second-containerd.toml
containerd --config /etc/second-containerd.toml --root /var/lib/docker/containerd \
  --log-level warn &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.02; done
ln -sf /sockets/docker.sock /run/docker.sock
mkdir -p /etc/docker
echo '{"features": {"containerd-snapshotter": true}}' > /etc/docker/daemon.json
exec dockerd --containerd /run/containerd/containerd.sock --data-root /var/lib/docker \
  --host unix:///sockets/docker.sock \
  --bridge "$BRIDGE" --mtu "$MTU" --iptables=false --ip-masq=false --ip6tables=false \
  --default-address-pool "base=$POOL,size=26" --userland-proxy=false --log-level warn
"""


def name(where: Layout) -> str:
    """Return the container's name."""
    return f"tasks-second-engine-{places.identity(where.state)}"


def address(where: Layout) -> str:
    """Return what ``DOCKER_HOST`` would be."""
    return f"unix://{_folder(where) / 'docker.sock'}"


def bridge_name(where: Layout) -> str:
    """Return the name of its default bridge."""
    return f"tks{places.identity(where.state)}n"


def start(where: Layout, engine: Engine, image: str) -> str:
    """Start it, or find it running with the same image; return its address.

    Raises:
        Unavailable: it did not come up; its last words are in the detail.
    """
    api = EngineApi(unix_dial(str(_folder(where) / "docker.sock")), "the second engine")
    if _runs(where, engine, image) and api.ping():
        return address(where)
    stop(where, engine)
    _folder(where).mkdir(parents=True, exist_ok=True)
    pool = bridge.free_pool()
    bridge.make(bridge_name(where), str(pool[1]), 24, bridge.uplink_mtu())
    packet_filter.let_through(str(pool), name(where))
    engine.api.post(
        "/containers/create", _definition(where, image, str(pool)), {"name": name(where)}
    )
    engine.api.post(f"/containers/{name(where)}/start")
    log = _folder(where) / "log"
    deadline = time.monotonic() + _START_S
    while not api.ping():
        if not _runs(where, engine, image) or time.monotonic() > deadline:
            raise Unavailable("the second engine did not start", detail=processes.tail(log))
        time.sleep(0.05)
    return address(where)


def stop(where: Layout, engine: Engine) -> None:
    """Remove it with all it holds. Idempotent."""
    engine.api.delete(f"/containers/{name(where)}", {"force": True, "v": True})
    forget(where)


def forget(where: Layout) -> None:
    """Remove what is left of it on this machine without its container. Idempotent."""
    bridge.remove(bridge_name(where))
    packet_filter.shut_again(name(where))
    shutil.rmtree(_folder(where), ignore_errors=True)


def shared_folder(where: Layout) -> Path:
    """Return a folder that the engine's container has under the same path."""
    folder = where.state / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _folder(where: Layout) -> Path:
    return where.run / "second"


def _bridge(where: Layout) -> str:
    return f"tks{places.identity(where.state)}n"


def _definition(where: Layout, image: str, pool: str) -> dict[str, Any]:
    mtu = bridge.uplink_mtu()
    return {
        "Image": image,
        "Entrypoint": ["/usr/bin/tini", "--", "bash", "-c", _ENTRY],
        "Env": [f"BRIDGE={bridge_name(where)}", f"MTU={mtu}", f"POOL={pool}"],
        "Labels": {"tasks.second-engine": str(where.state)},
        "Volumes": {"/var/lib/docker": {}},
        "HostConfig": {
            "Binds": [
                f"{_folder(where)}:{_SOCKETS}",
                f"{shared_folder(where)}:{shared_folder(where)}",
            ],
            "NetworkMode": "host",
            "UsernsMode": "host",
            "CgroupnsMode": "private",
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "MaskedPaths": [],
            "ReadonlyPaths": [],
        },
    }


def _runs(where: Layout, engine: Engine, image: str) -> bool:
    try:
        found = engine.api.get(f"/containers/{name(where)}/json")
        wanted = engine.api.get(f"/images/{image}/json")["Id"]
    except NotFound:
        return False
    return bool(found["State"]["Running"]) and found["Image"] == wanted
