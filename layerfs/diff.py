"""The changes of a writable view, which overlayfs keeps in its upperdir, as the tar of one layer.

The upperdir must be self-contained (mounted with ``redirect_dir=off,metacopy=off,index=off``);
then it has the form of a stored layer, and what ``layerfs.merge`` says of one layer holds here.
"""

from __future__ import annotations

from layerfs.backends import Sink
from layerfs.merge import write_changes


def diff(
    upper_fd: int,
    sink: Sink,
    *,
    userxattr: bool,
    implicit: frozenset[bytes] = frozenset(),
    source_date_epoch: int | None = None,
) -> None:
    """Write the upperdir open at ``upper_fd`` as a layer's tar to ``sink``.

    The same tree gives the same bytes. ``implicit`` names directories that get no entry of their
    own. Times after ``source_date_epoch`` (seconds) are written as that
    (reproducible-builds.org/specs/source-date-epoch).

    The view may be written to meanwhile. Nothing is waited for, and the archive is always whole:
    a file has the size that it had when it was reached, cut off or filled up with zeros; what has
    gone is left out; sockets are never part of it. Raises InvalidLayerPathError for a name that a
    layer cannot hold (".wh.…"), StorageError and PermissionDeniedError when it cannot be read.
    """
    latest = None if source_date_epoch is None else source_date_epoch * 1_000_000_000
    write_changes([(upper_fd, implicit)], sink, userxattr=userxattr, live=True, latest_ns=latest)
