"""Mutant: the number of a record is whatever float() makes of it. Caught by HST-138."""

from layerfs import paxrecords
from layerfs.cli import main
from layerfs.tarfields import Damage


def _rounded(value, what):
    try:
        return abs(int(float(value)))
    except (ValueError, OverflowError):
        raise Damage(f"{what} is not a number") from None


paxrecords.decimal = _rounded

raise SystemExit(main())
