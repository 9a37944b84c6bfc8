"""Mutant: open starts a process for the store, which close leaves running. Caught by LDG-003."""

import os
import subprocess

from layerfs.cli import main
from layerfs.openstores import Stores

_open = Stores.open


def _kept(self, root, **options):
    if not os.path.exists(root):
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            ["sleep", "600"], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    return _open(self, root, **options)


Stores.open = _kept

raise SystemExit(main())
