"""Hosts that are already there: a TOML file that lists them, and who of this user's uses which.

::

    [[hosts]]
    host = "192.0.2.7"
    port = 22                      # this is what it is when left out
    user = "root"                  # likewise; another user's cases run in namespaces there
    key_file = "keys/id_ed25519"   # private, to log in with; relative to this file
    host_key = "ssh-ed25519 AAAA…" # /etc/ssh/ssh_host_ed25519_key.pub of the host
    python = "/usr/bin/python3"    # for subjects; when left out, one is looked for

Whoever uses a host holds a lock on a file in the user's runtime or cache folder, which is named for
the host and its port; the lock ends with the process.
"""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.address import Address
from harness.answers import first_mistake
from harness.errors import ConfigError, TargetError
from harness.filelock import FileLock

#: A host that may be used must have this file.
MARKER: Final = "/etc/layerfs-disposable"
#: Seconds to wait for a host that another process of this user has.
_WAIT: Final = 120.0
_POLL: Final = 0.2

_Text = Annotated[str, Field(min_length=1)]


class _Host(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    host: _Text
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: _Text = "root"
    key_file: _Text
    host_key: Annotated[str, Field(pattern=r"^\S+ [A-Za-z0-9+/]+=*( .*)?$")]
    python: _Text | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hosts: Annotated[list[_Host], Field(min_length=1)]


def load(path: Path) -> list[Address]:
    """Return the hosts of a file, in its order. Raises ConfigError, one line."""
    try:
        told = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_mistake(error)}") from None
    found: list[Address] = []
    for number, one in enumerate(told.hosts):
        where = f"{path}: hosts[{number}]"
        key_file = path.parent / Path(one.key_file).expanduser()
        if not key_file.is_file():
            raise ConfigError(f"{where}: key_file: {key_file} is no file")
        if any((known.host, known.port) == (one.host, one.port) for known in found):
            raise ConfigError(f"{where}: {one.host}:{one.port} stands there twice")
        found.append(
            Address(one.host, one.port, one.user, key_file, one.host_key, python=one.python)
        )
    return found


def lease(hosts: Sequence[Address], *, wait: float = _WAIT) -> tuple[Address, FileLock]:
    """Return a host that nobody else of this user's uses, and the lock on it, which is the lease.

    Raises TargetError when all are in use for ``wait`` seconds.
    """
    folder = _folder()
    deadline = time.monotonic() + wait
    while True:
        for host in hosts:
            try:
                return host, FileLock(folder / f"{quote(host.host, safe='')}+{host.port}.lock")
            except BlockingIOError:
                continue
        if time.monotonic() >= deadline:
            names = ", ".join(f"{one.host}:{one.port}" for one in hosts)
            raise TargetError(f"all hosts are in use by other runs after {wait:g} s: {names}")
        time.sleep(_POLL)


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(runtime or cache) / "layerfs" / "leases"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise TargetError(f"no leases can be taken in {folder}: {error.strerror}") from None
    return folder
