"""The targets of the coverage-guided fuzzer: a property of bytes, how to mutate, how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import archives, blobs, mutation

CORPUS: Final = Path(__file__).parent / "corpus"
#: No file of the corpus is longer.
LONGEST: Final = 16 << 10

#: (data, longest, seed, the engine's own mutation) to a mutation of data.
Mutate = Callable[[bytes, int, int, mutation.Mutator], bytes]


@dataclass(frozen=True)
class Target:
    """``check`` raises when a promise is broken; ``mutate`` is None for the engine's own."""

    name: str
    check: Callable[[bytes], None]
    longest: int
    mutate: Mutate | None = None

    @property
    def corpus(self) -> Path:
        """Its inputs, checked in."""
        return CORPUS / self.name


TARGETS: Final = {
    target.name: target
    for target in (
        Target("archive", archives.check, 8192, mutation.mutated),
        Target("records", blobs.check_records, 1024),
        Target("gzip", blobs.check_gzip, 2048),
        Target("zstd", blobs.check_zstd, 2048),
    )
}
