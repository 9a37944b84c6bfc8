"""Mutant: the name in a sparse file's records may have '..' in it. Caught by HST-202."""

from dataclasses import replace

from layerfs import tarsparse
from layerfs.cli import main

_from_pax = tarsparse.from_pax


def _tidied(records, most):
    found = _from_pax(records, most)
    parts = (found.name or b"").split(b"/")
    return replace(found, name=b"/".join(part for part in parts if part != b".."))


tarsparse.from_pax = _tidied

raise SystemExit(main())
