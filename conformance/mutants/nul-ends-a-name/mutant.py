"""Mutant: a name in a pax record ends at its first NUL. Caught by HST-015."""

from layerfs import paxrecords
from layerfs.cli import main

_read_path = paxrecords._READERS[b"path"]
paxrecords._READERS[b"path"] = lambda key, value: _read_path(key, value.partition(b"\0")[0])

raise SystemExit(main())
