"""Which runs are one column of a page: those that together tell of one subject on one host.

Runs of whole profiles of one subject, by one suite, on one host, are one column as long as no two
of them judge the same profile. Anything else, a second run of the same thing too, is a column of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.results import Results, Selection, summarise

_SAME_HOST = ("name", "kernel", "machine", "distribution", "uid_map", "gid_map", "privileges",
              "zfs_version", "zfs_vdev")  # fmt: skip


def joined(runs: Sequence[Results]) -> list[Results]:
    """Return the columns, each where the first of its runs stood."""
    columns: list[Results] = []
    for run in runs:
        for index, column in enumerate(columns):
            if _belong_together(column, run):
                columns[index] = _both(column, run)
                break
        else:
            columns.append(run)
    return columns


def host(run: Results) -> str:
    """Say in a few words where a run was: as a heading has it."""
    target = run.target
    words = (target.name, target.distribution, target.kernel, target.machine)
    zfs = f"ZFS {target.zfs_version}" if target.zfs_version else ""
    return ", ".join(filter(None, (*words, zfs)))


def suite(run: Results) -> str:
    """Name the suite that judged: its version, and the beginning of its digest."""
    digest = run.suite_digest.removeprefix("sha256:")[:12]
    return f"{run.suite_version} ({digest})" if digest else run.suite_version


def _belong_together(one: Results, other: Results) -> bool:
    return (
        _who(one) == _who(other)
        and not (one.selection.narrowed or other.selection.narrowed)
        and not set(one.selection.profiles) & set(other.selection.profiles)
        and not {case.id for case in one.cases} & {case.id for case in other.cases}
    )


def _who(run: Results) -> tuple[object, ...]:
    host = tuple(getattr(run.target, name) for name in _SAME_HOST)
    return (run.subject, host, run.protocol, run.suite_version, run.suite_digest)


def _both(one: Results, other: Results) -> Results:
    cases = sorted((*one.cases, *other.cases), key=lambda case: (case.area, case.id))
    return one.model_copy(
        update={
            "selection": Selection(profiles=(*one.selection.profiles, *other.selection.profiles)),
            "command": "\n".join(filter(None, (one.command, other.command))),
            "started": min(one.started, other.started),
            "duration_s": one.duration_s + other.duration_s,
            "complete": one.complete and other.complete,
            "conformant": one.conformant and other.conformant,
            "remarks": tuple(dict.fromkeys((*one.remarks, *other.remarks))),
            "steps": (*one.steps, *other.steps),
            "summary": summarise(cases),
            "cases": tuple(cases),
        }
    )
