"""Makes a subject ready on a host that has not this machine's files.

The subject's folder, those of its bases, and what ``[install]`` names in ``upload`` are put there
as one archive, named for its digest, so that what is there already is not sent again. What
``packages`` lists must be there. ``run`` is run once after the files have come, and once more after
the host has been booted. Nothing of it looks at whose subject it is.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Final

from harness.config import FILE_NAME, SubjectConfig, fill
from harness.errors import ConfigError, RemoteError, TargetError
from harness.remote import Remote

#: Seconds for one command of ``run``.
_RUN_TIMEOUT: Final = 600.0
_TIMEOUT: Final = 120.0
_LEFT_OUT: Final = ("__pycache__", ".git")

#: Prints the mark of a finished installation, if any, and the number of this boot (random(4)).
_LOOK: Final = 'cat /proc/sys/kernel/random/boot_id; if test -e "$0"; then cat "$0"; fi'
#: Nothing half-done is ever in the place.
_UNPACK: Final = (
    'mkdir -p "$0" && rm -rf "$0/new-$1" && mkdir "$0/new-$1" && '
    'tar -x --no-same-owner -f "$2" -C "$0/new-$1" && rm -rf "$0/$1" && mv "$0/new-$1" "$0/$1" && '
    'rm "$2"'
)
_MARK: Final = 'cat /proc/sys/kernel/random/boot_id > "$0"'
#: Prints those of the packages that are not installed; the first system that is there is asked.
_MISSING: Final = """
for package; do
    if command -v dpkg-query >/dev/null; then
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$'
    elif command -v rpm >/dev/null; then
        rpm -q "$package" >/dev/null 2>&1
    elif command -v apk >/dev/null; then
        apk info -e "$package" >/dev/null 2>&1
    elif command -v pacman >/dev/null; then
        pacman -Q "$package" >/dev/null 2>&1
    else
        false
    fi || echo "$package"
done
"""


def install(remote: Remote, subject: SubjectConfig) -> str:
    """Return the subject's folder on the host, where everything is ready then.

    Where the host has this machine's files that is the folder itself, and nothing is done. Raises
    ConfigError for what ``subject.toml`` has wrong, TargetError when the host lacks a package, and
    RemoteError; what was done until then is done again the next time.
    """
    if remote.installs is None:
        return str(subject.directory)
    _check_packages(remote, subject)
    archive, inside = packed(subject)
    key = hashlib.sha256(archive).hexdigest()[:16]
    place = f"{remote.installs}/{key}"
    directory = f"{place}/{inside}"
    mark = f"{remote.installs}/{key}.ready"
    boot, ready = _look(remote, mark)
    if ready == boot:
        return directory
    if not ready:
        upload = f"{remote.workdir}/upload-{key}.tar"
        remote.put(archive, upload)
        _must(remote, ["sh", "-c", _UNPACK, remote.installs, key, upload])
    for number, words in enumerate(subject.install.run):
        argv = [fill(word, remote.python, directory) for word in words]
        _run(remote, argv, directory, f"{subject.directory / FILE_NAME}: install.run[{number}]")
    _must(remote, ["sh", "-c", _MARK, mark])
    return directory


def packed(subject: SubjectConfig) -> tuple[bytes, str]:
    """Return a tar of all that the subject needs, and where in it the subject's folder lies.

    The same files give the same bytes. Raises ConfigError.
    """
    folders = [subject.directory, *subject.bases]
    for number, name in enumerate(subject.install.upload):
        path = Path(os.path.normpath(subject.directory / name))
        if not path.exists():
            raise ConfigError(
                f"{subject.directory / FILE_NAME}: install.upload[{number}]: {path} is not there"
            )
        folders.append(path)
    above = os.path.commonpath([path.parent for path in folders])
    files = sorted({file for folder in folders for file in _files(folder)})
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            archive.add(file, os.path.relpath(file, above), recursive=False, filter=_plain)
    return memory.getvalue(), os.path.relpath(subject.directory, above)


def _files(path: Path) -> list[Path]:
    """Return a path and all below it, but what is made on the way."""
    if path.name in _LEFT_OUT:
        return []
    below = path.iterdir() if path.is_dir() and not path.is_symlink() else ()
    return [path, *(file for entry in below for file in _files(entry))]


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _look(remote: Remote, mark: str) -> tuple[str, str]:
    """Return the number of this boot, and that of the boot in which all was made ready."""
    boot, *ready = _must(remote, ["sh", "-c", _LOOK, mark]).split()
    return boot, ready[0] if ready else ""


def _check_packages(remote: Remote, subject: SubjectConfig) -> None:
    wanted = subject.install.packages
    if wanted and (missing := _must(remote, ["sh", "-c", _MISSING, "sh", *wanted]).split()):
        raise TargetError(
            f"{subject.name} needs packages that the host has not: {', '.join(missing)}; install "
            "them there"
        )


def _must(remote: Remote, argv: list[str]) -> str:
    done = remote.run(argv, timeout=_TIMEOUT, cwd="/")
    if done.status != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise RemoteError(f"the subject cannot be installed on the host: {said}")
    return done.stdout.decode("utf-8", "replace")


def _run(remote: Remote, argv: list[str], directory: str, where: str) -> None:
    try:
        done = remote.run(argv, timeout=_RUN_TIMEOUT, cwd=directory)
    except OSError as error:
        raise ConfigError(f"{where}: cannot start {argv[0]!r}: {error.strerror}") from None
    if done.status != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
        raise ConfigError(f"{where}: {argv[0]} ended with status {done.status}: {lines[-1]}")
