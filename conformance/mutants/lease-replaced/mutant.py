"""Mutant: leasing under a name that is taken gives up what was leased before. Caught by LIF-008."""

from layerfs.cli import main
from layerfs.roots import Roots

_put_lease = Roots.put_lease


def _instead(self, name, digests, **options):
    self.delete_lease(name)
    _put_lease(self, name, digests, **options)


Roots.put_lease = _instead

raise SystemExit(main())
