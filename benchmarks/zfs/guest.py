"""What runs in the machine: ``python -m benchmarks.zfs.guest ROUNDS DATASETS``, as root.

Prints JSON lines: ``{"log": text}`` for whoever waits, and at last ``{"found": …}``. What it makes
is left to go with the machine, but for its pools and what it has started.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import layouts, listing, machine
from benchmarks.packages import BenchError, run
from benchmarks.zfs import scale
from benchmarks.zfs.contenders import ContainersStorage, Contender, Layerfs, Steps, containerd
from benchmarks.zfs.pools import pool, settle
from benchmarks.zfs.rows import CONTAINERS_STORAGE, CTR, FEW, LAYERS, OURS, WAYS, Samples
from benchmarks.zfs.session import Store, session, started
from harness.pools import SERIALS
from layerfs.zfs import Zfs, open_zfs

#: On the disk, where stores are; /tmp may be memory.
_HOME: Final = Path("/var/lib/layerfs-bench")
_STORE: Final = _HOME / "store"
#: Rounds, where a bar is that near to what is equal.
_MORE: Final = 4


def main(rounds: int, datasets: int) -> dict[str, Any]:
    """Measure everything; return it in JSON types."""
    _HOME.mkdir()
    layers = [layouts.tiny(number) for number in range(LAYERS)]
    layout = _HOME / "oci"
    layouts.write(layout, layers)
    run(["tar", "-C", layout, "-cf", _HOME / "oci.tar", "."])
    zfs = open_zfs(WAYS[OURS])
    with pool(SERIALS[0], _HOME) as name:
        contest = _contest(zfs, name, layers, rounds)
    with session(WAYS[OURS]) as asked:
        image = layout, [layer.digest for layer in layers]
        counts = {"few": FEW, "many": datasets}
        scaled = scale.measure(zfs, asked, image, _HOME, counts, rounds=_MORE * rounds, say=say)
    facts = machine.facts("containers-storage", "zfsutils-linux")
    return {"facts": facts, **contest, "datasets": counts, "scale": scaled}


def _contest(zfs: Zfs, on: str, layers: list[layouts.Blob], rounds: int) -> dict[str, Any]:
    """Make and remove views side by side, of one chain in stores of the pool ``on``."""
    contenders: dict[str, Contender] = {}
    filled: dict[str, float] = {}
    digests = [layer.digest for layer in layers]
    with contextlib.ExitStack() as held:
        for name, way in WAYS.items():
            store = Store(held.enter_context(session(way)), _STORE, digests)
            contenders[name] = Layerfs(store, _folder(way))
            if name == OURS:
                say("layerfs: importing the image, and making its chain")
                filled[name] = store.fill(f"{on}/layerfs", _HOME / "oci", _HOME / way)
        say("containerd: importing the image, unpacked")
        ctr = held.enter_context(containerd(on, zfs, _folder("containerd")))
        filled[CTR] = ctr.fill(_HOME / "oci.tar", [layer.diff_id for layer in layers])
        say("containers-storage: importing the layers")
        storage = ContainersStorage(on, _folder("containers-storage"))
        filled[CONTAINERS_STORAGE] = storage.fill(LAYERS)
        contenders |= {CTR: ctr, CONTAINERS_STORAGE: storage}
        _compare(contenders)
        samples = _race(contenders, on, rounds)
        processes = {name: _processes(way, digests) for name, way in WAYS.items()}
    return {"filled": filled, "contest": samples, "processes": processes}


def _folder(name: str) -> Path:
    folder = _HOME / name
    folder.mkdir()
    return folder


def _compare(contenders: Mapping[str, Contender]) -> None:
    """Make sure, in a round that is not timed, that all make the same view, and a writable one."""
    first = ""
    for name, one in contenders.items():
        say(f"{name}: a first view")
        one.make()
        seen = listing.of(one.target)
        (one.target / "written").write_bytes(b"here")
        one.remove()
        if different := listing.difference(first or seen, seen):
            raise BenchError(f"{name} has another view than {OURS}: {different}")
        first = first or seen


def _race(contenders: Mapping[str, Contender], on: str, rounds: int) -> Samples:
    """Take turns, each from a pool that has nothing left to write."""
    samples: Samples = {name: {} for name in contenders}
    order = list(contenders.items())
    for number in range(rounds):
        for name, one in order:
            settle(on)
            made = one.make()
            settle(on)
            steps: Steps = {**made, **one.remove(), **one.bare()}
            for step, took in steps.items():
                samples[name].setdefault(step, []).append(took)
        order.reverse()
        say(f"round {number + 1} of {rounds}")
    return samples


def _processes(way: str, digests: list[str]) -> int:
    """Return how many processes a session starts for one view, made and removed."""
    trace = _HOME / f"trace-{way}"
    with session(way, trace) as asked:
        one = Layerfs(Store(asked, _STORE, digests), _HOME / way)
        one.make()  # what is done once, such as loading a library, is not for the view
        one.remove()
        before = trace.stat().st_size
        one.make()
        one.remove()
        after = trace.read_bytes()[before:]
    return started(after.decode())


def say(text: str) -> None:
    """Tell whoever waits."""
    _tell({"log": text})


def _tell(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _tell({"found": main(*map(int, sys.argv[1:]))})
