"""Mutant: attributes of a symlink are set on what it leads to.

Caught by HST-224, HST-225, HST-226 and HST-227.
"""

import os

from layerfs.cli import main

_setxattr = os.setxattr


def _followed(path, name, value, flags=0, *, follow_symlinks=True):
    try:
        _setxattr(path, name, value, flags)
    except FileNotFoundError:
        _setxattr(path, name, value, flags, follow_symlinks=follow_symlinks)


os.setxattr = _followed

raise SystemExit(main())
