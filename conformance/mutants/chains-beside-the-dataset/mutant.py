"""Mutant: keeps chains beside the store's dataset. Caught by ZFS-001."""

from layerfs import digest
from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main


def place(self, chain_id):
    """Name a sibling of the store's dataset."""
    return f"{self.dataset.rpartition('/')[0]}/{digest.hexpart(chain_id)}"


ZfsChains.place = place

raise SystemExit(main())
