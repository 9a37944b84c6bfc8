"""Mutant: sends each chain as a whole stream, and so receives no clones. Caught by ZFS-061."""

from layerfs import replication
from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main

send, receive, one = ZfsChains.send, ZfsChains.receive, replication._receive_chain


def apart(chain):
    """Forget what is below."""
    return chain._replace(parent="")


ZfsChains.send = lambda self, chain: send(self, apart(chain))
ZfsChains.receive = lambda self, chain, identity, fill: receive(self, apart(chain), identity, fill)
replication._receive_chain = lambda backend, content, chain, _base, identity: one(
    backend, content, chain, "0", identity
)

raise SystemExit(main())
