"""Mutant: destroys the snapshots that others have taken of a layer. Caught by ZFS-003, ZFS-012."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

real = ZfsBackend.release


def release(self, diff_id):
    """Clear the way first."""
    for chain in self.chains.with_layer(diff_id):
        facts = self.zfs.facts_of(self.trees.place(chain.chain_id))
        foreign = [one.name for one in facts.snapshots if not one.name.endswith("@layer")]
        if foreign:
            self.zfs.destroy_snapshots(foreign)
    real(self, diff_id)


ZfsBackend.release = release

raise SystemExit(main())
