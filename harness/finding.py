"""One thing that the doctor has looked at, and how what is missing is installed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["ok", "lacking", "missing"]

#: Install commands by package manager, and the packages whose names differ there.
_MANAGERS: Final = {
    "apt-get": ("apt-get install -y", {}),
    "dnf": ("dnf install -y", {"uidmap": "shadow-utils"}),
    "zypper": ("zypper install -y", {"uidmap": "shadow"}),
    "pacman": ("pacman -S --noconfirm", {"uidmap": "shadow"}),
    "apk": ("apk add", {"uidmap": "shadow-subids"}),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    ``status``: "ok"; "lacking", so that some cases are unsupported here; or "missing", so that the
    local target cannot run. ``remedy`` is a command, or empty where nothing need be mended.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def install_command(*packages: str) -> str:
    """Return the command that installs packages, named as in Debian, with this system's manager."""
    for manager, (command, names) in _MANAGERS.items():
        if shutil.which(manager) is not None:
            return sudo(" ".join([command, *(names.get(name, name) for name in packages)]))
    return f"install {', '.join(packages)} with this system's package manager"


def sudo(command: str) -> str:
    """Return the command as this user would have to type it."""
    return command if os.geteuid() == 0 else f"sudo {command}"
