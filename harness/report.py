"""``index.html``: one or several results as one page, self-contained and without network.

A subject's words are untrusted: the template escapes all of them, a content security policy allows
nothing but the page's own style and script, and control characters are made visible.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness import columns, matrix, wording
from harness.results import Results, Steps, write_text
from harness.verdict import BAD

PAGE: Final = "index.html"
#: The map of the machine's first user namespace (user_namespaces(7)).
_ALL_IDS: Final = (0, 0, 4294967295)


def write(runs: Sequence[tuple[Results, Path]], output: Path) -> Path:
    """Write the page for ``runs`` into the folder ``output`` and return its path.

    Each run comes with the folder that its evidence lies in; links to it are relative to the page.
    Raises OSError; an old page then stays as it was.
    """
    page = output / PAGE
    write_text(render(runs, output), page)
    return page


def render(runs: Sequence[tuple[Results, Path]], output: Path) -> str:
    """Return the page for ``runs``, as it is right in the folder ``output``."""
    environment = templates()
    script = environment.get_template("report.js").render()
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    results = [result for result, _ in runs]
    areas = matrix.areas(results)
    cases = [row.any for area in areas for row in area.rows]
    return environment.get_template("report.html.j2").render(
        runs=results,
        bases=[quote(os.path.relpath(folder, output)) for _, folder in runs],
        several=len(runs) > 1,
        suites=list(dict.fromkeys(map(columns.suite, results))),
        areas=areas,
        attention=[row for area in areas for row in area.rows if row.bad],
        levels=sorted({case.level for case in cases}),
        profiles=sorted({case.profile for case in cases}),
        totals=[result.summary.model_dump() for result in results],
        facts=facts,
        host=columns.host,
        quote=quote,
        script=Markup(script),  # noqa: S704 - a file of ours
        script_hash=allowed,
    )


def templates() -> Environment:
    """Return an environment whose templates escape everything, and know our words."""
    environment = Environment(
        loader=PackageLoader("harness"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        word=wording.word,
        counted=wording.counted,
        visible=wording.visible,
        first_line=wording.first_line,
        source_url=wording.source_url,
        is_web=wording.is_web,
        seconds=seconds,
    )
    environment.globals.update(
        order=wording.ORDER, symbols=wording.SYMBOLS, bad=sorted(BAD), outcome=wording.outcome
    )
    return environment


def told(step: Steps) -> str:
    """Say what making targets took."""
    return f"{step.name}: {step.count}, {seconds(step.median_s)} each, most {seconds(step.most_s)}"


def seconds(value: float) -> str:
    """Return a duration for people: milliseconds below a second, minutes above two."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def facts(results: Results) -> dict[str, str]:
    """Say what is known of the run, for a list of terms."""
    target = results.target
    known: dict[str, Any] = {
        "Subject": f"{results.subject.name} {results.subject.version}",
        "Description": results.subject.description,
        "Profiles": ", ".join(results.selection.profiles),
        "Narrowed to": results.selection.keyword or ", ".join(results.selection.cases),
        "Capabilities": ", ".join(results.subject.capabilities),
        "Target": target.name,
        "System": ", ".join(filter(None, [target.distribution, target.machine])),
        "Kernel": target.kernel,
        "ZFS": ", ".join(filter(None, [target.zfs_version, _pool(target.zfs_vdev)])),
        "User ids": _id_map(target.uid_map),
        "Group ids": _id_map(target.gid_map),
        "Privileges": ", ".join(target.privileges),
        "Started": results.started.replace("T", " ").replace("+00:00", " UTC"),
        "Took": f"{seconds(results.duration_s)}; {results.overhead:.0%} of the cases' time was "
        "the harness's",
        "Targets": "; ".join(map(told, results.steps)),
        "Protocol": results.protocol,
        "Suite": columns.suite(results),
        "With": ", ".join(f"{name} {version}" for name, version in results.environment.items()),
        "Command": results.command,
    }
    return {name: str(value) for name, value in known.items() if value not in {"", None}}


def _pool(vdev: str) -> str:
    """Say what the run's pool lies on; empty without one."""
    return f"a pool on a {'sparse file' if vdev == 'file' else vdev}" if vdev else ""


def _id_map(ranges: Sequence[tuple[int, int, int]]) -> str:
    if list(ranges) == [_ALL_IDS]:
        return "all, as on the machine itself"
    return "; ".join(
        f"{inside} is {outside} outside" if count == 1 else f"{count} from {inside} at {outside}"
        for inside, outside, count in ranges
    )
