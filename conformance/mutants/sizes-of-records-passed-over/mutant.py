"""Mutant: the size is that of the header, whatever a record says. Caught by APL-156."""

from layerfs import paxrecords
from layerfs.cli import main

_interpret = paxrecords.interpret


def _without_size(*given):
    pax = _interpret(*given)
    pax.size = None
    return pax


paxrecords.interpret = _without_size

raise SystemExit(main())
