"""Mutant: bytes of a request that are not UTF-8 are left out. Caught by PRO-004."""

from layerfs import session
from layerfs.cli import main

_decoded = session.decoded
session.decoded = lambda data: _decoded(data.decode(errors="ignore").encode())

raise SystemExit(main())
