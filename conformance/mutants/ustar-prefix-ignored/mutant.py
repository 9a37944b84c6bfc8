"""Mutant: a ustar header's prefix is left away from the name. Caught by APL-014."""

from layerfs import tarstream
from layerfs.cli import main

tarstream.with_prefix = lambda _, name: name

raise SystemExit(main())
