"""Mutant: the configuration of exported layers names blobs for diffIDs. Caught by IMG-003."""

from layerfs import export
from layerfs.cli import main

_new_image = export._new_image


def _of_blobs(parts, layers, row):
    return _new_image(parts, [one._replace(diff_id=one.digest) for one in layers], row)


export._new_image = _of_blobs

raise SystemExit(main())
