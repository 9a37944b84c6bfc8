"""Mutant: a contiguous file, type 7, is an unknown type. Caught by APL-153."""

from layerfs import tarstream
from layerfs.cli import main

del tarstream._KINDS[b"7"]

raise SystemExit(main())
