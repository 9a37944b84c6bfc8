"""Mutant: of a number that is not octal the digits before the first other character count.

Caught by APL-029.
"""

import re

from layerfs import tarfields, tarstream
from layerfs.cli import main

_number = tarfields.number


def _guessed(field):
    if field[0] & 0x80:
        return _number(field)
    return int(re.match(rb" *([0-7]*)", field)[1] or b"0", 8)


tarfields.number = tarstream.number = _guessed

raise SystemExit(main())
