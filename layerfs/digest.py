"""Digests and chainIDs as the OCI image-spec writes them. No I/O, and no silent normalisation.

A digest is ``algorithm:hex`` (image-spec descriptor.md, "Digests"). The two registered algorithms
are known: sha256 (64 hex digits) and sha512 (128). Upper case, surrounding space, and any other
algorithm are refused, since two spellings of one digest would be two names for one layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Protocol

from layerfs.errors import ValidationError

#: Algorithm to the number of its hex digits.
ALGORITHMS: Final = {"sha256": 64, "sha512": 128}

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_SHOWN: Final = 160


class Hasher(Protocol):
    """What ``hashlib`` gives: bytes in, hex out."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the lower case hex digest of all bytes so far."""
        ...


def parse(text: object) -> str:
    """Return ``text`` unchanged when it is a well-formed digest; ValidationError otherwise."""
    if not isinstance(text, str):
        raise ValidationError(f"a digest must be a string, not {type(text).__name__}")
    if _DIGEST.fullmatch(text) is None:
        raise ValidationError(f"malformed digest {_shown(text)}: {_fault(text)}")
    return text


def _fault(text: str) -> str:
    name, colon, digits = text.partition(":")
    if not colon:
        return "no ':' between algorithm and hex digits"
    if name not in ALGORITHMS:
        return f"unknown algorithm {_shown(name)}; known are {', '.join(ALGORITHMS)}"
    if len(digits) != ALGORITHMS[name]:
        return f"{name} has {ALGORITHMS[name]} hex digits, found {len(digits)}"
    return "only the hex digits 0-9 and a-f, in lower case, are allowed"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def algorithm(text: str) -> str:
    """Return the algorithm of a digest: "sha256" or "sha512". ValidationError when malformed."""
    return parse(text).partition(":")[0]


def hexpart(text: str) -> str:
    """Return the hex digits of a digest. ValidationError when malformed."""
    return parse(text).partition(":")[2]


def new_hasher(name: str = "sha256") -> Hasher:
    """Return a fresh hasher for an algorithm of ALGORITHMS; ValidationError for any other."""
    if name not in ALGORITHMS:
        raise ValidationError(f"unknown digest algorithm {_shown(name)}")
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which `layerfs --version` need not wait for

    return hashlib.new(name)


def of(data: bytes, name: str = "sha256") -> str:
    """Return the digest of ``data``."""
    hasher = new_hasher(name)
    hasher.update(data)
    return f"{name}:{hasher.hexdigest()}"


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """Return the chainID of each stack that these layers make, base first: of one, of two, to all.

    ``ChainID(L0) = DiffID(L0)``; ``ChainID(L0|…|Ln) = Digest(ChainID(L0|…|Ln-1) + " " +
    DiffID(Ln))``, with sha256 (image-spec config.md, "Layer ChainID"). ValidationError for a
    malformed diffID.
    """
    chains: list[str] = []
    for diff_id in diff_ids:
        parse(diff_id)
        chains.append(of(f"{chains[-1]} {diff_id}".encode()) if chains else diff_id)
    return chains
