"""Mutant: a blob's declared size is not compared with its real one. Caught by IDN-004."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.reading import Expected

_compare = Expected.compare
Expected.compare = lambda self, digest, size: _compare(replace(self, size=None), digest, size)

raise SystemExit(main())
