"""Mutant: a blob is copied to a temporary file first, which a refusal leaves. Caught by LDG-002."""

import os
import shutil
import tempfile

from layerfs import adding
from layerfs.cli import main

_add = adding.add


def _spooled(parts, source, wanted, extra):
    if not os.path.isfile(source):
        return _add(parts, source, wanted, extra)
    with tempfile.NamedTemporaryFile(delete=False) as spool, open(source, "rb") as blob:
        shutil.copyfileobj(blob, spool)
    layer = _add(parts, spool.name, wanted, extra)
    os.unlink(spool.name)
    return layer


adding.add = _spooled

raise SystemExit(main())
