"""Mutant: a layer is recorded first, and then extracted in its place. Caught by LIF-016."""

import shutil
from pathlib import Path

from layerfs import adding
from layerfs.cli import main
from layerfs.reading import read_layer
from layerfs.records import Layer


def _add(parts, source, wanted, extra):
    with adding.opened(source) as raw:
        found = read_layer(raw, wanted, None)
        made = Layer(found.digest, found.diff_id, found.size, wanted.media_type)
        if not parts.meta.has_layer(made.digest):
            with parts.lock(), parts.meta.transaction():
                parts.meta.put_layer(made, blob_bytes=found.size)
            shutil.copyfile(source, parts.blobs.path(made.digest))
            tree = Path(parts.backend._place(made.diff_id))
            tree.mkdir()
            raw.seek(0)
            read_layer(raw, wanted, lambda reader: parts.backend.ingest(reader, tree))
    with parts.lock(), parts.meta.transaction():
        parts.meta.put_layer(made._replace(dependencies=extra.dependencies), blob_bytes=0)
    return parts.meta.layer(made.digest)


adding.add = _add

raise SystemExit(main())
