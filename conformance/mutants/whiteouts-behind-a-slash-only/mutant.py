"""Mutant: a marker is recognised by '/.wh.', and not in the root directory.

Caught by WHT-001, WHT-006, WHT-010 and WHT-011.
"""

from layerfs import layertree
from layerfs.cli import main

_classify = layertree.classify


def _behind_slash(name, *, is_dir=False):
    return _classify(name, is_dir=is_dir) if b"/.wh." in name else None


layertree.classify = _behind_slash

raise SystemExit(main())
