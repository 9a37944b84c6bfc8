"""Mutant: a marker with a slash behind its name is an ordinary directory. Caught by HST-245."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.whiteout import classify


def _not_for_directories(name, *, is_dir=False):
    return None if is_dir else classify(name)


layertree.classify = _not_for_directories

raise SystemExit(main())
