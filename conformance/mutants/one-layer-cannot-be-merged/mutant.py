"""Mutant: a merge wants two layers at least. Caught by MRG-003."""

from layerfs import views
from layerfs.cli import main
from layerfs.errors import ValidationError

_merge = views.merge


def _several(parts, digests, *more):
    if len(set(digests)) == 1:
        raise ValidationError("there is nothing to merge with")
    return _merge(parts, digests, *more)


views.merge = _several

raise SystemExit(main())
