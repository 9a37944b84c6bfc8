"""Mutant: does not look whether a dataset is a volume. Caught by ZFS-071."""

from layerfs.cli import main
from layerfs.zfs.operations import Operations

real = Operations.properties


def properties(self, name, wanted):
    """Know one type."""
    found = real(self, name, wanted)
    if found.get("type") is not None:
        found["type"] = found["type"]._replace(value="filesystem")
    return found


Operations.properties = properties

raise SystemExit(main())
