"""The boxes of this user: built from their recipes, kept in the cache folder, found again by key.

``$XDG_CACHE_HOME/layerfs/boxes`` (or below ``~/.cache``) has, for each box, a folder
``NAME-KEY`` with the disk image, the kernel and the initrd that boot it, and ``metadata.json``.
Such a folder is whole or not there: a build works in ``.build-NAME-…`` and renames its result at
the end. ``NAME.lock`` is held during a build; what an aborted one has left is removed by the next
one, which waits until no process of it is left.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import boxbuild, boxrecipe
from harness.boxrecipe import Recipe
from harness.boxrun import BoxError, Runner

METADATA: Final = "metadata.json"
LOG: Final = "build.log"

__all__ = ["Box", "BoxError", "box_file", "boxes", "build", "cache", "find", "remove"]


@dataclass(frozen=True)
class Box:
    """One built box.

    ``metadata``: ``provider``, ``format`` (of ``image``) and ``virtual_size`` (GiB) as
    vagrant-libvirt reads them; ``name``, ``key``, ``description``, ``kernel``, ``zfs`` (versions),
    ``cmdline`` (of the kernel) and ``built`` (UTC).
    """

    name: str
    path: Path
    metadata: dict[str, Any] = field(compare=False)

    @property
    def image(self) -> Path:
        """The disk, a qcow2 image with one ext4 file system."""
        return self.path / boxbuild.IMAGE

    @property
    def kernel(self) -> Path:
        """The kernel, for direct boot."""
        return self.path / boxbuild.KERNEL

    @property
    def initrd(self) -> Path:
        """The initrd that belongs to the kernel."""
        return self.path / boxbuild.INITRD

    @property
    def cmdline(self) -> str:
        """The kernel's command line."""
        return str(self.metadata["cmdline"])

    @property
    def size(self) -> int:
        """Bytes on disk, all files together."""
        return sum(file.lstat().st_blocks * 512 for file in self.path.iterdir())

    @property
    def current(self) -> bool:
        """Whether it is what its recipe would give now."""
        if self.name not in boxrecipe.names():
            return False
        return self.path == _place(boxrecipe.load(self.name))


def cache() -> Path:
    """Return the folder of all boxes; it may be missing."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "layerfs" / "boxes"


def find(name: str) -> Box | None:
    """Return the box; None when it is not built, or its recipe has changed since.

    Raises ConfigError when there is no such recipe.
    """
    return _read(_place(boxrecipe.load(name)), name)


def boxes() -> list[Box]:
    """Return all that is built, also of recipes that have changed or gone."""
    found = []
    for file in sorted(cache().glob(f"[!.]*/{METADATA}")):
        name = file.parent.name.rpartition("-")[0]
        box = _read(file.parent, name)
        if box is not None:
            found.append(box)
    return found


def build(name: str, log: Callable[[str], None]) -> Box:
    """Return the box, building it when it is not there; ``log`` is told of the progress.

    A build of the same box by another process is waited for, and its result taken.

    Raises:
        ConfigError: there is no such recipe, or it is wrong.
        BoxError: something is missing here, or a step failed; its output is in ``NAME.log``.
        TargetError: this machine's apt does not say where packages are.

    """
    recipe = boxrecipe.load(name)
    try:
        with _lock(name, log) as held:
            box = _read(_place(recipe), name)
            if box is None:
                _sweep(name, log)
                box = _build(recipe, log, held)
            return box
    except OSError as error:  # a full disk, a folder that cannot be written
        raise BoxError(f"the box {name} cannot be built: {error}") from error


def _build(recipe: Recipe, log: Callable[[str], None], held: int) -> Box:
    name, place = recipe.name, _place(recipe)
    missing = boxbuild.missing_needs(cache())
    if missing:
        raise BoxError(f"the box {name} cannot be built here: {'; '.join(missing)}")
    log_path = cache() / f"{name}.log"
    with (
        log_path.open("wb") as log_file,
        tempfile.TemporaryDirectory(prefix=f".build-{name}-", dir=cache()) as scratch,
    ):
        # What is renamed may be read by others (QEMU), which mkdtemp's folder may not.
        result = Path(scratch) / "box"
        result.mkdir(mode=0o755)
        versions = boxbuild.build(recipe, result, Runner(log_file, log, held), log)
        if _place(boxrecipe.load(name)) != place:
            raise BoxError(f"the recipe of {name} was changed while it was built: build again")
        (result / METADATA).write_text(json.dumps(_metadata(recipe, versions), indent=2) + "\n")
        shutil.copyfile(log_path, result / LOG)
        os.sync()  # a box that is there after a power loss is whole
        result.rename(place)
    built = _read(place, name)
    assert built is not None
    return built


def remove(name: str) -> list[Path]:
    """Remove a box, whatever recipe it was built from, and leftovers of its builds.

    Returns what was removed; nothing to remove is no error, an unknown name is (ConfigError).
    """
    if not cache().is_dir():
        boxrecipe.load(name)
        return []
    gone = [box.path for box in boxes() if box.name == name]
    if not gone:
        boxrecipe.load(name)
    with _lock(name, lambda _: None):
        _sweep(name, lambda _: None)
        for path in gone:
            # Under a name that is no box's first: a half removed box is never found.
            dying = path.with_name(f".build-{name}-{path.name}")
            path.rename(dying)
            shutil.rmtree(dying)
        (cache() / f"{name}.log").unlink(missing_ok=True)
    return gone


def box_file(box: Box) -> Path:
    """Return the box as ``vagrant box add`` wants it: a tar, made when it is not there yet."""
    path = box.path / f"{box.name}.box"
    with _lock(box.name, lambda _: None):
        if not path.exists():
            _write_box_file(box, path)
    return path


def _write_box_file(box: Box, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".build-{box.name}-", dir=cache()) as scratch:
        settings = Path(scratch) / "Vagrantfile"
        # Vagrant wants one in a box; all settings are those of the harness's own.
        settings.write_text('Vagrant.configure("2") { |_| }\n')
        unfinished = Path(scratch) / path.name
        with tarfile.open(unfinished, "w") as tar:
            tar.add(box.path / METADATA, METADATA)
            tar.add(settings, settings.name)
            tar.add(box.image, boxbuild.IMAGE)
        unfinished.rename(path)


def _place(recipe: Recipe) -> Path:
    return cache() / f"{recipe.name}-{recipe.key()}"


def _read(path: Path, name: str) -> Box | None:
    try:
        metadata = json.loads((path / METADATA).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BoxError(f"{path / METADATA}: {error}; remove the folder, and build again") from error
    return Box(name, path, metadata)


def _metadata(recipe: Recipe, versions: boxbuild.Versions) -> dict[str, Any]:
    return {
        "provider": "libvirt",
        "format": "qcow2",
        "virtual_size": recipe.disk_size >> 30,
        "name": recipe.name,
        "description": recipe.description,
        "key": recipe.key(),
        "kernel": versions.kernel,
        "zfs": versions.zfs,
        "cmdline": " ".join(recipe.cmdline),
        "built": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


@contextlib.contextmanager
def _lock(name: str, log: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock of a box; yields its descriptor. The file stays: removing it would race."""
    cache().mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache() / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"another process works on the box {name}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _sweep(name: str, log: Callable[[str], None]) -> None:
    """Remove what aborted builds have left; the lock is held, so that none of them runs."""
    for left in cache().glob(f".build-{name}-*"):
        log("removing what an aborted build has left")
        shutil.rmtree(left)
