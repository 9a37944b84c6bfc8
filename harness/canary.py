"""A directory that nobody has any business with: where it was touched, something escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

CONTENT: Final = b"nobody may change this\n"
#: Old on purpose: with relatime a file's first reading changes an access time that is not younger
#: than its modification time (mount(8)).
_OLD_NS: Final = 1_000_000_000 * 10**9 + 123_456_789


@dataclass(frozen=True, slots=True)
class Canary:
    """The paths of a canary: ``path`` is the directory that holds the others.

    ``file`` is a regular file with CONTENT and mode 0640, ``hardlink`` another name of it,
    ``directory`` one with mode 0750 and a file ``below`` in it, ``empty`` one with nothing in it,
    ``symlink`` points to ``file``.
    """

    path: str

    @property
    def file(self) -> str:
        """A regular file."""
        return f"{self.path}/file"

    @property
    def hardlink(self) -> str:
        """Another name of the file."""
        return f"{self.path}/hardlink"

    @property
    def directory(self) -> str:
        """A directory."""
        return f"{self.path}/directory"

    @property
    def below(self) -> str:
        """A file in the directory."""
        return f"{self.directory}/below"

    @property
    def empty(self) -> str:
        """A directory that rmdir(2) would take."""
        return f"{self.path}/empty"

    @property
    def symlink(self) -> str:
        """A symlink to the file."""
        return f"{self.path}/symlink"

    def calls(self) -> list[tuple[str, Sequence[Any], dict[str, Any]]]:
        """Return what makes it of an empty directory, once the two files are written."""
        times = {"ns": (_OLD_NS, _OLD_NS)}
        kept = {**times, "follow_symlinks": False}
        return [
            ("chmod", (self.file, 0o640), {}),
            ("chmod", (self.below, 0o600), {}),
            ("link", (self.file, self.hardlink), {}),
            ("mkdir", (self.empty, 0o755), {}),
            ("symlink", (self.file, self.symlink), {}),
            ("chmod", (self.directory, 0o750), {}),
            *(
                ("utime", (path,), kept)
                for path in (
                    self.file,
                    self.below,
                    self.symlink,
                    self.directory,
                    self.empty,
                    self.path,
                )
            ),
        ]


def touched(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each path and field in which two looks at a canary differ."""
    old, new = {row["path"]: row for row in before}, {row["path"]: row for row in after}
    lines = []
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            lines.append(f"{path!a} has gone")
        elif path not in old:
            lines.append(f"{path!a} is new: a {new[path]['kind']}")
        else:
            fields = sorted(old[path].keys() | new[path].keys())
            lines += [
                f"{path!a}: {field} was {old[path].get(field)!a}, is {new[path].get(field)!a}"
                for field in fields
                if old[path].get(field) != new[path].get(field)
            ]
    return lines
