"""Pools on the machine's empty disks, with as many datasets as wanted. In the guest."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.packages import BenchError, run
from harness import pools
from layerfs.zfs import Zfs

#: Clones are made by so many threads: several then wait for one transaction group.
_THREADS: Final = 8


@contextlib.contextmanager
def pool(serial: str, home: Path) -> Iterator[str]:
    """Make a pool on the empty disk with a serial number; give its name; destroy it at the end."""
    made = pools.make(str(home), pools.STANDING, serial=serial)
    try:
        if made["kind"] != "disk":
            raise BenchError(f"the disk {serial} of the machine is missing, or not empty")
        yield made["name"]
    finally:
        pools.destroy(made["name"], str(home))


def settle(name: str) -> None:
    """Write everything back: what was done before is not to be paid for by what comes now."""
    run(["zpool", "sync", name])


def fill(zfs: Zfs, name: str, dataset: str, count: int) -> None:
    """Clone datasets below ``dataset``, named as chains are, until the pool ``name`` has ``count``.

    BenchError: it has more already.
    """
    origin = f"{name}/others"
    zfs.create(origin)
    zfs.snapshot([f"{origin}@layer"])
    missing = count - _size(name)
    if missing < 0:
        raise BenchError(f"the pool {name} has {count - missing} datasets, more than {count}")
    clones = [f"{dataset}/{hashlib.sha256(b'%d' % one).hexdigest()}" for one in range(missing)]
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(lambda clone: zfs.clone(f"{origin}@layer", clone), clones):
            pass
    settle(name)


def _size(name: str) -> int:
    """Return how many datasets a pool has, itself included."""
    return len(run(["zfs", "list", "-H", "-o", "name", "-t", "filesystem", "-r", name]).split())
