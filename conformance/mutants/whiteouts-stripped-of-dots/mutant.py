"""Mutant: the name in a marker loses the dots that it begins with. Caught by HST-205."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.whiteout import Whiteout, classify


def _stripped(name, *, is_dir=False):
    mark = classify(name, is_dir=is_dir)
    if not isinstance(mark, Whiteout):
        return mark
    head, slash, base = mark.target.rpartition(b"/")
    return Whiteout(head + slash + (base.lstrip(b".") or base))


layertree.classify = _stripped

raise SystemExit(main())
