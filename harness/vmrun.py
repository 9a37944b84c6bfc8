"""One run's machines on this host: their folder and names, who uses them, and what goes at the end.

``/var/tmp/layerfs-vm-UID/`` (or ``$LAYERFS_VM_FOLDER``) has one folder for each run, named
``layerfs-XXXXXXXX``. The names of the domains and storage pools that the run makes begin with it;
disks, keys, logs and vagrant's own folders lie in it. Nothing is made in the
user's home, since QEMU, which libvirt starts as another user, could not read it there.

``lock`` in the folder is held (shared) by every process of the run, and by the vagrant that it has
started. Where nobody holds it the run has ended, in whatever way, and :func:`sweep` takes away what
is left of it. It never touches what does not lie in this user's folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from harness import virsh
from harness.errors import TargetError
from harness.filelock import FileLock, is_free, take

VARIABLE: Final = "LAYERFS_VM_FOLDER"
PREFIX: Final = "layerfs-"
_NAME: Final = re.compile(r"(layerfs-[0-9a-f]{8})(-[0-9]+)?$")
#: Seconds that a sweep, which may have machines to end, can keep others waiting.
_PATIENCE: Final = 300.0
_KEPT: Final = "kept"
#: Seconds for the other processes of a run to end, when it ends.
_LAST_ONES: Final = 60.0


def base() -> Path:
    """Return the folder of all runs of this user; it may be missing."""
    return Path(os.environ.get(VARIABLE) or f"/var/tmp/layerfs-vm-{os.geteuid()}")  # noqa: S108


class VmRun:
    """A run, as one of its processes sees it; it lasts until the last of them calls :meth:`leave`.

    ``name`` is unique on this host; ``folder`` may be entered by QEMU's user, and not be listed.
    """

    def __init__(self, name: str) -> None:
        """Take part in a run that is there. Raises TargetError when it has ended."""
        self.name = name
        self.folder = base() / name
        try:
            # A sweep that is just looking whether the lock is free has it for a moment.
            self._lock = FileLock(self.folder / "lock", shared=True, wait=_PATIENCE)
        except FileNotFoundError:
            raise TargetError(f"the run {name} has ended: {self.folder} is not there") from None

    @classmethod
    def begin(cls) -> Self:
        """Begin a run, after sweeping what earlier ones have left.

        Raises TargetError when libvirt does not answer, and nothing is left then.
        """
        virsh.version()
        with _all_runs():
            _sweep()
            name = f"{PREFIX}{secrets.token_hex(4)}"
            folder = base() / name
            folder.mkdir()
            folder.chmod(0o711)
            (folder / "lock").touch(mode=0o600)
            return cls(name)

    @property
    def held(self) -> int:
        """The lock's descriptor, for children that go on making something."""
        return self._lock.descriptor

    def keep(self, line: str) -> None:
        """Have the machines outlast the run, for a person, who is told ``line`` at its end."""
        with (self.folder / _KEPT).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def kept(self) -> list[str]:
        """Return what :meth:`keep` was told; nothing where the run goes as a whole."""
        try:
            return (self.folder / _KEPT).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def leave(self) -> None:
        """Take no more part; the last one to leave takes everything away. May be called twice.

        What is kept stays until the next sweep, which is that of the next run.

        Raises TargetError when something does not go; the next run tries again.
        """
        kept = self.kept()
        self._lock.release()
        if not kept:
            sweep()

    def end(self) -> None:
        """Leave when all others have left, so that nothing remains that is not kept.

        May be called twice.

        Raises TargetError as :meth:`leave`, and when they do not leave in a minute: what is left
        is then taken away by the next run.
        """
        self._lock.release()
        with contextlib.suppress(FileNotFoundError):  # another one was the last, and cleaned up
            take(self.folder / "lock", f"the run {self.name}", wait=_LAST_ONES).release()
        if not self.kept():
            sweep()


def sweep() -> list[str]:
    """Take away the runs of this user that have ended, and return their names.

    Raises TargetError when something cannot be taken away; the rest has gone then.
    """
    if not base().is_dir():
        return []
    with _all_runs():
        return _sweep()


@contextlib.contextmanager
def _all_runs() -> Iterator[None]:
    """Keep everybody else from beginning or sweeping; the folder goes when it is empty at last."""
    while True:
        _make_base()
        try:
            lock = FileLock(base(), wait=_PATIENCE)
        except FileNotFoundError:  # another process has just removed it
            continue
        if os.path.samestat(os.fstat(lock.descriptor), base().lstat()):
            break
        lock.release()
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                base().rmdir()


def _make_base() -> None:
    path = base()
    with contextlib.suppress(FileExistsError):
        path.mkdir(parents=True)
        path.chmod(0o711)
    found = path.lstat()
    if path.is_symlink() or not path.is_dir() or found.st_uid != os.geteuid():
        raise TargetError(f"{path} is not a directory of this user: remove it, or set ${VARIABLE}")


def _sweep() -> list[str]:
    ended = [
        folder
        for folder in sorted(base().glob(f"{PREFIX}*"))
        if _NAME.fullmatch(folder.name) and is_free(folder / "lock")
    ]
    strays = _strays({folder.name for folder in ended})
    for folder in ended:
        _clear(folder)
    return sorted({folder.name for folder in ended} | strays)


def _strays(ended: set[str]) -> set[str]:
    """Take libvirt's part of the ended runs away, and of those whose folder has gone already."""
    if not ended and not shutil.which("virsh"):
        return set()
    try:
        pools, domains = virsh.names("pool"), virsh.names("domain")
    except virsh.LibvirtUnreachableError:
        if ended:
            raise
        return set()
    gone = set()
    for domain in domains:
        run = _run_of("domain", domain, ended)
        if run:
            virsh.cut(domain)
            virsh.undefine(domain)
            gone.add(run)
    for pool in pools:
        run = _run_of("pool", pool, ended)
        if run:
            virsh.drop_pool(pool)
            gone.add(run)
    return gone


def _run_of(kind: virsh.Kind, name: str, ended: set[str]) -> str:
    """Return the ended run that made this, "" when it is not of one, or somebody else's."""
    matched = _NAME.match(name)
    if matched is None:
        return ""
    run = matched[1]
    if run in ended:
        return run
    folder = base() / run
    try:
        used = virsh.folders_of(kind, name)
    except virsh.UnknownNameError:  # it has just gone, by those whose it was
        return ""
    stray = not folder.exists() and any(folder in one.parents for one in used)
    return run if stray else ""


def _clear(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise TargetError(f"cannot remove {folder}, which an ended run has left: {error}") from None
