"""Mutant: access control lists are not set. Caught by APL-013."""

from layerfs import layerxattrs
from layerfs.cli import main

_stored = layerxattrs.stored


def _without_acls(xattrs, policy):
    kept = _stored(xattrs, policy)
    return {name: kept[name] for name in kept if name not in layerxattrs.ACLS}


layerxattrs.stored = _without_acls

raise SystemExit(main())
