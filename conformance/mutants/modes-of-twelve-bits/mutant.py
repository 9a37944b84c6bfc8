"""Mutant: a mode of more than twelve bits is damage. Caught by APL-162."""

from layerfs.cli import main
from layerfs.tarfields import Damage, number
from layerfs.tarstream import TarReader

_member = TarReader._member


def _strict(self, block, fields, extensions):
    if number(fields[1]) > 0o7777:
        raise Damage("no mode")
    return _member(self, block, fields, extensions)


TarReader._plain = lambda _: None
TarReader._member = _strict

raise SystemExit(main())
