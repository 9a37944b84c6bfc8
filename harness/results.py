"""``results.json``: what a run found, as models. Schema: ``conformance/results.schema.json``.

The file is for machines, and stable: fields are added, never renamed or given another meaning,
within one ``protocol``. Reading ignores unknown fields, so that an older suite reads a newer file.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.clause import Level
from harness.errors import HarnessError
from harness.protocol import PROTOCOL_VERSION
from harness.verdict import BAD, EXECUTED, Verdict

#: The suite's version: that of the distribution. Clauses and their meaning belong to it.
SUITE_VERSION: Final = "0.1.0"


class ResultsError(HarnessError):
    """A results file is missing or is not one; the message is one line and names it."""


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


#: Text that may have come from a file name: lone surrogates, which no JSON reader wants, escaped.
_Text = Annotated[str, AfterValidator(_encodable)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SubjectInfo(_Model):
    """Who was judged: the name and version that it gives itself, and what it declares."""

    name: str
    version: str = Field(description="as the verb info answers; empty when no case was run")
    capabilities: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    description: str = ""


class TargetInfo(BaseModel):
    """Where: the facts of the host, as it was seen from within."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="as given to --target")
    kernel: str = ""
    machine: str = Field(default="", description="the processor's architecture, as uname(2) has it")
    distribution: str = Field(default="", description="what os-release(5) calls it")
    uid_map: tuple[tuple[int, int, int], ...] = Field(
        default=(), description="of the target's user namespace: inside, outside, count"
    )
    gid_map: tuple[tuple[int, int, int], ...] = ()
    privileges: tuple[str, ...] = Field(default=(), description="what the subject may do there")
    zfs_version: str = Field(
        default="", description="of the kernel's module; empty where no pool can be made"
    )
    zfs_vdev: str = Field(
        default="", description="what the run's pool lies on, disk or file; empty without one"
    )


