"""The names of whiteouts in a layer's tar (image-spec layer.md, "Whiteouts"). No I/O.

A member whose last component is ``.wh.X`` hides X of the lower layers; ``.wh..wh..opq`` hides all
that the lower layers have in the directory that holds it. Every other use of the prefix is refused:
it would name nothing (``.wh.``), the directory itself or its parent (``.wh..``, ``.wh...``),
a whiteout of a whiteout (``.wh..wh.x``), or put real entries where only markers may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from layerfs.errors import HostileLayerError

PREFIX: Final = b".wh."
#: The last component of an opaque marker.
OPAQUE: Final = b".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Whiteout:
    """Hides ``target``, a path like the one that was classified: relative to the same place."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Opaque:
    """Hides everything that lower layers have in ``directory``; ``b"."`` is the place itself."""

    directory: bytes


def classify(name: bytes, *, is_dir: bool = False) -> Whiteout | Opaque | None:
    """Say what the normalised member name ``name`` means; None for an ordinary entry.

    ``name`` is a whole path or only a last component; the answer is relative to the same place.
    ``is_dir`` tells that the member is a directory, which no marker may be. HostileLayerError when
    the prefix is used in any way that the specification does not give a meaning.
    """
    # Nearly all names take this way out; a component can only begin at the start or after a slash.
    if name.find(b"/.wh.") < 0 and not name.startswith(PREFIX):
        return None
    parent, _, base = name.rpartition(b"/")
    if parent.startswith(PREFIX) or b"/.wh." in parent:
        raise _hostile(name, "an entry below a whiteout")
    if is_dir:
        raise _hostile(name, "a directory named as a whiteout")
    if base == OPAQUE:
        return Opaque(parent or b".")
    hidden = base.removeprefix(PREFIX)
    if hidden in {b"", b".", b".."}:
        raise _hostile(name, "a whiteout that names no entry")
    if hidden.startswith(PREFIX):
        raise _hostile(name, "a whiteout of a whiteout")
    return Whiteout(parent + b"/" + hidden if parent else hidden)


def marker(name: bytes) -> bytes:
    """Return the path of the whiteout that hides the path ``name``.

    HostileLayerError for the root, and for a name that itself begins with the prefix: a layer
    cannot express its removal.
    """
    parent, _, base = name.rpartition(b"/")
    if base in {b"", b".", b".."} or base.startswith(PREFIX):
        raise _hostile(name, "no whiteout can name it")
    return parent + b"/" + PREFIX + base if parent else PREFIX + base


def opaque_marker(directory: bytes) -> bytes:
    """Return the path of the opaque marker in ``directory`` (``b"."`` is the root)."""
    return OPAQUE if directory in {b"", b"."} else directory + b"/" + OPAQUE


def _hostile(name: bytes, what: str) -> HostileLayerError:
    return HostileLayerError(f"hostile layer: {name!r}: {what}", path=name)
