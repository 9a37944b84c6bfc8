"""Mutant: whiteouts and opaque markers are written with the time of day.

Caught by CMT-004 and MRG-005.
"""

import time
from dataclasses import replace

from layerfs import merge
from layerfs.cli import main

_marker = merge._marker


def _dated(path):
    return replace(_marker(path), mtime_ns=time.time_ns())


merge._marker = _dated

raise SystemExit(main())
