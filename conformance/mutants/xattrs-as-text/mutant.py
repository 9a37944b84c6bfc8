"""Mutant: extended attributes are text, in UTF-8. Caught by APL-010."""

from layerfs import paxrecords
from layerfs.cli import main

_put = paxrecords._put


def _put_text(xattrs, name, value):
    _put(xattrs, name, value.decode("utf-8", "replace").encode())


paxrecords._put = _put_text

raise SystemExit(main())
