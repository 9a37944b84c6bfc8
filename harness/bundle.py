"""A run as one file to hand in: ``results.json`` and the evidence that it names, in a tar archive.

The same run gives the same bytes. Reading takes a folder as well, unpacks nothing, and minds that
both may come from strangers: only ordinary files with plain names are seen.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from harness.errors import HarnessError
from harness.evidence import folder_name
from harness.publish import ordinary
from harness.results import Results

RESULTS: Final = "results.json"
#: More than any run has written; a stranger's file is not read beyond it.
_MOST_BYTES: Final = 256 << 20
_MOST_FILES: Final = 200_000


class BundleError(HarnessError):
    """It cannot be read, or is no bundle; the message is one line and names it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle has: its results as they stand there, and the sizes of all files by name.

    Names are relative to ``results.json``.
    """

    results: bytes
    sizes: dict[str, int]


def write(run: Results, folder: Path, output: Path) -> str:
    """Write the bundle of the run in ``folder``; return the digest of the file. Raises OSError."""
    names = {name for case in run.cases for name in case.evidence if ordinary(folder, name)}
    top = folder_name(f"results-{run.subject.name}-{run.subject.version}-{run.target.name}")
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in (RESULTS, *sorted(names)):
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    output.write_bytes(memory.getvalue())
    return f"sha256:{hashlib.sha256(memory.getvalue()).hexdigest()}"


def read(path: Path) -> Contents:
    """Return what the folder or archive at ``path`` has. Raises BundleError."""
    try:
        return _of_folder(path) if path.is_dir() else _of_archive(path)
    except OSError as error:
        raise BundleError(f"{error.filename or path}: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise BundleError(f"{path}: not a tar archive: {error}") from error


def _of_folder(path: Path) -> Contents:
    file = path / RESULTS
    sizes = {}
    for parent, _, files in os.walk(path):  # follows no symlink
        for one in files:
            name = os.path.relpath(os.path.join(parent, one), path)
            if ordinary(path, name):
                sizes[name] = os.path.getsize(path / name)
    if file.exists() and not (sizes.get(RESULTS, 0) <= _MOST_BYTES):
        raise BundleError(f"{file}: more than {_MOST_BYTES >> 20} MiB")
    return Contents(file.read_bytes(), sizes)


def _of_archive(path: Path) -> Contents:
    with tarfile.open(path) as archive:
        members = dict(_members(archive, path))
        found = sorted((name for name in members if PurePosixPath(name).name == RESULTS), key=len)
        if not found:
            raise BundleError(f"{path}: there is no {RESULTS} in it")
        if members[found[0]].size > _MOST_BYTES:
            raise BundleError(f"{path}: {RESULTS} has more than {_MOST_BYTES >> 20} MiB")
        file = archive.extractfile(members[found[0]])
        assert file is not None  # an ordinary file
        prefix = found[0].removesuffix(RESULTS)
        sizes = {
            name.removeprefix(prefix): member.size
            for name, member in members.items()
            if name.startswith(prefix)
        }
        return Contents(file.read(), sizes)


def _members(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the ordinary files; what else there is could not be evidence."""
    for number, member in enumerate(archive):
        if number == _MOST_FILES:
            raise BundleError(f"{path}: more than {_MOST_FILES} files")
        words = PurePosixPath(member.name)
        if member.isreg() and not words.is_absolute() and ".." not in words.parts:
            yield words.as_posix(), member
