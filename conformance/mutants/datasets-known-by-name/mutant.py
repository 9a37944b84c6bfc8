"""Mutant: takes any dataset of the right name for its own. Caught by ZFS-052."""

from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main


def is_whole(self, chain, **_):
    """Be content with a name."""
    return self.guid(f"{self.place(chain.chain_id)}@layer") is not None


ZfsChains.is_whole = is_whole

raise SystemExit(main())
