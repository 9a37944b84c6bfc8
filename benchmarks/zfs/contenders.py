"""Who takes part: each makes a writable view of one chain of layers, mounts it, and removes it.

What is timed is what an administrator calls: of layerfs one request of a session for all that makes
a view, and one for all that removes it; of the others a command for each of their own steps. Each
step's seconds are told apart, so that whoever reads may add up what he takes to be the same work.
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from benchmarks import peers
from benchmarks.layouts import tiny_tar
from benchmarks.measure import seconds
from benchmarks.packages import BenchError, run
from benchmarks.zfs.session import Store
from layerfs.digest import chain_ids
from layerfs.zfs import Zfs

#: Seconds of each step, in the order in which they were done.
Steps = dict[str, float]

#: How long containerd may take to collect what nothing names any more.
_COLLECTED_S: Final = 120.0
_POLL_S: Final = 0.005


class Contender(Protocol):
    """One way to have a view. ``target`` is where it is, between ``make`` and ``remove``."""

    target: Path

    def make(self) -> Steps:
        """Make a writable view, and mount it."""

    def remove(self) -> Steps:
        """Unmount the view, and remove it; when this returns it is gone from the pool."""

    def bare(self) -> Steps:
        """Do nothing but start and answer, where each step starts a process; else nothing."""


class Layerfs:
    """Requests to a session."""

    def __init__(self, store: Store, target: Path) -> None:
        self.target = target
        self._store = store

    def make(self) -> Steps:
        """See Contender."""
        return {"stack": self._store.stack(self.target, writable=True)}

    def remove(self) -> Steps:
        """See Contender."""
        return {"unmount": self._store.unmount(self.target)}

    def bare(self) -> Steps:
        """See Contender."""
        return {}


class Ctr:
    """containerd's zfs snapshotter, by its own client."""

    def __init__(self, running: peers.Containerd, zfs: Zfs, folder: Path) -> None:
        self.target = folder / "view"
        self.target.mkdir()
        self._running = running
        self._zfs = zfs
        self._said = folder / "said"
        self._keys = (f"view-{number}" for number in itertools.count())
        self._key = self._source = self._chain = ""

    def fill(self, archive: Path, diff_ids: Sequence[str]) -> float:
        """Import the image, unpacked; return the seconds that it took."""
        self._chain = chain_ids(diff_ids)[-1]
        words = ["images", "import", "--snapshotter", "zfs", "--base-name", "bench/chain"]
        return seconds(self._running.ctr(*words, archive))

    def make(self) -> Steps:
        """See Contender. ``ctr`` prints the command that mounts."""
        self._key = next(self._keys)
        words = self._snapshots("prepare", "--target", self.target, self._key, self._chain)
        prepared = seconds(words, stdout=self._said)
        mount = mount_command(self._said.read_text())
        self._source = mount[mount.index("zfs") + 1]
        return {"prepare": prepared, "mount": seconds(mount)}

    def remove(self) -> Steps:
        """See Contender. ``rm`` only forgets; the daemon's collector destroys the dataset then."""
        steps = {
            "umount": seconds(["umount", self.target]),
            "rm": seconds(self._snapshots("rm", self._key)),
        }
        begin = time.perf_counter()
        while self._zfs.exists(self._source):
            if time.perf_counter() - begin > _COLLECTED_S:
                raise BenchError(f"containerd has not destroyed {self._source} in {_COLLECTED_S} s")
            time.sleep(_POLL_S)  # between two looks at the condition
        return {**steps, "collected": time.perf_counter() - begin}

    def bare(self) -> Steps:
        """See Contender."""
        return {"bare": seconds(self._running.ctr("version"))}

    def _snapshots(self, verb: str, *words: str | Path) -> list[str | Path]:
        return self._running.ctr("snapshots", "--snapshotter", "zfs", verb, *words)


def mount_command(said: str) -> list[str]:
    """Return the words of the one mount command that ``ctr snapshots`` prints, with any options."""
    words = shlex.split(said)
    if words[:3] != ["mount", "-t", "zfs"] or words.count("mount") != 1:
        raise BenchError(f"ctr prints no mount of one zfs dataset: {said!r}")
    return words[:-1] if words[-1] == "-o" else words


class ContainersStorage:
    """containers-storage with its zfs driver, by its own command."""

    def __init__(self, pool: str, folder: Path) -> None:
        dataset = f"{pool}/containers-storage"
        run(["zfs", "create", "-o", "mountpoint=none", dataset])
        self._storage = peers.ZfsStorage(dataset, folder)
        self._folder = folder
        self._said = folder / "said"
        self._names = (f"view-{number}" for number in itertools.count())
        self._name = ""
        self.target = folder

    def fill(self, count: int) -> float:
        """Import the first tiny layers, one upon the other; return the seconds that it took."""
        took = 0.0
        below: list[str] = []
        for number in range(count):
            tar, name = self._folder / f"{number}.tar", f"layer-{number}"
            tar.write_bytes(tiny_tar(number))
            words = ["import-layer", "--readonly", "--id", name, "--file"]
            took += seconds(self._storage.command(*words, tar, *below))
            below = [name]
        run(self._storage.command("create-image", "--name", "chain", *below))
        return took

    def make(self) -> Steps:
        """See Contender. The storage says where it has mounted the view."""
        self._name = next(self._names)
        created = seconds(self._storage.command("create-container", "--name", self._name, "chain"))
        mounted = seconds(self._storage.command("mount", self._name), stdout=self._said)
        self.target = Path(self._said.read_text().strip())
        return {"create-container": created, "mount": mounted}

    def remove(self) -> Steps:
        """See Contender."""
        return {
            "unmount": seconds(self._storage.command("unmount", self._name)),
            "delete-container": seconds(self._storage.command("delete-container", self._name)),
        }

    def bare(self) -> Steps:
        """See Contender: every command opens the storage; this one lists its one image."""
        return {"bare": seconds(self._storage.command("images"))}


@contextlib.contextmanager
def containerd(pool: str, zfs: Zfs, folder: Path) -> Iterator[Ctr]:
    """Start a containerd whose zfs snapshotter has a dataset of ``pool``."""
    place = folder / "root" / "io.containerd.snapshotter.v1.zfs"
    place.mkdir(parents=True)
    # The snapshotter looks once, when the daemon starts.
    run(["zfs", "create", "-o", f"mountpoint={place}", f"{pool}/containerd"])
    with peers.containerd(folder) as running:
        yield Ctr(running, zfs, folder)
