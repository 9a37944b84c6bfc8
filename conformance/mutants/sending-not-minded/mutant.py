"""Mutant: forgets a layer that is being sent, and not its dataset. Caught by ZFS-057."""

from layerfs.cli import main
from layerfs.zfs.operations import Operations

real = Operations.remove


def remove(self, datasets, *, snapshot):
    """Take busy ones for destroyed."""
    return [one for one in real(self, datasets, snapshot=snapshot) if " is busy" not in one.what]


Operations.remove = remove

raise SystemExit(main())
