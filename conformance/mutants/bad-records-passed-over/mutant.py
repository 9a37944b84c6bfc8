"""Mutant: a record with an impossible value is as if it were not there. Caught by HST-015."""

from layerfs import paxrecords
from layerfs.cli import main
from layerfs.tarfields import Damage

_interpret = paxrecords.interpret


def _is_good(record):
    try:
        _interpret([record])
    except Damage:
        return False
    return True


paxrecords.interpret = lambda records, limits: _interpret(filter(_is_good, records), limits)

raise SystemExit(main())
