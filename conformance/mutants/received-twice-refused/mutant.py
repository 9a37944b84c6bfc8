"""Mutant: takes a chain that is here already for a mistake. Caught by ZFS-063."""

from layerfs import replication
from layerfs.cli import main
from layerfs.errors import ZFSDatasetCreateFailedError

real = replication._receive_chains


def receive_chains(backend, file, manifest, identity, new):
    """Find every place free."""
    for chain in backend.chains.all():
        if chain.guid in manifest.guids[manifest.known_chains :]:
            raise ZFSDatasetCreateFailedError(f"{chain.chain_id} exists already")
    real(backend, file, manifest, identity, new)


replication._receive_chains = receive_chains

raise SystemExit(main())
