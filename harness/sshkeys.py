"""Key pairs for ssh, made for one machine each: ed25519, in OpenSSH's formats, no passphrase."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``private`` is the text of a key file; ``public`` one line without the newline."""

    private: str
    public: str


def make(comment: str) -> KeyPair:
    """Return a new pair; ``comment`` ends the public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private.decode("ascii"), f"{public.decode('ascii')} {comment}")


def write(pair: KeyPair, path: Path) -> None:
    """Write the private key to ``path`` (mode 0600) and the public one to ``path.pub``.

    Raises FileExistsError when there is one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(pair.private)
    path.with_name(f"{path.name}.pub").write_text(pair.public + "\n", encoding="ascii")