class Selection(_Model):
    """What was asked for: the profiles, narrowed or not by ``-k`` or to clauses and cases."""

    profiles: tuple[str, ...]
    keyword: str = ""
    cases: tuple[str, ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether less than the whole of these profiles was asked for."""
        return bool(self.keyword or self.cases)


class Summary(_Model):
    """How many cases had each verdict."""

    passed: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    expected_failure: int = Field(default=0, ge=0)
    unexpected_pass: int = Field(default=0, ge=0)
    unsupported: int = Field(default=0, ge=0)
    leaked: int = Field(default=0, ge=0)
    harness_error: int = Field(default=0, ge=0)

    @property
    def total(self) -> int:
        """All cases, whatever their verdict."""
        return sum(self.model_dump().values())


class CaseResult(_Model):
    """One case. Durations are seconds of wall time."""

    id: str = Field(description="the clause's id, with [parameters] where there are several")
    clause: str
    level: Level
    profile: str
    verdict: Verdict
    duration_s: float = Field(ge=0, description="set-up, call and tear-down, with the ledgers")
    message: _Text = Field(description="why; empty for a pass. May have several lines")
    area: str = Field(description="what the case is about, such as whiteouts")
    requirement: str
    source: str = Field(description="the text that demands it")
    reproduce: str = Field(description="the command that runs this case alone")
    failure: str = Field(
        default="", description="the class of what decided, such as AssertionError, SubjectCrashed"
    )
    overhead_s: float = Field(
        default=0.0, ge=0, description="the part of duration_s not spent waiting for the subject"
    )
    reason: str = Field(default="", description="of an expected failure: why, in subject.toml")
    link: str = Field(default="", description="of an expected failure: where it is known")
    shown_by: str = Field(
        default="", description="of an expected failure: a command that shows it without the suite"
    )
    evidence: tuple[str, ...] = Field(
        default=(), description="files that show what happened, relative to results.json"
    )


class Steps(_Model):
    """What was done so many times to have targets, and the seconds of wall time that it took."""

    name: str
    count: int = Field(ge=1)
    median_s: float = Field(ge=0)
    most_s: float = Field(ge=0)


class Results(_Model):
    """A whole run."""

    protocol: int = PROTOCOL_VERSION
    suite_version: str = SUITE_VERSION
    suite_digest: str = Field(default="", description="over all files that decide verdicts")
    environment: Mapping[str, str] = Field(
        default_factory=dict, description="what the harness ran with: name to version"
    )
    command: str = Field(default="", description="the command that does this run again")
    subject: SubjectInfo
    target: TargetInfo
    selection: Selection
    started: str = Field(description="RFC 3339, UTC")
    duration_s: float = Field(ge=0)
    complete: bool = Field(default=True, description="false when the run was interrupted")
    conformant: bool
    remarks: tuple[str, ...] = Field(
        default=(), description="why not conformant, and what could not be judged here"
    )
    steps: tuple[Steps, ...] = Field(
        default=(), description="making and putting back targets, which belongs to no case"
    )
    summary: Summary
    cases: tuple[CaseResult, ...]

    @property
    def overhead(self) -> float:
        """The part of all cases' time that was not spent waiting for the subject, 0 to 1."""
        whole = sum(case.duration_s for case in self.cases)
        return sum(case.overhead_s for case in self.cases) / whole if whole else 0.0

    def bad(self) -> list[CaseResult]:
        """Return the cases that speak against the subject, or against the run."""
        return [case for case in self.cases if case.verdict in BAD]


def steps_of(taken: Mapping[str, Sequence[float]]) -> list[Steps]:
    """Sum up the seconds that each of the named steps took, each time."""
    return [
        Steps(
            name=name,
            count=len(seconds),
            median_s=round(statistics.median(seconds), 3),
            most_s=round(max(seconds), 3),
        )
        for name, seconds in taken.items()
    ]


def summarise(cases: Iterable[CaseResult]) -> Summary:
    """Count the verdicts."""
    return Summary.model_validate(Counter(case.verdict for case in cases))


def conformance(
    cases: Sequence[CaseResult],
    selection: Selection,
    *,
    demanded: Sequence[str] = (),
    complete: bool = True,
) -> tuple[bool, tuple[str, ...]]:
    """Return whether these cases make a subject conformant in what was selected, and remarks.

    It is when nothing failed, leaked, passed unexpectedly or went wrong, and at least one MUST case
    of each profile was executed. A profile none of whose MUST cases this target could run, for want
    of the *target* and not of the subject, cannot be judged here: that is a remark, unless the
    profile is one of those ``demanded`` by name. A narrowed run answers only for the profiles that
    it touches, at whatever level, and a remark says so. A run that is not ``complete`` is never
    conformant, and nothing is said of what it did not come to.
    """
    remarks: list[str] = []
    bad = Counter(case.verdict for case in cases if case.verdict in BAD)
    if bad:
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in bad.items())
        remarks.append(f"not conformant: {counts}")
    if not complete:
        return False, (*remarks, "not conformant: the run was interrupted")
    unheard, judged = [], 0
    for profile in selection.profiles:
        mine = [case for case in cases if case.profile == profile]
        if selection.narrowed:
            judged += any(case.verdict in EXECUTED for case in mine)
            continue
        musts = [case for case in mine if case.level == "MUST"]
        if any(case.verdict in EXECUTED for case in musts):
            judged += 1
        elif musts and profile not in demanded and all(map(for_want_of_target, musts)):
            remarks.append(
                f"profile {profile} is not judged: {musts[0].message} ({len(musts)} MUST cases)"
            )
        else:
            unheard.append(profile)
            remarks.append(f"not conformant: no MUST case of profile {profile} was executed")
    if not judged and not unheard:
        remarks.append("not conformant: no case was executed")
    if selection.narrowed:
        remarks.append("narrowed: only the selected cases were judged, not the whole profiles")
    return not bad and not unheard and judged > 0, tuple(remarks)


def for_want_of_target(case: CaseResult) -> bool:
    """Whether a case is unsupported for want of the target, and says nothing of the subject."""
    return case.verdict == "unsupported" and case.message.startswith("target:")


def write(results: Results, path: Path) -> None:
    """Write ``results`` to ``path`` whole or not at all; its folder is there."""
    text = json.dumps(results.model_dump(mode="json"), indent=2, ensure_ascii=True) + "\n"
    write_text(text, path)


def write_text(text: str, path: Path) -> None:
    """Replace the file at ``path`` atomically; on failure the old one stays as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            os.fchmod(handle, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def load(path: Path) -> Results:
    """Read a results file; ``path`` may be the folder that holds one. Raises ResultsError."""
    file = path / "results.json" if path.is_dir() else path
    try:
        return parse(file.read_bytes(), file)
    except OSError as error:
        raise ResultsError(f"{file}: {error.strerror}") from error


def parse(data: bytes, file: Path) -> Results:
    """Read the results that ``file`` has. Raises ResultsError."""
    try:
        return Results.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultsError(f"{file}: not a results file: {where}: {first['msg']}") from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``results.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Results.model_json_schema(mode="serialization"),
        "title": "results of a run of the layerfs conformance suite",
    }
