"""Mutant: hard links are made when all else has been. Caught by APL-101."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader.__next__


def _links_last(self):
    links = self.__dict__.setdefault("links", [])
    try:
        while (member := _next(self)).kind == "hardlink":
            links.append(member)
    except StopIteration:
        if links:
            return links.pop(0)
        raise
    return member


TarReader.__next__ = _links_last

raise SystemExit(main())
