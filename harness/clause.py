"""One numbered requirement. A case carries its clause as ``pytest.mark.clause(Clause(...))``.

Nothing here does I/O, and nothing here knows a subject.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from harness.config import PROFILES
from harness.protocol import CAPABILITIES

Level = Literal["MUST", "SHOULD", "MAY"]

#: The profiles whose cases have a ZFS pool at hand.
POOL_PROFILES: Final = frozenset({"zfs", "overlay-on-zfs"})
LEVELS: Final[tuple[Level, ...]] = get_args(Level)

_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,7}-[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement on a subject.

    ``id`` is stable forever, such as ``WHT-004``; ``level`` is that of RFC 2119; ``source`` cites
    the text that demands it (a section of a specification, or a man page). ``needs`` are the
    capabilities without which a subject is not asked; ``target_needs`` are facts that the host must
    have (names of ``Host.facts`` that must be true there). ``requirement`` is one sentence; left
    empty, it is the first line of the case's docstring.

    Raises ValueError for an id, level, profile or capability that does not exist: a misspelt
    capability would leave the case unsupported for ever, and nobody would see it.
    """

    id: str
    level: Level
    source: str
    profile: str = "core"
    needs: tuple[str, ...] = ()
    target_needs: tuple[str, ...] = ()
    requirement: str = ""

    def __post_init__(self) -> None:
        """Refuse what no run could ever honour."""
        if not _ID.fullmatch(self.id):
            raise ValueError(f"clause id {self.id!r} is not like WHT-004")
        if self.level not in LEVELS:
            raise ValueError(f"{self.id}: level {self.level!r} is none of {', '.join(LEVELS)}")
        if not self.source.strip():
            raise ValueError(f"{self.id}: a clause cites its source")
        if self.profile not in PROFILES:
            raise ValueError(f"{self.id}: profile {self.profile!r} is none of {list(PROFILES)}")
        unknown = sorted(set(self.needs) - CAPABILITIES)
        if unknown:
            raise ValueError(f"{self.id}: unknown capabilities {', '.join(unknown)}")

    @property
    def wants_pool(self) -> bool:
        """Whether its cases have a use for a ZFS pool on the host."""
        words = (*self.needs, *self.target_needs)
        return self.profile in POOL_PROFILES or any(one.split("_")[0] == "zfs" for one in words)

    def described_by(self, docstring: str | None) -> Clause:
        """Return the clause with its requirement, from ``docstring`` where it has none of its own.

        The requirement is the docstring's first paragraph on one line. Raises ValueError when there
        is neither.
        """
        if self.requirement:
            return self
        paragraph = (docstring or "").strip().split("\n\n", 1)[0]
        if not paragraph:
            raise ValueError(f"{self.id}: the case has no docstring that states the requirement")
        return replace(self, requirement=" ".join(paragraph.split()))
