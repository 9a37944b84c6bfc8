"""What became of each case between two runs of one subject: the question before a release.

A case is *worse* when it worked and no longer does, or when it is bad now and was not before; only
that is a regression. *Better* is what works now and did not. Other changes, such as a failure that
has been declared since, are *changed*. A case that only one of the runs could put to the question,
for want of it in the suite, the selection or the target, is *new* or *gone*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from harness import columns
from harness.errors import HarnessError
from harness.results import CaseResult, Results, for_want_of_target
from harness.verdict import BAD, Verdict

Kind = Literal["worse", "better", "changed", "new", "gone"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_WORKS: Final[frozenset[Verdict]] = frozenset({"passed", "unexpected_pass"})


class ComparisonError(HarnessError):
    """These two cannot be compared; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One case that is not as it was; the side that does not have it is None."""

    kind: Kind
    id: str
    old: CaseResult | None
    new: CaseResult | None

    @property
    def any(self) -> CaseResult:
        """The case as it is now, or as it last was."""
        found = self.new or self.old
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, what changed, and what else is not the same about them."""

    old: Results
    new: Results
    changes: tuple[Change, ...]
    same: int
    remarks: tuple[str, ...]

    def of(self, kind: Kind) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def regressed(self) -> bool:
        """Whether anything is worse."""
        return bool(self.of("worse"))

    def to_json(self) -> dict[str, Any]:
        """Return the whole in JSON types."""
        return {
            "subject": self.old.subject.name,
            "old": _run(self.old),
            "new": _run(self.new),
            "regressed": self.regressed,
            "same": self.same,
            "remarks": list(self.remarks),
            **{kind: [_change(change) for change in self.of(kind)] for kind in KINDS},
        }


def compare(old: Results, new: Results) -> Comparison:
    """Compare two runs of one subject. Raises ComparisonError."""
    if old.subject.name != new.subject.name:
        raise ComparisonError(
            f"these are runs of two subjects: {old.subject.name} and {new.subject.name} "
            "('report' shows them side by side)"
        )
    if old.protocol != new.protocol:
        raise ComparisonError(f"these speak protocols {old.protocol} and {new.protocol}")
    for name, run in (("OLD", old), ("NEW", new)):
        if not run.complete:
            raise ComparisonError(f"{name} was interrupted: nobody knows what it did not come to")
    before, now = _asked(old), _asked(new)
    changes = []
    for id_ in sorted({*before, *now}, key=lambda id_: ((now.get(id_) or before[id_]).area, id_)):
        kind = _kind(before.get(id_), now.get(id_))
        if kind is not None:
            changes.append(Change(kind, id_, before.get(id_), now.get(id_)))
    same = len({*before, *now}) - len(changes)
    return Comparison(old, new, tuple(changes), same, tuple(_differences(old, new)))


def _asked(run: Results) -> dict[str, CaseResult]:
    return {case.id: case for case in run.cases if not for_want_of_target(case)}


def _kind(old: CaseResult | None, new: CaseResult | None) -> Kind | None:
    if old is None or new is None:
        return "new" if old is None else "gone"
    if old.verdict == new.verdict:
        return None
    if new.verdict in _WORKS:
        return "changed" if old.verdict in _WORKS else "better"
    if old.verdict in _WORKS or (new.verdict in BAD and old.verdict not in BAD):
        return "worse"
    return "changed"


def _differences(old: Results, new: Results) -> Sequence[str]:
    facts = (
        ("suites", columns.suite(old), columns.suite(new)),
        ("hosts", columns.host(old), columns.host(new)),
        ("profiles", ", ".join(old.selection.profiles), ", ".join(new.selection.profiles)),
        ("selections", _narrowed(old), _narrowed(new)),
    )
    return [f"the {what} differ: {was} and {now}" for what, was, now in facts if was != now]


def _narrowed(run: Results) -> str:
    words = (run.selection.keyword and f"-k {run.selection.keyword}", *run.selection.cases)
    return ", ".join(filter(None, words)) or "everything"


def _run(run: Results) -> dict[str, Any]:
    return {
        "version": run.subject.version,
        "started": run.started,
        "host": columns.host(run),
        "suite": columns.suite(run),
        "conformant": run.conformant,
        "summary": run.summary.model_dump(),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "level": change.any.level,
        "old": None if change.old is None else change.old.verdict,
        "new": None if change.new is None else change.new.verdict,
        "message": "" if change.new is None else change.new.message,
        "reproduce": change.any.reproduce,
    }
