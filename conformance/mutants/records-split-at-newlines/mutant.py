"""Mutant: pax records end at the next newline, whatever their length says. Caught by APL-010."""

from layerfs import paxrecords
from layerfs.cli import main


def _split(data):
    lines = [line.partition(b" ")[2] for line in data.split(b"\n")]
    return [
        (key, value) for key, equals, value in (line.partition(b"=") for line in lines) if equals
    ]


paxrecords.split = _split

raise SystemExit(main())
