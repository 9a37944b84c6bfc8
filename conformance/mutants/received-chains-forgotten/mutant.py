"""Mutant: does not record the chains that it has received. Caught by ZFS-068."""

from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main

real = ZfsChains.receive


def receive(self, chain, identity, fill):
    """Leave the books to others."""
    real(self, chain, identity, fill)
    with self.chains.transaction():
        self.chains.forget([chain.chain_id])


ZfsChains.receive = receive

raise SystemExit(main())
