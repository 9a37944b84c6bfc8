"""What is done with one layer, in a pool of few datasets and in one of many, in turns.

The pools lie on disks alike, and differ in nothing else. Their datasets are in the store's own,
with names as chains have, so that neither the pool nor the store may be listed. In the guest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.layouts import tiny_tar
from benchmarks.ours import TAR
from benchmarks.packages import Log
from benchmarks.zfs.pools import fill, pool, settle
from benchmarks.zfs.rows import Samples
from benchmarks.zfs.session import Session, Store
from harness.pools import SERIALS
from layerfs.zfs import Zfs

#: The first number of the layers that are added: those of the image are below.
_NEW: Final = 1000


class Life:
    """What a layer goes through in a store in ``folder``, step by step, in the order of ``STEPS``.

    Each returns its seconds. ``digests`` are the layers that it comes upon.
    """

    def __init__(self, asked: Session, digests: Sequence[str], folder: Path) -> None:
        self.store = Store(asked, folder / "store", digests)
        self._folder = folder
        self._target = folder / "view"
        self._number = _NEW
        self._digest = ""
        self._target.mkdir(parents=True)

    def open(self) -> float:
        """Open the store anew, as every process does."""
        return self.store.timed("open", readonly=False)[0]

    def stack(self) -> float:
        """Make a writable view of the layers that were there."""
        return self.store.stack(self._target, writable=True)

    def unmount(self) -> float:
        """Remove it."""
        return self.store.unmount(self._target)

    def add(self) -> float:
        """Add a layer."""
        self._number += 1
        tar = self._folder / "layer.tar"
        tar.write_bytes(tiny_tar(self._number))
        took, told = self.store.timed("add", path=str(tar), media_type=TAR)
        self._digest = told["layer"]["digest"]
        return took

    def extend(self) -> float:
        """Stack the layer on the others, which makes a chain."""
        took = self.store.stack(self._target, self._digest, writable=False)
        self.store.unmount(self._target)
        return took

    def commit(self) -> float:
        """Make a layer of a file in a writable view."""
        self.store.stack(self._target, self._digest, writable=True)
        (self._target / "written").write_text(f"{self._number}\n")
        took, told = self.store.timed("commit", target=str(self._target))
        self.store.unmount(self._target)
        self.store.timed("remove", digest=told["layer"]["digest"])
        return took

    def remove(self) -> float:
        """Remove the layer, and its chain."""
        return self.store.timed("remove", digest=self._digest)[0]


STEPS: Final[dict[str, Callable[[Life], float]]] = {
    "open the store": Life.open,
    "make a view": Life.stack,
    "remove a view": Life.unmount,
    "add a layer": Life.add,
    "stack it, making its chain": Life.extend,
    "commit a view": Life.commit,
    "remove a layer": Life.remove,
}


def measure(
    zfs: Zfs,
    asked: Session,
    image: tuple[Path, Sequence[str]],
    home: Path,
    counts: Mapping[str, int],
    *,
    rounds: int,
    say: Log,
) -> Samples:
    """Return ``{step: {pool: seconds of each round}}``; ``counts``: datasets of each of the two.

    ``image``: a layout, and the digests of its layers, base first.
    """
    layout, digests = image
    samples: Samples = {step: {where: [] for where in counts} for step in STEPS}
    with contextlib.ExitStack() as held:
        there: list[tuple[str, str, Life]] = []
        for (where, count), serial in zip(counts.items(), SERIALS, strict=True):
            say(f"making a pool of {count:,} datasets")
            name = held.enter_context(pool(serial, home))
            life = Life(asked, digests, home / where)
            life.store.fill(f"{name}/layerfs", layout, home / where / "view")
            fill(zfs, name, f"{name}/layerfs", count)
            there.append((where, name, life))
        for number in range(rounds):
            for step, run in STEPS.items():
                for where, name, life in there:
                    settle(name)
                    samples[step][where].append(run(life))
            there.reverse()
            say(f"round {number + 1} of {rounds}")
    return samples
