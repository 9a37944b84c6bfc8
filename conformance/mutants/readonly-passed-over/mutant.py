"""Mutant: a store that is to be opened read-only is opened like any other. Caught by LIF-014."""

from layerfs.cli import main
from layerfs.openstores import Stores

_open = Stores.open


def _writable(self, root, *, readonly, **options):  # noqa: ARG001
    return _open(self, root, readonly=False, **options)


Stores.open = _writable

raise SystemExit(main())
