"""What people leave out on the command line, completed: digests, paths, media types.

The protocol knows nothing of this. At most the first bytes of a blob are read.
"""

from __future__ import annotations

import os
import re
from typing import Final

from layerfs.errors import LayerNotFoundError, ValidationError, from_os_error
from layerfs.openstores import Stores

_BEGINNING: Final = re.compile(r"(?:(?P<algorithm>sha256|sha512):)?(?P<digits>[0-9a-f]*)")
_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_LEAST: Final = 6  #: hex digits of a digest that must be given


class Store:
    """The store that a sub-command is about: its root, and the digests that it knows."""

    def __init__(self, stores: Stores, root: str) -> None:
        self._stores = stores
        self.root = root

    def digest(self, text: str) -> str:
        """Return the digest that ``text`` is, or begins (at least 6 hex digits).

        ValidationError: too short, or several layers begin so. LayerNotFoundError: none does. What
        is malformed in any other way is left to the store.
        """
        match = _BEGINNING.fullmatch(text)
        if match is None:
            return text
        algorithm, digits = match["algorithm"], match["digits"]
        if algorithm and len(digits) >= _LENGTHS[algorithm]:
            return text
        if len(digits) < _LEAST:
            raise ValidationError(
                f"{text!r} is too short: give at least {_LEAST} hex digits of the digest"
            )
        store = self._stores.get(self.root)
        found = [
            digest
            for one in ([algorithm] if algorithm else _LENGTHS)
            for digest in store.digests_beginning(f"{one}:{digits}")
        ]
        if not found:
            raise LayerNotFoundError(f"no layer whose digest begins with {text} in {self.root!r}")
        if len(found) > 1:
            raise ValidationError(
                f"{len(found)} layers begin with {text}, {found[0]} and {found[1]} among them; "
                "give more digits"
            )
        return found[0]

    def digests(self, texts: list[str]) -> list[str]:
        """Return the digests, base first; an image's name stands for its layers.

        A name that could be the beginning of a digest is taken for one.
        """
        names = [text for text in texts if not _is_beginning(text)]
        images = self._stores.get(self.root).images() if names else []
        layers = {image.reference: image.digests for image in images if image.reference in names}
        return [one for text in texts for one in layers.get(text) or [self.digest(text)]]


def _is_beginning(text: str) -> bool:
    match = _BEGINNING.fullmatch(text)
    return match is not None and len(match["digits"]) >= _LEAST


def absolute(path: str) -> str:
    """Return ``path`` from the working directory on, without looking at symlinks. PathError."""
    try:
        return os.path.join(os.getcwd(), path) if not path.startswith("/") else path
    except OSError as error:
        raise from_os_error(error, "finding the working directory", ".") from error


def guessed_media_type(path: str) -> str:
    """Return the media type of a layer by its first bytes; a tar if they cannot be read."""
    from layerfs.descriptor import Compression, layer_media_type  # noqa: PLC0415 - `add` alone

    compression: Compression = "none"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return layer_media_type(compression)  # the store says what is wrong with the path
    try:
        first = os.pread(fd, 4, 0)
    except OSError:
        first = b""
    finally:
        os.close(fd)
    if first[:2] == b"\x1f\x8b":  # RFC 1952, section 2.3.1
        compression = "gzip"
    elif first == b"\x28\xb5\x2f\xfd" or first[1:] == b"\x2a\x4d\x18":  # RFC 8878, section 3.1
        compression = "zstd"
    return layer_media_type(compression)
