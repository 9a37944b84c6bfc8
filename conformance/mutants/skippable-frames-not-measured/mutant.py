"""Mutant: a skippable zstd frame may be longer than what is left. Caught by HST-128."""

from layerfs.cli import main
from layerfs.zstdframes import FrameWalker

_skippable, _whole = FrameWalker._skippable, FrameWalker.whole


def _noted(self, header):
    _skippable(self, header)
    self.skipping = True


FrameWalker.skipping = False
FrameWalker._skippable = _noted
FrameWalker.whole = property(lambda self: self.skipping or _whole.fget(self))

raise SystemExit(main())
