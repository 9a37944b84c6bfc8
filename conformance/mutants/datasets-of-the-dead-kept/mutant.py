"""Mutant: leaves the datasets of killed processes in the pool. Caught by ZFS-054 and ZFS-075."""

from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main

ZfsChains.recover = lambda _self, _staging: None

raise SystemExit(main())
