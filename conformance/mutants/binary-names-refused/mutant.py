"""Mutant: names are UTF-8, and hdrcharset BINARY is not known. Caught by APL-157."""

from layerfs import paxrecords
from layerfs.cli import main

paxrecords._CHARSETS.discard(b"BINARY")

raise SystemExit(main())
