"""Does every case catch what it claims to? Deliberately broken subjects tell.

Each mutant names the clauses whose cases catch it. It is run against those alone, of each clause
until the first that catches it, and is *killed* when one of them fails or finds a leak. A mutant
that does not even answer ``info``, that trips the harness, or that only crashes and does not say
that it is meant to, proves nothing and has *survived*. A MUST clause is covered when one of its
cases has killed a mutant.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from harness import config
from harness.catalogue import Entry
from harness.config import CONFORMANCE, FILE_NAME, SubjectConfig
from harness.errors import ConfigError
from harness.results import CaseResult
from harness.trials import Scene, Trial, TrialError, kills

FOLDER: Final = CONFORMANCE / "mutants"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one mutant.

    ``cases`` are those that killed it; without any, ``why`` says what happened instead.
    ``unjudged`` says that this target can run none of the cases, for want of the target.
    """

    mutant: str
    description: str
    catches: tuple[str, ...]
    cases: tuple[CaseResult, ...] = ()
    why: str = ""
    unjudged: bool = False


@dataclass(slots=True)
class Toll:
    """All fates, and the MUST clauses that no case has been seen to enforce."""

    fates: list[Fate] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)

    @property
    def killed(self) -> list[Fate]:
        """Those that a case killed."""
        return [fate for fate in self.fates if fate.cases]

    @property
    def survived(self) -> list[Fate]:
        """Those that no case killed, though it could have."""
        return [fate for fate in self.fates if not fate.cases and not fate.unjudged]

    @property
    def unjudged(self) -> list[Fate]:
        """Those that this target cannot put to the question."""
        return [fate for fate in self.fates if fate.unjudged]

    @property
    def good(self) -> bool:
        """Whether every case catches what it claims to, and every MUST clause has such a case."""
        return bool(self.killed) and not self.survived and not self.uncovered

    def to_json(self) -> dict[str, Any]:
        """Return the whole in JSON types."""
        return {
            "killed": [
                {
                    "mutant": fate.mutant,
                    "case": fate.cases[0].id,
                    "cases": [case.id for case in fate.cases],
                    "verdict": fate.cases[0].verdict,
                    "how": fate.cases[0].failure or fate.cases[0].verdict,
                }
                for fate in self.killed
            ],
            "survived": [_unharmed(fate) for fate in self.survived],
            "unjudged": [_unharmed(fate) for fate in self.unjudged],
            "uncovered": self.uncovered,
        }


def _unharmed(fate: Fate) -> dict[str, Any]:
    return {"mutant": fate.mutant, "clauses": list(fate.catches), "why": fate.why}


def find(names: Sequence[str], folder: Path = FOLDER) -> list[SubjectConfig]:
    """Return the mutants of these names, or all, sorted. Raises ConfigError."""
    own = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{FILE_NAME}"))}
    unknown = [name for name in names if name not in own]
    if unknown:
        raise ConfigError(f"no mutant {unknown[0]!r}; known mutants: {', '.join(own) or 'none'}")
    found = [config.load(own[name]) for name in (sorted(set(names)) or own)]
    for mutant in found:
        if mutant.mutant is None:
            raise ConfigError(f"{mutant.directory / FILE_NAME}: mutant: is missing")
    return found


def run(
    mutants: Sequence[SubjectConfig],
    clauses: Mapping[str, Entry],
    *,
    workers: int = 1,
    told: Callable[[Fate], None] = lambda _: None,
    target: str = "local",
    image: Path | None = None,
    suite: Path = CONFORMANCE,
) -> Toll:
    """Run each mutant against the cases that claim to catch it, ``workers`` at a time.

    ``told`` is called with each fate as it is known. Nothing is left on disk. Raises nothing for
    a mutant that cannot run: that one has survived. Interrupted, it ends what it has started.
    """
    toll = Toll()
    claimed = {clause for one in mutants for clause in _catches(one)}
    modules = {entry.module for id_, entry in clauses.items() if id_ in claimed}
    scene = Scene(mutants, target, image, suite, sorted(modules))
    with _Trials(scene) as trials, ThreadPoolExecutor(workers) as pool:
        under_way = [pool.submit(_fate, one, clauses, trials) for one in mutants]
        try:
            for future in as_completed(under_way):
                toll.fates.append(future.result())
                told(toll.fates[-1])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    toll.fates.sort(key=lambda fate: fate.mutant)
    toll.uncovered = uncovered(clauses.values(), toll.fates)
    return toll


class _Trials:
    """As many trials as there are threads that ask, each used again by whoever comes next."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._idle: queue.SimpleQueue[Trial] = queue.SimpleQueue()

    def of(self, mutant: SubjectConfig) -> list[CaseResult]:
        """Return the results of the mutant's cases. Raises TrialError."""
        try:
            trial = self._idle.get_nowait()
        except queue.Empty:
            trial = Trial(self._scene)
        try:
            results = trial.of(mutant)
        except BaseException:
            trial.close()
            raise
        self._idle.put(trial)
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get().close()


def _catches(mutant: SubjectConfig) -> tuple[str, ...]:
    assert mutant.mutant is not None
    return tuple(mutant.mutant.catches)


def uncovered(clauses: Iterable[Entry], fates: Sequence[Fate]) -> list[str]:
    """Return the MUST clauses none of whose cases has killed a mutant.

    Those whose mutants this target cannot judge are not among them.
    """
    covered = {case.clause for fate in fates for case in fate.cases}
    covered |= {clause for fate in fates if fate.unjudged for clause in fate.catches}
    musts = (entry.clause.id for entry in clauses if entry.clause.level == "MUST")
    return [clause for clause in musts if clause not in covered]


def _fate(mutant: SubjectConfig, clauses: Mapping[str, Entry], trials: _Trials) -> Fate:
    assert mutant.mutant is not None
    catches = _catches(mutant)
    who = (mutant.name, mutant.mutant.description, catches)
    unknown = [clause for clause in catches if clause not in clauses]
    if unknown:
        return Fate(*who, why=f"claims to be caught by {', '.join(unknown)}, which is no clause")
    try:
        cases = trials.of(mutant)
    except TrialError as error:
        return Fate(*who, why=str(error))
    return judge(who, cases, crashes=mutant.mutant.crashes)


def judge(
    who: tuple[str, str, tuple[str, ...]], cases: Sequence[CaseResult], *, crashes: bool = False
) -> Fate:
    """Return the fate of a mutant (name, description, claimed clauses) by the cases it was put to.

    ``crashes`` as for :func:`harness.trials.kills`.
    """
    killers = tuple(case for case in cases if kills(case, crashes=crashes))
    if killers:
        return Fate(*who, cases=killers)
    if not cases:
        return Fate(*who, why="no case was run")
    if all(case.verdict == "unsupported" and case.message.startswith("target:") for case in cases):
        return Fate(*who, why=cases[0].message, unjudged=True)
    odd = [case for case in cases if case.verdict != "passed"]
    if odd:
        lines = odd[0].message.splitlines() or [""]
        return Fate(*who, why=f"{odd[0].id}: {odd[0].verdict}: {lines[0]}")
    return Fate(*who, why=f"{', '.join(case.id for case in cases)} passed")
