"""Mutant: a skippable zstd frame is refused. Caught by HST-127."""

from layerfs import zstdframes
from layerfs.cli import main

_SKIPPABLE = zstdframes._SKIPPABLE
assert _SKIPPABLE == 0x184D2A5
zstdframes._SKIPPABLE = -1

raise SystemExit(main())
