"""Mutant: a layer that is there already is refused. Caught by IDN-009 and IDN-011."""

from layerfs import adding
from layerfs.cli import main
from layerfs.errors import StorageError

_published = adding._published


def _exclusive(parts, operation, made, ingest, **how):
    if parts.meta.has_layer(made.digest):
        raise StorageError(f"layer {made.digest} exists")
    return _published(parts, operation, made, ingest, **how)


adding._published = _exclusive

raise SystemExit(main())
