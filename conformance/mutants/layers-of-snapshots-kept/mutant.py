"""Mutant: keeps layers that a snapshot of the dataset has. Caught by ZFS-212."""

import os

from layerfs import removing
from layerfs.cli import main
from layerfs.errors import LayerInUseError
from layerfs.filesystems import file_system_of
from layerfs.mountinfo import mountinfo

real = removing.remove


def remove(parts, digest):
    """Look into .zfs first."""
    dataset = os.fsencode(file_system_of(parts.root).source)
    for entry in mountinfo():
        if entry.source == dataset and os.listdir(os.path.join(entry.target, b".zfs/snapshot")):
            raise LayerInUseError("a snapshot has it", digest=digest, holder="a snapshot")
    return real(parts, digest)


removing.remove = remove

raise SystemExit(main())
