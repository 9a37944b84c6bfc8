"""What the channel programs of `layerfs.zfs.programs` return, read. Does no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from layerfs.zfs.properties import printed
from layerfs.zfs.records import Facts, Obstacle, Property, Row, SnapshotFacts, SnapshotRow


def refusal(answer: str) -> tuple[int, str] | None:
    """Return the errno and the name of a refusal; None when the answer is none."""
    if not answer.startswith("!"):
        return None
    number, name = _fields(answer[1:])
    return int(number or 0), name or ""


def too_many(answer: str) -> int | None:
    """Return the number of children when they do not fit into one page; otherwise None."""
    return int(answer[1:]) if answer.startswith("+") else None


def properties(answer: str, name: str, properties: Iterable[str]) -> dict[str, Property | None]:
    """Return what PROPERTIES found out of ``name``; None for what it has not."""
    found: dict[str, Property | None] = {}
    for one, (value, *rest) in zip(properties, _rows(answer), strict=True):
        source = rest[0] if rest else None
        found[one] = None if value is None else Property(printed(one, value), _source(source, name))
    return found


def children(answer: str, parent: str) -> list[Row]:
    """Return what CHILDREN found below ``parent``."""
    rows: list[Row] = []
    for kind, *fields in _rows(answer):
        texts = [one or "" for one in fields]
        if kind == "d":
            name = f"{parent}/{texts[0]}"
            rows.append(Row(name, _unsigned(texts[1]), fields[2], {}, ()))
        elif kind == "p":
            source = _source(fields[2], rows[-1].name)
            rows[-1].properties[texts[0]] = Property(texts[1], source)
        elif kind == "s":
            snapshot = SnapshotRow(
                f"{rows[-1].name}@{texts[0]}", _unsigned(texts[1]), int(texts[2]), ()
            )
            rows[-1] = rows[-1]._replace(snapshots=(*rows[-1].snapshots, snapshot))
        else:
            *older, newest = rows[-1].snapshots
            newest = newest._replace(clones=(*newest.clones, texts[0]))
            rows[-1] = rows[-1]._replace(snapshots=(*older, newest))
    return rows


def facts(answer: str) -> Facts:
    """Return what FACTS found out."""
    (_, name, guid, origin), *rest = _rows(answer)
    children: list[str] = []
    snapshots: list[tuple[int, SnapshotFacts]] = []
    clones: list[str] = []
    for kind, *fields in rest:
        texts = [one or "" for one in fields]
        if kind == "k":
            children.append(texts[0])
        elif kind == "s":
            clones = []
            snapshots.append((int(texts[2]), SnapshotFacts(texts[0], _unsigned(texts[1]), (), {})))
        elif kind == "c":
            clones.append(texts[0])
            age, newest = snapshots[-1]
            snapshots[-1] = age, newest._replace(clones=tuple(clones))
        else:
            snapshots[-1][1].holds[texts[0]] = int(texts[1])
    ordered = tuple(one for _, one in sorted(snapshots, key=lambda pair: pair[0]))
    return Facts(name or "", _unsigned(guid or "0"), origin, tuple(children), ordered)


def obstacles(answer: str) -> list[Obstacle]:
    """Return who is in the way, by REMOVE."""
    found = []
    for name, kind, who, *where in _rows(answer):
        what = f"{kind} {who}"
        if kind == "busy":
            what = f"{who} is busy (mounted, or being sent or received)"
        elif where:
            what = f"{kind} {who} on {where[0]}"
        found.append(Obstacle(name or "", what))
    return found


def _rows(answer: str) -> Iterator[list[str | None]]:
    if answer:
        yield from map(_fields, answer.split(";"))


def _fields(row: str) -> list[str | None]:
    return [None if field == "~" else _plain(field) for field in row.split(" ")]


def _plain(field: str) -> str:
    if "%" not in field:
        return field
    start, *escapes = field.encode("ascii").split(b"%")
    raw = start + b"".join(bytes([int(one[:2], 16)]) + one[2:] for one in escapes)
    return raw.decode(errors="surrogateescape")


def _unsigned(number: str) -> int:
    return int(number) % (1 << 64)


def _source(setpoint: str | None, name: str) -> str:
    """Say where a property comes from, in the words of ``zfs get``."""
    if setpoint is None:
        return "-"
    if setpoint == name:
        return "local"
    if setpoint == "$recvd":  # ZPROP_SOURCE_VAL_RECVD of sys/fs/zfs.h
        return "received"
    if setpoint in {"default", "temporary"}:
        return setpoint
    return f"inherited from {setpoint}"
