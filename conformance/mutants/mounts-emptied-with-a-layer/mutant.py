"""Mutant: removing a layer empties what is mounted within it. Caught by HST-267."""

import contextlib
import os

from layerfs import staging
from layerfs.cli import main
from layerfs.removal import remove_tree


def _emptied(path):
    for here, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(here, name))
    remove_tree(path)


staging.remove_tree = _emptied

raise SystemExit(main())
