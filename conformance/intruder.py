"""Somebody else on the host who changes a store's directories, as PROTOCOL.md, section 6, allows.

The intruder knows nothing of a store's layout. It looks below the store's directory for names that
the case itself gave to directories of a layer, and puts a symlink in their place: once, or back and
forth for as long as something is done there. What it took away it keeps beside the store.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from harness.observe import Host
from harness.remote import Channel

#: Seconds in which the intruder must answer.
_TIMEOUT: Final = 30.0

#: Runs on the host. The first argument says what to do, then: the store, the name, what a symlink
#: in its place leads to, and where things are kept, on the file system of the store.
_PROGRAM: Final = """
import contextlib, ctypes, errno, json, os, random, select, sys, time
do, store, name, to, keep = sys.argv[1], *map(os.fsencode, sys.argv[2:])
libc = ctypes.CDLL(None, use_errno=True)
renameat2 = libc.renameat2
AT_FDCWD, RENAME_EXCHANGE, PR_SET_TIMERSLACK = -100, 2, 29
PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW

def places():
    for here, folders, files in os.walk(store):
        if name in folders or name in files:
            yield here

def decoys():
    number = 0
    while True:
        path = keep + b"-%d" % number
        os.symlink(to, path)
        yield path
        number += 1

def once():
    found = []
    for here, decoy in zip(list(places()), decoys()):
        path = os.path.join(here, name)
        if renameat2(AT_FDCWD, path, AT_FDCWD, decoy, RENAME_EXCHANGE):
            if ctypes.get_errno() == errno.EXDEV:  # on a mount of the store's own
                continue
            raise OSError(ctypes.get_errno(), "exchanging", path)
        found.append(os.fsdecode(path))
    print(json.dumps(found))

def pause():
    # Whoever wakes up from a short sleep is given a processor at once, also where they are few and
    # busy, and so stands between any two steps of the other.
    time.sleep(random.choice((0, 0.000005, 0.00002, 0.00005)))

def opened():
    for here in places():
        try:
            return os.open(here, PATH)
        except OSError:
            continue

def without_end():
    made = decoys()
    decoy, parent, rounds = next(made), opened(), 0
    print(json.dumps("ready"), flush=True)
    libc.prctl(PR_SET_TIMERSLACK, 1)
    with contextlib.suppress(OSError):
        os.nice(-10)
    asked = select.poll()
    asked.register(0)
    while not asked.poll(0):
        if parent is None:
            parent = opened()
            continue
        if renameat2(parent, name, AT_FDCWD, decoy, RENAME_EXCHANGE) == 0:
            pause()
            if renameat2(parent, name, AT_FDCWD, decoy, RENAME_EXCHANGE) == 0:
                pause()
                rounds += 1
                continue
            decoy = next(made)  # what was taken away has no place to return to
        os.close(parent)
        parent = None
    print(json.dumps(rounds), flush=True)

def find():
    print(json.dumps([os.fsdecode(os.path.join(here, name)) for here in places()]))

{"find": find, "once": once, "without_end": without_end}[do]()
"""


class Intruder:
    """Puts symlinks to ``to`` in the place of what is called ``name`` below a store.

    ``keep`` is a path beside the store, which with a number becomes the place of what was taken.
    """

    def __init__(self, host: Host, store: str, name: str, *, to: str, keep: str) -> None:
        self._host = host
        self._arguments = [store, name, to]
        self._keep = (f"{keep}-{number}" for number in itertools.count())
        self._rounds = 0

    def replace(self) -> list[str]:
        """Do so with all that is there now, and return the paths; as :meth:`find`."""
        return self._found("once")

    def find(self) -> list[str]:
        """Return where something has that name; the case is unsupported where nothing has."""
        return self._found("find")

    def _found(self, do: str) -> list[str]:
        done = self._host.run(self._argv(do))
        found: list[str] = json.loads(done.stdout)
        if not found:
            pytest.skip("target: no file of the layer can be seen, and moved, in the store")
        return found

    @contextlib.contextmanager
    def swapping(self) -> Iterator[None]:
        """Do so with a directory, once there is one, and give it back, and so on.

        Each round is some microseconds long, and they last as long as the context.
        """
        with self._host.remote.start(self._argv("without_end"), cwd="/") as channel:
            assert _told(channel) == "ready"
            yield
            channel.close_input()
            self._rounds += int(_told(channel))

    @contextlib.contextmanager
    def mounting(self, source: str) -> Iterator[Callable[[], str]]:
        """Mount a tmpfs on a directory of that name, and take it away wherever it is by then.

        Gives a function that says where. The case is unsupported where there is no directory.
        """
        found = self.find()
        host = self._host

        def mounted() -> list[str]:
            return [mount.target for mount in host.mounts() if mount.source == source]

        def where() -> str:
            targets = mounted()
            assert targets, f"what was mounted on {found[0]} has been unmounted by the subject"
            return targets[0]

        done = host.run(["mount", "-t", "tmpfs", source, found[0]])
        assert done.status == 0, done.stderr
        try:
            yield where
        finally:
            for target in mounted():
                done = host.run(["umount", target])
                assert done.status == 0, done.stderr

    def expect(self, rounds: int) -> None:
        """Call the case unsupported after fewer rounds than that: they prove nothing."""
        if self._rounds < rounds:
            pytest.skip(f"target: the layer's directory was seen for {self._rounds} rounds only")

    def _argv(self, do: str) -> list[str]:
        python = [self._host.remote.python, "-I", "-S", "-X", "utf8"]
        return [*python, "-c", _PROGRAM, do, *self._arguments, next(self._keep)]


def _told(channel: Channel) -> Any:
    return json.loads(channel.read_line(_TIMEOUT))
