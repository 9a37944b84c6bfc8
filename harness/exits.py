"""The name of the command line, and its exit statuses; 0 is that what was asked is so."""

from typing import Final

PROGRAM: Final = "layerfs-conformance"
NOT_SO: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
