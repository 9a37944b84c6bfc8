"""Mutant: believes a file what it says of the blobs in it. Caught by ZFS-069."""

from contextlib import suppress

from layerfs import replication
from layerfs.cli import main
from layerfs.errors import DigestMismatchError
from layerfs.reading import Expected
from layerfs.stackfile import Content

real = Content._next


def _next(self):
    with suppress(DigestMismatchError):
        real(self)


Content._next = _next
replication.Expected = lambda media_type, *_: Expected(media_type)

raise SystemExit(main())
