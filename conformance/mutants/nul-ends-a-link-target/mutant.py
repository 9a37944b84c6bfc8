"""Mutant: a NUL ends the link target of a record. Caught by HST-140."""

from layerfs import paxrecords
from layerfs.cli import main

paxrecords._READERS[b"linkpath"] = lambda _, value: ("linkpath", value.partition(b"\0")[0])

raise SystemExit(main())
