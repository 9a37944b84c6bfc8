"""``python -m benchmarks.zfs``: measure in one disposable machine, print the table, write it down.

The machine is the suite's own: a box, which is built where it is missing, booted under KVM or
emulation. It has no network: the peers' packages are downloaded here, and kept in the cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, program
from benchmarks.measure import ROOT
from benchmarks.packages import BenchError
from benchmarks.program import say
from benchmarks.zfs.rows import MANY, QUICK, rows
from harness import boxrecipe, debian
from harness.config import SubjectConfig, resolve
from harness.errors import HarnessError
from harness.install import install
from harness.machine import Shape
from harness.remote import Remote
from harness.vagrant_target import Session, Source

PEERS: Final = ("containerd", "containers-storage")
#: containerd and a pool's cache in less memory would measure how it is short of it.
_SHAPE: Final = Shape(memory_mib=2048)
#: Seconds between two words of the guest, and for a command there.
_WORD_S: Final = 1800.0
_COMMAND_S: Final = 600.0
#: Nothing is configured, so that no service is started.
_UNPACK: Final = 'tar -C "$0" -xf "$0/debs.tar" && dpkg --unpack --force-unsafe-io "$0"/*.deb'


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return 1 when a bar does not hold, 2 after a failure."""
    given = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        say("machines are made by libvirt, as root: run it as root")
        return 2
    program.end_by_sigterm()
    begin, load = time.monotonic(), os.getloadavg()[0]
    try:
        found = _found(given)
    except (BenchError, HarnessError) as error:
        say(f"bench-zfs: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    # Of this machine, whose processors the guest's are.
    details = {**found.pop("facts"), **found, "load": load}
    details["seconds"] = round(time.monotonic() - begin)
    how = "KVM" if found["accelerated"] else "software emulation"
    title = f"layerfs on ZFS, side by side with others in one virtual machine ({how})"
    program.remark(details)
    return program.publish(rows(found), details, folder=given.output, stem="bench-zfs", title=title)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zfs", description=__doc__)
    parser.add_argument("--box", default="debian13", help="that the machine is made from")
    program.options(parser, quick=f"one round, and a pool of {QUICK} datasets, not {MANY:,}")
    return parser


def _found(given: argparse.Namespace) -> dict[str, Any]:
    """Bring a machine up, measure in it, and take it away; return what ``guest.main`` has found."""
    rounds, datasets = (1, QUICK) if given.quick else (given.rounds, MANY)

    def make_ready(remote: Remote) -> None:
        _install_peers(remote, boxrecipe.load(given.box))
        install(remote, _ourselves())

    with Session(given.box, say), contextlib.closing(Source(given.box, _SHAPE)) as source:
        say("bringing a machine up, with the peers in it")
        with contextlib.closing(source.connect(make_ready)) as remote:
            place = os.path.normpath(f"{install(remote, _ourselves())}/{_ABOVE}")
            found = _measured(remote, place, [str(rounds), str(datasets)])
            return {**found, "rounds": rounds, "accelerated": remote.facts["accelerated"]}


#: From the folder of the subject to what holds the packages of this checkout.
_SUBJECT: Final = resolve("layerfs")
_ABOVE: Final = os.path.relpath(ROOT, _SUBJECT.directory)


def _ourselves() -> SubjectConfig:
    """Return layerfs as the suite installs it on a host, with what runs there beside it."""
    needed = ("benchmarks", "harness")
    more = [*_SUBJECT.install.upload, *(f"{_ABOVE}/{name}" for name in needed)]
    return _SUBJECT.model_copy(
        update={"install": _SUBJECT.install.model_copy(update={"upload": more})}
    )


def _install_peers(remote: Remote, recipe: boxrecipe.Recipe) -> None:
    folder = debs(remote, recipe)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for deb in sorted(folder.iterdir()):
            archive.add(deb, deb.name)
    remote.put(memory.getvalue(), f"{remote.workdir}/debs.tar")
    done = remote.run(["sh", "-c", _UNPACK, remote.workdir], timeout=_COMMAND_S, cwd="/")
    if done.status != 0:
        raise BenchError(f"the peers cannot be installed: {_end(done.stderr)}")


def debs(remote: Remote, recipe: boxrecipe.Recipe) -> Path:
    """Return a folder with the packages of the peers, and what they need that the guest lacks."""
    key = hashlib.sha256(f"{recipe.key()} {' '.join(PEERS)}".encode()).hexdigest()[:16]
    folder = inputs.cache() / f"debs-{recipe.name}-{key}"
    if not folder.exists():
        say(f"downloading {', '.join(PEERS)} of {recipe.suite}")
        line = debian.source(recipe.suite, recipe.components)
        debian.download(line, PEERS, remote.get("/var/lib/dpkg/status"), folder)
    return folder


def _measured(remote: Remote, place: str, arguments: list[str]) -> dict[str, Any]:
    words = [remote.python, "-m", "benchmarks.zfs.guest", *arguments]
    with remote.start(words, env={"PYTHONPATH": place}, cwd="/") as channel:
        while True:
            try:
                told = json.loads(channel.read_line(_WORD_S))
            except EOFError:
                raise BenchError(f"the guest ended: {_end(channel.stderr)}") from None
            if "found" in told:
                found: dict[str, Any] = told["found"]
                return found
            say(f"  {told['log']}")


def _end(said: bytes) -> str:
    return "\n".join(said.decode(errors="replace").splitlines()[-15:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
