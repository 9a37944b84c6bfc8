"""Mutant: major and minor numbers of devices are cut to 8 bits each. Caught by APL-002."""

import os

from layerfs.cli import main

_makedev = os.makedev
os.makedev = lambda major, minor: _makedev(major & 0xFF, minor & 0xFF)

raise SystemExit(main())
