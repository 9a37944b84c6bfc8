"""What people run today: whether it is here, how it is installed, and how it is called.

Everything a peer keeps lies below the directory it is given: stores, sockets, temporary files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.packages import BenchError, Log, run
from harness import realimage

#: Commands, with the package that has each.
PEERS: Final = {
    "pigz": "pigz",
    "umoci": "umoci",
    "skopeo": "skopeo",
    "containerd": "containerd",
    "ctr": "containerd",
    "buildah": "buildah",
}
_START_S: Final = 30.0
_CONFIG: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/sock"
"""


def missing(*commands: str) -> str:
    """Say which of the commands is not here, and how to get it; empty when all are."""
    for command in commands:
        if shutil.which(command) is None:
            return f"{command} is missing (apt-get install {PEERS[command]})"
    return ""


def install(log: Log) -> None:
    """Install what is missing of the peers, and of what builds the real image, one by one.

    A release that lacks one of them lacks it for good: that is told, and no error.
    """
    needs = {**PEERS, **realimage.NEEDS}
    lacking = {package for command, package in needs.items() if shutil.which(command) is None}
    if not lacking:
        return
    run(["apt-get", "update", "-qq"])
    for package in sorted(lacking):
        log(f"installing {package}")
        try:
            run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])
        except BenchError as error:
            log(str(error))


def versions(*more: str) -> dict[str, str]:
    """Return the versions of the peers' packages, and of ``more``, that are installed."""
    found = {}
    for package in sorted({*PEERS.values(), "tar", "gzip", *more}):
        with contextlib.suppress(BenchError):  # missing, or installed by other means
            found[package] = run(["dpkg-query", "-W", "-f", "${Version}", package])
    return found


def unpacked_by_umoci(layout: Path, folder: Path) -> list[str | Path]:
    """Return the command that extracts an image into one tree."""
    return ["umoci", "unpack", "--image", f"{layout}:latest", folder / "bundle"]


class Storage:
    """A containers-storage with the overlay driver, as skopeo, buildah and podman use it."""

    IMAGE: Final = "localhost/bench:latest"

    def __init__(self, folder: Path) -> None:
        self._root = folder / "storage"
        self._run = folder / "run"
        temporary = folder / "tmp"
        temporary.mkdir()
        #: Large blobs pass through TMPDIR, which must not be another file system.
        self.env = {**os.environ, "TMPDIR": str(temporary), "BUILDAH_ISOLATION": "chroot"}

    def copy(self, layout: Path) -> list[str | Path]:
        """Return the command that stores an image, extracted."""
        place = f"containers-storage:[overlay@{self._root}+{self._run}]{self.IMAGE}"
        return ["skopeo", "copy", "-q", "--insecure-policy", f"oci:{layout}:latest", place]

    def buildah(self, *words: str | Path) -> list[str | Path]:
        """Return a command of buildah on this storage."""
        where: list[str | Path] = ["--root", self._root, "--runroot", self._run]
        return ["buildah", *where, "--storage-driver", "overlay", *words]


class ZfsStorage:
    """A containers-storage with the zfs driver, its datasets below ``dataset``, which is there."""

    def __init__(self, dataset: str, folder: Path) -> None:
        self._where: list[str | Path] = ["--graph", folder / "storage", "--run", folder / "run"]
        self._where += ["--storage-driver", "zfs", "--storage-opt", f"zfs.fsname={dataset}"]

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return a command of its own tool."""
        return ["containers-storage", *self._where, *words]


class Containerd:
    """A containerd that runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def ctr(self, *words: str | Path) -> list[str | Path]:
        """Return a command of its client."""
        return ["ctr", "-a", self._socket, "-n", "bench", *words]


@contextlib.contextmanager
def containerd(folder: Path) -> Iterator[Containerd]:
    """Start a containerd of its own below ``folder``, its root in ``root``; stop it at the end.

    BenchError, with the end of its log: it does not answer.
    """
    config, log = folder / "config.toml", folder / "log"
    config.write_text(_CONFIG.format(folder=folder))
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            ["containerd", "-c", config], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        running = Containerd(folder / "sock")
        _wait(running, daemon, log)
        yield running
    finally:
        daemon.terminate()
        try:
            daemon.wait(timeout=_START_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait(running: Containerd, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            run(running.ctr("version"))
        except BenchError as error:
            if daemon.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)  # between two looks at the condition
                continue
            tail = "\n".join(log.read_text(errors="backslashreplace").splitlines()[-5:])
            raise BenchError(f"containerd does not answer ({error}):\n{tail}") from error
        return
