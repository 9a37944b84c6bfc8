"""Mutant: verify names damaged files as ls(1) shows them. Caught by VER-003."""

from dataclasses import replace

from layerfs import verifying
from layerfs.cli import main

_examine = verifying.examine


def _shown(parts, layer):
    found = _examine(parts, layer)
    return [
        replace(one, path=one.path and "".join(c if c.isprintable() else "?" for c in one.path))
        for one in found
    ]


verifying.examine = _shown

raise SystemExit(main())
