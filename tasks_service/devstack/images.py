"""Base images: from Docker Hub where it answers, else made on this machine.

Two of them: Debian, which the runner image starts from, and BusyBox, which
the examples build on and take out of the stack's registry.
"""

from __future__ import annotations

import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

from runners.backends.dind import image
from runners.model.errors import RunnerError, Unavailable
from tasks_service.devstack import debian_base, engines, packages, progress, small_image
from tasks_service.devstack.engines import Engine
from tasks_service.devstack.layout import Layout, load, save

HUB = "https://registry-1.docker.io/v2/"
HUB_PATIENCE_S = 4
DEBIAN = ("debian", f"{debian_base.SUITE}-slim")
SMALL = ("base/busybox", "1.36")


def hub_answers() -> bool:
    """Tell whether Docker Hub answers within seconds."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(HUB, timeout=HUB_PATIENCE_S)
        except urllib.error.HTTPError:
            # Being asked to log in is an answer.
            answered.set()
        except (OSError, ValueError):
            return

    # A name that does not resolve may take much longer than any timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_PATIENCE_S)
    return answered.is_set()


def debian(where: Layout, engine: Engine, *, hub: bool) -> str:
    """Return the reference, in ``engine``, of the runner image's base.

    Raises:
        Unavailable: it can be had neither way.
    """
    repository, tag = DEBIAN
    reference = f"{repository}:{tag}"
    if hub:
        with progress.step(f"Base image {reference} of Docker Hub") as shown:
            try:
                engines.pull(engine, reference, shown)
            except RunnerError as error:
                progress.warn(f"{error.message}; it is made of Debian's packages instead")
            else:
                return reference
    ours = (f"tasks-service/{repository}", debian_base.SUITE)
    with progress.step("Base image of Debian's packages (debootstrap)") as shown:
        tar = debian_base.debian_tar(where, shown)
        name = ":".join(ours)
        if not _is_loaded(where, engine, name, tar):
            shown.update("importing")
            engines.load_tar(engine, tar, *ours)
            _remember(where, engine, name, tar)
    return name


def runner(where: Layout, engine: Engine, base: str, *, target: str = "runner") -> str:
    """Return the runner image on ``base``, built unless it is there.

    Args:
        target: ``runner``, or ``bench`` with the engine's client in it.

    Raises:
        Unavailable: a step of its build failed; its last lines are the detail.
    """
    what = "Runner image" if target == "runner" else "Runner image with the engine's client"
    with progress.step(what) as shown:
        return image.build_runner_image(
            engine.api,
            base,
            str(where.state.resolve()),
            _apt_files(),
            lambda _, text: shown.update(text),
            target=target,
        )


def _apt_files() -> dict[str, bytes]:
    """Return what makes apt in a container reach its packages as this machine does."""
    files = {}
    sources = packages.sources(debian_base.SUITE)
    if sources is not None:
        files["sources.list"] = sources.encode()
        files["sources.list.d/debian.sources"] = b""
    proxies = [
        f'Acquire::{name.removesuffix("_proxy")}::Proxy "{value}";\n'
        for name, value in packages.proxies().items()
    ]
    if proxies:
        files["apt.conf.d/90machine"] = "".join(proxies).encode()
    return files


def small(engine: Engine, registry: str, *, hub: bool) -> str:
    """Return the reference, in ``registry``, of the image the examples build on.

    Raises:
        Unavailable: it can be had neither way.
    """
    repository, tag = SMALL
    reference = f"{registry}/{repository}:{tag}"
    if hub:
        with progress.step(f"Base image busybox:{tag} of Docker Hub") as shown:
            try:
                engines.pull(engine, f"busybox:{tag}", shown)
                engines.push_as(engine, f"busybox:{tag}", reference)
            except RunnerError as error:
                progress.warn(f"{error.message}; Debian's BusyBox is used instead")
            else:
                return reference
    program = shutil.which("busybox")
    if program is None:
        raise Unavailable("busybox is missing", hint="apt-get install busybox-static")
    with progress.step(f"Base image {reference} of Debian's busybox-static"):
        small_image.push_busybox(Path(program), registry, repository, tag)
    return reference


def _is_loaded(where: Layout, engine: Engine, name: str, tar: Path) -> bool:
    known = load(where.state / "images.json").get(name)
    image_id = _image_id(engine, name)
    return image_id is not None and known == {"tar": tar.name, "id": image_id}


def _remember(where: Layout, engine: Engine, name: str, tar: Path) -> None:
    path = where.state / "images.json"
    save(path, {**load(path), name: {"tar": tar.name, "id": _image_id(engine, name)}})


def _image_id(engine: Engine, name: str) -> str | None:
    try:
        return str(engine.api.get(f"/images/{name}/json")["Id"])
    except RunnerError:
        return None
