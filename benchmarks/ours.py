"""What layerfs is asked to do in a process of its own: ``python -m benchmarks.ours JOB …``.

Only what layerfs itself imports is imported here at the top, so that a process costs what one of
layerfs costs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader


def layer(source: str, target: str, media_type: str, *said: str) -> None:
    """Do what ``layerfs add`` does, apart from keeping the blob: verify, extract, make durable.

    ``target`` is an empty directory; the tree comes to be at ``diff`` in it. ``said``: digest,
    diffID, and "yes" or "no" for durable.
    """
    from layerfs.backends import Features  # noqa: PLC0415
    from layerfs.backends.overlay import OverlayBackend  # noqa: PLC0415
    from layerfs.reading import Expected, read_layer  # noqa: PLC0415
    from layerfs.syscalls import syncfs  # noqa: PLC0415

    digest, diff_id, sync = said
    # What a store of the host's root records when it is made.
    backend = OverlayBackend(Path(target), Features(False, False, False, max_layers=500))
    wanted = Expected(media_type, digest, os.stat(source).st_size, diff_id)
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)

    def extract(reader: TarReader) -> None:
        backend.ingest(reader, Path(target))

    with open(source, "rb", buffering=0) as raw:
        read_layer(raw, wanted, extract)
    if sync == "yes":
        syncfs(fd)


_JOBS = {"layer": layer}

if __name__ == "__main__":
    _JOBS[sys.argv[1]](*sys.argv[2:])
