"""Mutant: an exported manifest is written so that people can read it. Caught by IMG-021."""

import json
from dataclasses import replace

from layerfs import export
from layerfs.cli import main

_same_image = export._same_image


def _readable(parts, row):
    found = _same_image(parts, row)
    return replace(found, manifest=json.dumps(json.loads(found.manifest), indent=1).encode())


export._same_image = _readable

raise SystemExit(main())
