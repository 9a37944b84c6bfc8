"""Mutant: forgets what a layer depends on when it is received. Caught by ZFS-060."""

from layerfs.cli import main
from layerfs.stackfile import StackReader

real = StackReader.manifest


def manifest(self):
    """Read what makes the trees."""
    found = real(self)
    return found._replace(layers=tuple(one._replace(dependencies=()) for one in found.layers))


StackReader.manifest = manifest

raise SystemExit(main())
