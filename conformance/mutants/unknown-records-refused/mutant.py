"""Mutant: a pax record of an unknown keyword is refused. Caught by APL-027."""

from layerfs import paxrecords
from layerfs.cli import main
from layerfs.tarfields import Damage

_interpret = paxrecords.interpret


def _known_only(records, limits):
    records = list(records)
    for key, _ in records:
        if key not in paxrecords._READERS and not key.startswith((b"SCHILY.", b"GNU.")):
            raise Damage(f"unknown keyword {key!r}")
    return _interpret(records, limits)


paxrecords.interpret = _known_only

raise SystemExit(main())
