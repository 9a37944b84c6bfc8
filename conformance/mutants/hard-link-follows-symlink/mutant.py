"""Mutant: a hard link to a symlink becomes one to where that leads.

Caught by APL-019 and HST-008.
"""

import os

from layerfs.cli import main

_link = os.link


def _followed(*args, **options):
    _link(*args, **{**options, "follow_symlinks": True})


os.link = _followed

raise SystemExit(main())
