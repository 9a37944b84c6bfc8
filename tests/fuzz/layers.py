"""The structure-aware fuzzer: random layers through the whole store, held against the model.

``python -m tests.fuzz.layers --world root|rootless --seconds N --found FOLDER``: a process of its
own, in a private mount namespace; ``rootless`` also in a user namespace with one id mapped. The
store lies on a tmpfs of that namespace, so nothing of it outlives the process. The first broken
promise is shrunk by hypothesis, printed, and written to the folder; the status is then 77.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, given, seed, settings

from conformance.layers import Layer
from harness import treewalk
from harness.observe import _tree
from harness.tree import Tree
from layerfs import syscalls
from layerfs.errors import LayerFSError
from layerfs.store import LayerFS

from ..layerfs.isolation import enter_namespace  # noqa: TID252 - tests is no package to name
from .hostile import CODES, DAMAGE_CODES, HOST_CODES, Stack, World, expectation, stacks

FOUND: Final = 77
#: Examples of one seed; then a fresh store.
_ROUND: Final = 100


class Arena:
    """A store, a target and a canary, next to each other on one tmpfs."""

    def __init__(self, root: Path) -> None:
        self.target = root / "view"
        self._canary = root / "canary"
        (self._canary / "d").mkdir(parents=True)
        (self._canary / "f").write_bytes(b"untouched")
        self._whole = self._canaries()
        self.store = LayerFS.open(root / "store")
        self.counts: Counter[str] = Counter()

    def _canaries(self) -> object:
        return treewalk.tree(str(self._canary), times=True)

    def try_out(self, layers: Sequence[Layer], world: World) -> None:
        """Apply the layers, base first; AssertionError when a promise is broken."""
        wanted = expectation(layers, world)
        self._clear()  # what an example that failed has left
        kept = self._kept()
        try:
            digests = [self._added(layer) for layer in layers]
        except LayerFSError as error:
            self._refused(error, wanted)
        else:
            assert wanted != "refused", "it should have been refused, and was applied"
            self._applied(digests, wanted)
        self._clear()
        assert self._kept() == kept, "something was left behind"
        assert self._canaries() == self._whole, "something outside of the store was touched"

    def _clear(self) -> None:
        for layer in self.store.layers():
            self.store.remove_layer(layer.digest)

    def _added(self, layer: Layer) -> str:
        before = self._kept()
        try:
            return self.store.add_layer(io.BytesIO(layer.blob()), layer.media_type).digest
        except LayerFSError:
            assert self._kept() == before, "a refused layer left something behind"
            raise

    def _refused(self, error: LayerFSError, wanted: Tree | str) -> None:
        self.counts["refused"] += 1
        assert not isinstance(wanted, Tree), f"it should have been applied: {error}"
        allowed = CODES if wanted == "refused" else DAMAGE_CODES | HOST_CODES
        assert error.code in allowed, f"{error.code}: {error}"
        assert "\n" not in error.message

    def _applied(self, digests: list[str], wanted: Tree | str) -> None:
        self.counts["applied" if isinstance(wanted, Tree) else "open"] += 1
        stacked = self._tree(digests)
        assert self.store.verify() == []
        if isinstance(wanted, Tree):
            assert not stacked.differences(wanted), "\n".join(stacked.differences(wanted))
            merged = self.store.merge(digests).digest
            again = self._tree([merged])
            assert not again.differences(wanted), "\n".join(["merged:", *again.differences(wanted)])

    def _tree(self, digests: list[str]) -> Tree:
        self.store.stack(digests, self.target)
        try:
            return _tree(treewalk.tree(str(self.target)))
        finally:
            self.store.unmount(self.target)

    def _kept(self) -> set[str]:
        """All of the store that is content or work in progress; not its records."""
        found = set()
        for part in ("staging", "blobs", "layers", "run"):
            folder = self.store.root / part
            for here, folders, files in os.walk(folder):
                found |= {os.path.join(here, name) for name in [*folders, *files]}
        return found


@contextmanager
def arena(scratch: Path) -> Iterator[Arena]:
    """Give a fresh arena below ``scratch``, on a tmpfs of its own."""
    place = Path(tempfile.mkdtemp(dir=scratch))
    syscalls.mount("fuzz", str(place), "tmpfs", 0, "mode=0755")
    made = Arena(place)
    try:
        yield made
    finally:
        made.store.close()
        syscalls.umount2(str(place))
        place.rmdir()


def trial(made: Arena, world: World, examples: int) -> Callable[[], None]:
    """Return a hypothesis test of ``examples`` examples."""

    @settings(
        max_examples=examples, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(stack=stacks(world))
    def one(stack: Stack) -> None:
        made.counts["examples"] += 1
        made.try_out(stack.layers, world)

    return one


def run(world: World, until: float, first: int) -> Counter[str]:
    """Try layers out until the clock says so; raises what the first broken promise raises."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="layerfs-fuzz-") as scratch:
        for number in itertools.count(first):
            with arena(Path(scratch)) as made:
                seed(number)(trial(made, world, _ROUND))()
                counts += made.counts
            if time.monotonic() >= until:
                return counts
    raise AssertionError("numbers end nowhere")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.layers", description=__doc__)
    parser.add_argument("--world", choices=["root", "rootless"], required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(30))
    parser.add_argument("--found", type=Path, required=True, help="where a finding is written")
    chosen = parser.parse_args()
    world = World(root=chosen.world == "root")
    until = time.monotonic() + chosen.seconds
    enter_namespace(rootless=not world.root)
    try:
        counts = run(world, until, chosen.seed)
    except Exception:  # noqa: BLE001 - whatever escapes is a finding; it is written down and told
        text = traceback.format_exc()
        name = chosen.found / f"layers-{chosen.world}-{chosen.seed}.txt"
        name.write_text(text)
        sys.stdout.write(f"{text}\nwritten to {name}\n")
        return FOUND
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    sys.stdout.write(f"seed {chosen.seed}: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
