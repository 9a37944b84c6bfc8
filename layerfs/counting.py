"""Count what a store holds."""

from __future__ import annotations

from layerfs.opening import Parts
from layerfs.reports import Stats
from layerfs.views import mounts


def stats(parts: Parts) -> Stats:
    """Count layers, views and bytes; the cost grows with the number of views, not of files."""
    live = mounts(parts)
    shown = {digest for mount in live for digest in mount.digests}
    meta, space = parts.meta, parts.backend.space()
    total, referenced = meta.count_layers(), meta.count_referenced()
    only_shown = sum(1 for digest in shown if not meta.is_referenced(digest))
    return Stats(
        layers=total,
        mounted=len(shown),
        referenced=referenced,
        unused=total - referenced - only_shown,
        mounts=len(live),
        bytes_total=meta.bytes_total() + (0 if space is None else space.used),
        space=space,
    )
