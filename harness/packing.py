"""Modules of this package as one zip file that a bare python3 on a host can import."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path


def packed(names: Sequence[str], main: str = "") -> bytes:
    """Return a zip file with these modules of this package.

    ``main`` is what the file does when it is run itself. Whether the modules import nothing but the
    standard library and one another is theirs to see to.
    """
    folder = Path(__file__).parent
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        if main:
            archive.writestr("__main__.py", main)
        for name in ("__init__", *names):
            archive.write(folder / f"{name}.py", f"harness/{name}.py")
    return memory.getvalue()
