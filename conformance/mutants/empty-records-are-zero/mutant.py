"""Mutant: an empty time in a record is the beginning of 1970. Caught by APL-165."""

from layerfs import paxrecords
from layerfs.cli import main

_read_mtime = paxrecords._read_mtime

paxrecords._READERS[b"mtime"] = lambda keyword, value: _read_mtime(keyword, value or b"0")

raise SystemExit(main())
