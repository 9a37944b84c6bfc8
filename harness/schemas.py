"""The JSON Schemas that are checked in: made from the models, so that they cannot drift."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from harness import protocol, results

SCHEMAS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "protocol": protocol.schema,
    "results": results.schema,
}


def file_name(which: str) -> str:
    """Return the name of a schema's file in the suite's folder."""
    return f"{which}.schema.json"


def text(which: str) -> str:
    """Return a schema ("protocol" or "results") as it stands in its file."""
    return json.dumps(SCHEMAS[which](), indent=2) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all schemas into ``folder`` and return their paths. Raises OSError."""
    paths = []
    for which in SCHEMAS:
        path = folder / file_name(which)
        results.write_text(text(which), path)
        paths.append(path)
    return paths
