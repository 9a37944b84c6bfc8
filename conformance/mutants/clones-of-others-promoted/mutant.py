"""Mutant: promotes the clones of others to be rid of a layer. Caught by ZFS-011."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

real = ZfsBackend.release


def release(self, diff_id):
    """Let others have the snapshot."""
    for chain in self.chains.with_layer(diff_id):
        name = self.trees.place(chain.chain_id)
        for snapshot in self.zfs.facts_of(name).snapshots:
            for clone in snapshot.clones:
                if not clone.startswith(f"{self.dataset}/"):
                    self.zfs.promote(clone)
                    self.zfs.destroy(name)
    real(self, diff_id)


ZfsBackend.release = release

raise SystemExit(main())
