"""Mutant: global headers are passed over. Caught by APL-154 and APL-155."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

TarReader._add_globals = lambda *_: None

raise SystemExit(main())
