"""Mutant: the sign of a time is that of its whole seconds. Caught by APL-151."""

from layerfs import paxrecords
from layerfs.cli import main

_nanoseconds = paxrecords.nanoseconds


def _signed_by_seconds(value):
    total = _nanoseconds(value)
    return -total if value.startswith(b"-0.") else total


paxrecords.nanoseconds = _signed_by_seconds

raise SystemExit(main())
