"""Mutant: leaves the properties of what it receives at the defaults of ZFS. Caught by ZFS-067."""

from layerfs.backends import zfschains
from layerfs.cli import main

real = zfschains.ZfsChains.receive
layers_need = dict(zfschains.PROPERTIES)


def receive(self, chain, identity, fill):
    """Take it as it comes."""
    zfschains.PROPERTIES["acltype"] = "off"
    try:
        real(self, chain, identity, fill)
    finally:
        zfschains.PROPERTIES.update(layers_need)


zfschains.ZfsChains.receive = receive

raise SystemExit(main())
