"""Mutant: a store that is not there is made by the first verb that names it. Caught by LIF-003."""

import os

from layerfs.cli import main
from layerfs.openstores import Stores

_get = Stores.get


def _made(self, root, **options):
    if not os.path.exists(os.path.join(root, "layerfs.db")):
        self.open(root, readonly=False)
    return _get(self, root, **options)


Stores.get = _made

raise SystemExit(main())
