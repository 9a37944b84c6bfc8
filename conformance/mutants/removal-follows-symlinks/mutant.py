"""Mutant: what a symlink in a removed layer leads to is emptied as well. Caught by HST-265."""

import contextlib
import os

from layerfs import staging
from layerfs.cli import main
from layerfs.removal import remove_tree


def _followed(path):
    for here, _, files in os.walk(path, followlinks=True):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(here, name))
    remove_tree(path)


staging.remove_tree = _followed

raise SystemExit(main())
