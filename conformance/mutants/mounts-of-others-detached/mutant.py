"""Mutant: detaches mounts of others to remove a layer. Caught by ZFS-013."""

import os

from layerfs import mounts, syscalls
from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

real = ZfsBackend.release
MNT_DETACH = 2


def release(self, diff_id):
    """Clear the way first."""
    for chain in self.chains.with_layer(diff_id):
        source = os.fsencode(f"{self.trees.place(chain.chain_id)}@layer")
        for entry in mounts.mountinfo():
            if entry.source == source:
                syscalls.umount2(entry.target, MNT_DETACH)
    real(self, diff_id)


ZfsBackend.release = release

raise SystemExit(main())
