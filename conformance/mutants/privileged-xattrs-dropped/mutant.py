"""Mutant: of privileged attributes, not even root has any. Caught by APL-011 and APL-012."""

from layerfs import layerxattrs
from layerfs.cli import main

_stored = layerxattrs.stored


def _unprivileged(xattrs, policy):
    kept = _stored(xattrs, policy)
    return {name: kept[name] for name in kept if not name.startswith((b"trusted.", b"security."))}


layerxattrs.stored = _unprivileged

raise SystemExit(main())
