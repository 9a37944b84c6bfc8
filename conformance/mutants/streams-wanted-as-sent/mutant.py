"""Mutant: refuses a stack where its own chain is another than the sender's. Caught by ZFS-066."""

from layerfs import replication
from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main
from layerfs.errors import ZFSError

found = ZfsChains.found
real = replication._receive_chains


def receive_chains(backend, file, manifest, identity, new):
    """Have the origin of each stream, or nothing."""
    ids = replication.digests_.chain_ids(manifest.diff_ids)
    for chain_id, guid in zip(ids, manifest.guids, strict=True):
        chain = found(backend.trees, chain_id)
        if chain is not None and chain.guid != guid:
            raise ZFSError(f"{chain_id} is not the origin of what was sent")
    real(backend, file, manifest, identity, new)


replication._receive_chains = receive_chains

raise SystemExit(main())
