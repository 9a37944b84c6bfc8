"""Mutant: an extended header at the end of an archive is passed over. Caught by HST-131."""

from layerfs.cli import main
from layerfs.tarmember import Extensions
from layerfs.tarstream import TarReader

_end = TarReader._end
TarReader._end = lambda self, _extensions: _end(self, Extensions())

raise SystemExit(main())
