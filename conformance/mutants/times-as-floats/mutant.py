"""Mutant: times are read as floating-point numbers, which are not as fine. Caught by APL-006."""

from layerfs import paxrecords
from layerfs.cli import main

paxrecords.nanoseconds = lambda value: int(float(value) * 1e9)

raise SystemExit(main())
