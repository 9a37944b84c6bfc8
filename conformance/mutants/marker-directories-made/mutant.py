"""Mutant: a directory whose name begins like a marker is a directory. Caught by WHT-013."""

from layerfs import layertree
from layerfs.cli import main

_classify = layertree.classify


def _of_files(name, *, is_dir=False):
    return None if is_dir else _classify(name)


layertree.classify = _of_files

raise SystemExit(main())
