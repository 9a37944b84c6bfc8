"""Mutant: what a global header may not say is passed over. Caught by HST-152."""

from layerfs import paxrecords
from layerfs.cli import main

_keep = paxrecords.keep_global
NEVER = (b"path", b"linkpath", b"size", b"GNU.sparse.")
paxrecords.keep_global = lambda records: _keep([r for r in records if not r[0].startswith(NEVER)])

raise SystemExit(main())
