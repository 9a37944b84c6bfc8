"""Mutant: remove does not look at mounts. Caught by LIF-006, LIF-022 and UNM-012."""

from layerfs import removing
from layerfs.cli import main

_holder = removing._holder


def _held(parts, digest):
    found = _holder(parts, digest)
    return None if found is not None and found[0].startswith("mount ") else found


removing._holder = _held

raise SystemExit(main())
