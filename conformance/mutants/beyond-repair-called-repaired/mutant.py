"""Mutant: repair extracts a damaged blob again, and calls that repaired. Caught by VER-006."""

from layerfs import repair
from layerfs.cli import main
from layerfs.reading import Expected

repair._blob_is_damaged = lambda _: False
repair.Expected = lambda media_type, *_: Expected(media_type)

raise SystemExit(main())
