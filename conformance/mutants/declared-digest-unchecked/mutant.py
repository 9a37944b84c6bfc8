"""Mutant: of what is declared of a blob, its size is verified, its digest not.

Caught by IDN-004 and IDN-005.
"""

from dataclasses import replace

from layerfs.cli import main
from layerfs.reading import Expected

_compare = Expected.compare
Expected.compare = lambda self, digest, size: _compare(replace(self, digest=None), digest, size)

raise SystemExit(main())
