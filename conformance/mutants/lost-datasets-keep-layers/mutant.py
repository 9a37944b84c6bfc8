"""Mutant: cannot remove a layer whose datasets somebody has destroyed. Caught by ZFS-017."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main
from layerfs.errors import ZFSDatasetNotFoundError

real = ZfsBackend.release


def release(self, diff_id):
    """Insist on finding them."""
    for chain in self.chains.with_layer(diff_id):
        if not self.trees.is_whole(chain):
            raise ZFSDatasetNotFoundError(f"no dataset of {chain.chain_id}")
    real(self, diff_id)


ZfsBackend.release = release

raise SystemExit(main())
