"""Mutant: the diffIDs of an image's configuration are not compared. Caught by IMG-006."""

from layerfs import image
from layerfs.cli import main

_Expected = image.Expected
image.Expected = lambda media_type, digest, size, _diff_id: _Expected(media_type, digest, size)

raise SystemExit(main())
