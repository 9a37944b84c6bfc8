"""What memory it takes to add a layer of 2 GiB: of all processes together, at the worst moment.

Of each process its proportional set (PSS in smaps_rollup, proc(5)): resident pages, those that
several processes share divided among them, shared memory counted. The sum over the process and its
descendants is looked at every few milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import IO, Final

from benchmarks import inputs
from benchmarks.bars import Row, limit
from benchmarks.context import LAYERFS, Context, Task
from benchmarks.inputs import LayerFile
from benchmarks.measure import ROOT, seconds
from benchmarks.packages import BenchError, Log, run

SIZE: Final = 2 << 30
MOST_MIB: Final = 100
_MIB: Final = 1 << 20
_LOOK_S: Final = 0.005
_END: Final = bytes(1024)


def tasks() -> list[Task]:
    """Return the task."""
    return [Task("memory", _prepare, _run)]


def _prepare(log: Log) -> None:
    inputs.small(log)
    inputs.large(log)


def _run(context: Context) -> list[Row]:
    context.log("memory: add a layer of 2 GiB")
    rows = []
    with context.ground.fresh() as folder:
        tar, packed = folder / "big.tar", folder / "big.tar.gz"
        diff_id = write(tar, inputs.small(context.log), inputs.large(context.log))
        program = "pigz" if shutil.which("pigz") else "gzip"
        seconds([program, "-1", "-c", tar], stdout=packed)
        for blob in (packed, tar):
            form = blob.name.partition(".")[2]
            store = folder / f"store-{form}"
            run([LAYERFS, "--root", store, "init"])
            context.ground.settle()
            command = [LAYERFS, "--root", store, "add", "--diff-id", diff_id, blob]
            peak, marks = watched([str(word) for word in command])
            context.log(f"  {form}: {peak / _MIB:.1f} MiB; high-water marks {marks / _MIB:.1f} MiB")
            context.details.setdefault("memory", {})[form] = {"pss": peak, "sum of VmHWM": marks}
            name = f"memory: `layerfs add` of a 2 GiB {form} (values in MiB)"
            rows.append(limit(name, peak / _MIB, MOST_MIB, unit="MiB"))
    return rows


def write(tar: Path, many: LayerFile, big: LayerFile) -> str:
    """Write a tar of 2 GiB: ``many`` once, and ``big`` under one name after another.

    Return its diffID.
    """
    digest = hashlib.sha256()
    with tar.open("wb") as out:
        _feed(out, digest, many, big)
    return f"sha256:{digest.hexdigest()}"


def _feed(pipe: IO[bytes], digest: hashlib._Hash, many: LayerFile, big: LayerFile) -> None:
    written = 0

    def put(data: bytes) -> None:
        nonlocal written
        pipe.write(data)
        digest.update(data)
        written += len(data)

    with many.tar.open("rb") as file:
        left = _members_end(many.tar)
        while left and (data := file.read(min(_MIB, left))):
            put(data)
            left -= len(data)
    number = 0
    while written < SIZE:
        number += 1
        with tarfile.open(big.tar) as archive:
            for member in archive:
                if not member.isfile() or written >= SIZE:
                    continue
                content = archive.extractfile(member)
                assert content is not None
                member.name = f"{number}/{member.name}"
                put(member.tobuf(tarfile.PAX_FORMAT))
                while data := content.read(_MIB):
                    put(data)
                put(bytes(-member.size % 512))
    put(_END)


def _members_end(path: Path) -> int:
    """Return where the zeros at the end of a tar begin."""
    with path.open("rb") as file:
        end = path.stat().st_size
        while end:
            file.seek(end - 512)
            if file.read(512).strip(b"\0"):
                return end
            end -= 512
    return 0


def watched(command: list[str]) -> tuple[int, int]:
    """Run a command; return its peak, and the sum of all its processes' high-water marks, in bytes.

    The second counts what processes share once for each, and never misses a moment: no less than
    the truth. BenchError: the command failed.
    """
    said = io.BytesIO()
    peak = 0
    marks: dict[int, int] = {}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None:
            tree = _descendants(process.pid)
            peak = max(peak, sum(_field(pid, "smaps_rollup", "Pss:") for pid in tree))
            for pid in tree:
                marks[pid] = max(marks.get(pid, 0), _field(pid, "status", "VmHWM:"))
            time.sleep(_LOOK_S)  # between two looks
        assert process.stderr is not None
        said.write(process.stderr.read())
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command[:4])} … failed:\n{said.getvalue()!r}")
    return peak, sum(marks.values())


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):  # it has ended
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _field(pid: int, file: str, name: str) -> int:
    """Return a value in kB of a file in /proc, in bytes; 0 when the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
