"""Where a host is, and how it is known to be the one that is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """A host over SSH.

    ``key_file`` is the private key to log in with, and ``host_key`` the host's public one, as in
    ``ssh_host_ed25519_key.pub`` ("ssh-ed25519 AAAA…"): no other host is talked to. ``python``, when
    given, is the interpreter there for subjects; otherwise the remote looks for one.
    """

    host: str
    port: int
    user: str
    key_file: Path
    host_key: str
    python: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"
