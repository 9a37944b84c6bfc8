"""Mutant: a tree is removed by the paths of what it was seen to hold. Caught by HST-261."""

import contextlib
import os

from layerfs import staging
from layerfs.cli import main
from layerfs.removal import remove_tree


def _by_path(path):
    found = [os.path.join(here, name) for here, _, files in os.walk(path) for name in files]
    for one in reversed(found):
        os.sched_yield()  # whoever exchanges directories meanwhile has a turn on a busy host, too
        with contextlib.suppress(OSError):
            os.unlink(one)
    remove_tree(path)


staging.remove_tree = _by_path

raise SystemExit(main())
