"""Mutant: the size of a made layer is what it takes on disk. Caught by MRG-008."""

from layerfs import making
from layerfs.cli import main

_make = making.make


def _measured(parts, write, *more):
    made = _make(parts, write, *more)
    with parts.meta.transaction():
        parts.meta.database.write(
            "UPDATE layers SET size = blob_bytes + 1 WHERE digest = ?", (made.digest,)
        )
    return parts.meta.layer(made.digest)


making.make = _measured

raise SystemExit(main())
