"""Mutant: releases the holds of others to remove a layer. Caught by ZFS-010."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

real = ZfsBackend.release


def release(self, diff_id):
    """Clear the way first."""
    for chain in self.chains.with_layer(diff_id):
        facts = self.zfs.facts_of(self.trees.place(chain.chain_id))
        for snapshot in facts.snapshots:
            for tag in snapshot.holds:
                self.zfs.release(snapshot.name, tag)
    real(self, diff_id)


ZfsBackend.release = release

raise SystemExit(main())
