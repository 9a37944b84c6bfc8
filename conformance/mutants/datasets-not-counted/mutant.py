"""Mutant: does not count its datasets. Caught by ZFS-072."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

real = ZfsBackend.space
ZfsBackend.space = lambda self: real(self)._replace(used=0)

raise SystemExit(main())
