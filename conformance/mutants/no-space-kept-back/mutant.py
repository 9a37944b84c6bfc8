"""Mutant: keeps no space back for emptying a full store. Caught by ZFS-219."""

from layerfs import reserve
from layerfs.cli import main

reserve.keep = lambda _: None

raise SystemExit(main())
