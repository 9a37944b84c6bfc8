"""Mutant: a zstd stream may end anywhere, as libzstd's stream reader allows. Caught by IDN-017."""

from layerfs.cli import main
from layerfs.zstdframes import FrameWalker

FrameWalker.whole = property(lambda _: True)

raise SystemExit(main())
