"""Mutant: a whiteout counts only in a directory that has an entry. Caught by DIF-004."""

from layerfs.cli import main
from layerfs.layertree import Directory

_whiteouts = Directory.whiteouts


def _beside_an_entry(self):
    return [] if self.implicit and self.parent is not None else _whiteouts(self)


Directory.whiteouts = _beside_an_entry

raise SystemExit(main())
