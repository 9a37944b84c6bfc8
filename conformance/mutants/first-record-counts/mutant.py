"""Mutant: of several records of one keyword the first counts. Caught by APL-164."""

from layerfs import paxrecords
from layerfs.cli import main

_split = paxrecords.split


def _once(data):
    records = {}
    for keyword, value in _split(data):
        records.setdefault(keyword, value)
    return list(records.items())


paxrecords.split = _once

raise SystemExit(main())
