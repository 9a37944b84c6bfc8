"""Mutant: a layer with attributes that need a privilege is refused.

Caught by APL-012 and APL-034.
"""

from layerfs import layerxattrs
from layerfs.cli import main
from layerfs.errors import PermissionDeniedError

_stored = layerxattrs.stored


def _plain_only(xattrs, policy):
    if any(name.startswith(b"trusted.") for name in xattrs):
        raise PermissionDeniedError("trusted attributes cannot be set")
    return _stored(xattrs, policy)


layerxattrs.stored = _plain_only

raise SystemExit(main())
