"""Mutant: of a record's length the lower 32 bits count. Caught by HST-139."""

import builtins

from layerfs import paxrecords
from layerfs.cli import main

paxrecords.int = lambda digits: builtins.int(digits) & 0xFFFFFFFF

raise SystemExit(main())
