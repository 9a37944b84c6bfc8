"""Mutant: an image that is in the store already cannot be imported. Caught by IMG-005."""

from layerfs import image
from layerfs.cli import main
from layerfs.errors import ValidationError

_store = image.store


def _new(parts, source, documents, names, **options):
    if parts.meta.roots.image(documents.descriptor.digest) is not None:
        raise ValidationError("the image is in the store already")
    return _store(parts, source, documents, names, **options)


image.store = _new

raise SystemExit(main())
