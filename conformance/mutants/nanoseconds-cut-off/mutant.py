"""Mutant: times are kept to the second. Caught by APL-006."""

from layerfs import paxrecords
from layerfs.cli import main

_nanoseconds = paxrecords.nanoseconds
paxrecords.nanoseconds = lambda value: _nanoseconds(value) // 10**9 * 10**9

raise SystemExit(main())
