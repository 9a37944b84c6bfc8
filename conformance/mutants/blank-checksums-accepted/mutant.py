"""Mutant: a header without a checksum is taken as it is. Caught by HST-133."""

from layerfs import tarstream
from layerfs.cli import main

_check_sum = tarstream.check_sum


def _where_there_is_one(block, field):
    if field.strip(b"\0 "):
        _check_sum(block, field)


tarstream.check_sum = _where_there_is_one

raise SystemExit(main())
