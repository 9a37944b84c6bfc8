"""Responses as text for people: aligned, sizes in binary units, nothing that upsets a terminal.

One function for each verb, from response and request to lines. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Lines = list[str]
_SHORT: Final = 12  #: hex digits of a digest in tables; enough to name it again
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def text(verb: str, response: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """Return what a person is told, ending in a newline; empty when there is nothing to say."""
    return "".join(f"{line}\n" for line in _TEXTS[verb](response, request))


def size(count: float) -> str:
    """Return bytes with a binary unit and three digits: "1023 B", "1.50 KiB", "12.0 MiB"."""
    if count < 1024:
        return f"{count:.0f} B"
    power = 0
    while count >= 999.5 and power < len(_UNITS):
        count /= 1024
        power += 1
    return f"{count:.{max(0, 3 - len(str(int(count))))}f} {_UNITS[power - 1]}"


def short(digest: str) -> str:
    """Return the beginning of a digest, which the command line takes in its place."""
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm}:{digits[:_SHORT]}"


def plain(value: object) -> str:
    """Return text on one line, with whatever a terminal would act on written as an escape."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in str(value)
    )


def counted(number: int, noun: str) -> str:
    """Return "1 layer", "2 layers"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def limits(rows: Sequence[tuple[str, int, str, str]]) -> str:
    """Return limits as a table, values as they are given with --limit."""
    shown = [(name, _powers(value), unit, about) for name, value, unit, about in rows]
    lines = _table(("LIMIT", "VALUE", "UNIT", "OF"), shown, right=1)
    return "".join(f"{line}\n" for line in lines)


def _powers(value: int) -> str:
    """Return a whole number without loss: "4095", "64K"."""
    letters = iter(("K", "M", "G", "T"))
    shown = str(value)
    while value and value % 1024 == 0 and (letter := next(letters, None)) is not None:
        value //= 1024
        shown = f"{value}{letter}"
    return shown


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: int = -1) -> Lines:
    """Align columns; that numbered ``right`` to the right."""
    all_rows = [head, *rows]
    widths = [max(len(row[at]) for row in all_rows) for at in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if at == right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in all_rows
    ]


def _pairs(*pairs: tuple[str, object]) -> Lines:
    """Align "name  value"; what is None is left out."""
    known = [(name, plain(value)) for name, value in pairs if value is not None]
    width = max(len(name) for name, _ in known)
    return [f"{name.ljust(width)}  {value}" for name, value in known]


def _exactly(count: int) -> str:
    return f"{size(count)} ({count} bytes)" if count >= 1024 else f"{count} bytes"


def _layer(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    layer = response["layer"]
    return _pairs(
        ("digest", layer["digest"]),
        ("diffID", layer["diff_id"]),
        ("size", _exactly(layer["size"])),
        ("media type", layer["media_type"]),
        *(("depends on", one) for one in layer["dependencies"]),
    )


def _layers(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    layers = response["layers"]
    if not layers:
        return ["no layers"]
    rows = [
        (
            short(one["digest"]),
            size(one["size"]),
            plain(one["media_type"].removeprefix("application/vnd.")),
            " ".join(short(need) for need in one["dependencies"]) or "-",
        )
        for one in layers
    ]
    total = sum(one["size"] for one in layers)
    return [
        *_table(("DIGEST", "SIZE", "MEDIA TYPE", "DEPENDS ON"), rows, right=1),
        f"{counted(len(layers), 'layer')}, {size(total)} of blobs",
    ]


def _removed(response: Mapping[str, Any], request: Mapping[str, Any]) -> Lines:
    if response["removed"]:
        return [f"removed {request['digest']}"]
    return [f"nothing to remove: {request['digest']} is not in this store"]


def _mounted(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    mount = response["mount"]
    how = "writable" if mount["writable"] else "read-only"
    layers = counted(len(mount["digests"]), "layer")
    return [f"mounted {layers} at {plain(mount['target'])}, {how}"]


def _mounts(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    rows = [
        (
            plain(one["target"]),
            "writable" if one["writable"] else "read-only",
            str(len(one["digests"])),
            short(one["digests"][-1]) if one["digests"] else "-",
        )
        for one in response["mounts"]
    ]
    return _table(("TARGET", "MODE", "LAYERS", "TOP"), rows, right=2) if rows else ["no mounts"]


def _damage(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    rows = [
        (short(one["digest"]), "blob" if one["path"] is None else plain(one["path"]), one)
        for one in response["damaged"]
    ]
    if not rows:
        return ["everything is whole"]
    lines = [(layer, where, plain(one["problem"])) for layer, where, one in rows]
    return _table(("LAYER", "WHERE", "PROBLEM"), lines)


def _failures(items: Sequence[Mapping[str, Any]]) -> Lines:
    return [
        "failed: " + (f"{short(one['digest'])}: " if one["digest"] else "") + plain(one["message"])
        for one in items
    ]


def _repaired(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    lines = [f"repaired {digest}" for digest in response["repaired"]]
    lines += [plain(one) for one in response["mended"]]
    lines += _failures(response["failed"])
    return lines or ["nothing to repair"]


def _collected(response: Mapping[str, Any], request: Mapping[str, Any]) -> Lines:
    removed, bytes_freed = response["removed"], size(response["bytes_freed"])
    if request.get("dry_run"):
        verb, what = "would remove", f"would free {bytes_freed}"
    else:
        verb, what = "removed", f"freed {bytes_freed}"
    lines = [f"{verb} {one['digest']}" for one in removed]
    return [
        *lines,
        *_failures(response["errors"]),
        f"{verb} {counted(len(removed), 'layer')}, {what}",
    ]


def _stats(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    zfs = response["zfs"] or {}
    return _pairs(
        ("layers", response["layers"]),
        ("  mounted", response["mounted"]),
        ("  referenced", response["referenced"]),
        ("  unused", response["unused"]),
        ("mounts", response["mounts"]),
        ("on disk", _exactly(response["bytes_total"])),
        ("dataset", zfs.get("dataset")),
        ("  used", _exactly(zfs["used"]) if zfs else None),
        ("  available", _exactly(zfs["available"]) if zfs else None),
        ("  compressratio", zfs.get("compressratio")),
    )


def _problems(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    lines = [f"{one['kind']}: {plain(one['message'])}" for one in response["problems"]]
    return lines or ["no problems"]


def _image(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    image = response["image"]
    return _pairs(
        ("manifest", image["manifest"]),
        ("reference", image["reference"]),
        *(("layer", digest) for digest in image["digests"]),
    )


def _images(response: Mapping[str, Any], _request: Mapping[str, Any]) -> Lines:
    rows = [
        (plain(one["reference"] or "-"), short(one["manifest"]), str(len(one["digests"])))
        for one in response["images"]
    ]
    return _table(("REFERENCE", "MANIFEST", "LAYERS"), rows, right=2) if rows else ["no images"]


def _untagged(response: Mapping[str, Any], request: Mapping[str, Any]) -> Lines:
    name = plain(request["image"])
    return [f"forgot {name!r}" if response["removed"] else f"{name!r} had gone already"]


_TEXTS: Final[Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Lines]]] = {
    "open": lambda response, _: [f"store {plain(response['store'])} is ready"],
    "close": lambda _, request: [f"store {plain(request['store'])} has no views mounted here"],
    "add": _layer,
    "get": _layer,
    "list": _layers,
    "remove": _removed,
    "stack": _mounted,
    "unmount": lambda _, request: [f"unmounted {plain(request['target'])}"],
    "mounts": _mounts,
    "mount": _mounted,
    "commit": _layer,
    "merge": _layer,
    "order": lambda response, _: list(response["digests"]),
    "check-cycles": lambda *_: ["no layers depend on each other in a circle"],
    "verify": _damage,
    "repair": _repaired,
    "lease": lambda _, request: [
        f"lease {plain(request['name'])!r} keeps {counted(len(request['digests']), 'layer')}"
    ],
    "release": lambda _, request: [f"released {plain(request['name'])!r}"],
    "gc": _collected,
    "stats": _stats,
    "check": _problems,
    "import": _image,
    "images": _images,
    "untag": _untagged,
    "export": lambda response, request: [
        f"exported {response['manifest']} to {plain(request['path'])}"
    ],
    "send": lambda _, request: [
        f"sent {counted(len(request['digests']), 'layer')} to {plain(request['path'])}"
    ],
    "receive": lambda response, _: [f"received {one['digest']}" for one in response["layers"]],
}
