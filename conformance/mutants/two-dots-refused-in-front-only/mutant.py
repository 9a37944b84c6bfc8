"""Mutant: a name is confined by a look at how it begins. Caught by HST-001."""

import re

from layerfs import tarstream
from layerfs.cli import main
from layerfs.errors import HostileLayerError

_clean_name = tarstream.clean_name


def _confined(raw):
    name = raw.lstrip(b"./") if raw.startswith(b"./") else raw
    if name.startswith((b"../", b"/..")):
        raise HostileLayerError(f"hostile layer: {raw!r}", path=raw)
    return _clean_name(re.sub(rb"[^/]+/\.\.(/|$)", b"", name) or b".")


tarstream.clean_name = _confined

raise SystemExit(main())
