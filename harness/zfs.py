"""``host.zfs``: what is in the pools of the run, and what somebody else may do there.

In the manner of testinfra's modules: each method is one command on the host, of the host's own
``zfs`` and ``zpool``, and no subject is asked. Only pools that the harness has made are named here;
any other name is a ValueError, before anything is run. What ZFS refuses is a :class:`ZfsError` with
the command and its own words.

Properties are mappings, since the names of user properties have colons:
``host.zfs.create(name, {"quota": "8m", "com.example:backup": "on"})``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from harness import pools, wiping
from harness.errors import TargetError
from harness.ledger import Mount
from harness.pools import SIZE

if TYPE_CHECKING:
    from harness.observe import Host

#: Seconds for one command, and for one that destroys any number of datasets.
TIMEOUT: Final = 120.0
_DESTROY: Final = 900.0
_COMPONENT: Final = r"[A-Za-z0-9_.: -]+"
#: zfs(8), Dataset Naming, below a pool of ours.
_DATASET: Final = re.compile(rf"{pools.NAME.pattern}(?:/{_COMPONENT})*")
_SNAPSHOT: Final = re.compile(rf"{_DATASET.pattern}@{_COMPONENT}")
_PROPERTY: Final = re.compile(r"[a-z][A-Za-z0-9_.:@-]*")
_TAG: Final = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.: -]*")
_MISSING: Final = "does not exist"
_SETTLE: Final = 'zpool sync "$1" && zpool wait -t free "$1"'
_SPACE: Final = f'{_SETTLE} && exec zfs get -Hp -o property,value used,available,referenced "$2"'
_SEND: Final = 'file=$1; shift; exec zfs send "$@" >"$file"'
_RECEIVE: Final = 'file=$1; shift; exec zfs receive "$@" <"$file"'

Fault = Literal["io", "checksum", "nxio", "corrupt"]


class ZfsError(OSError):
    """ZFS refused, or the command failed: ``strerror`` has its words."""


class Zfs:
    """The pools of one host; ``ask`` puts a question to its observer."""

    def __init__(self, host: Host, ask: Callable[..., Any]) -> None:
        self._host = host
        self._ask = ask
        self._extra: dict[str, list[str]] = {}
        self._numbers = itertools.count(1)

    # --- looking --------------------------------------------------------------------------------

    @property
    def pool(self) -> str:
        """The pool of the run. Raises TargetError where there is none."""
        name = self._host.facts.get("zfs_pool")
        if not isinstance(name, str):
            why = self._host.facts["zfs_refusal"] or "no case has asked for one"
            raise TargetError(f"{self._host.remote.name} has no pool: {why}")
        return name

    def vdevs(self, pool: str | None = None) -> list[str]:
        """Return the devices and files that a pool of ours lies on, as it was made."""
        pool = pool or self.pool
        return list(self._extra.get(pool) or self._host.facts["zfs_vdevs"])

    def pools(self) -> dict[str, str]:
        """Return the health of each imported pool, also of others' (zpoolprops(7), health)."""
        told = self._run("zpool", "list", "-H", "-o", "name,health")
        return dict(line.split("\t") for line in told.splitlines())

    def datasets(self, root: str) -> list[str]:
        """Return the names of a dataset and of all below it, sorted; empty when it is missing."""
        return self._list("filesystem,volume", root)

    def snapshots(self, root: str) -> list[str]:
        """Return the snapshots of a dataset and of all below it, oldest first in each."""
        return self._list("snapshot", root)

    def exists(self, name: str) -> bool:
        """Whether there is a dataset or snapshot of this name."""
        return bool(self._list("all", name, "-d", "0"))

    def holds(self, snapshot: str) -> list[str]:
        """Return the tags by which a snapshot is held, sorted."""
        told = self._run("zfs", "holds", "-H", _checked(_SNAPSHOT, snapshot))
        return sorted(line.split("\t")[1] for line in told.splitlines())

    def get(self, name: str, property_: str) -> str:
        """Return a property's value, numbers in full (``zfs get -p``); ``-`` when it has none."""
        _checked(_PROPERTY, property_)
        told = self._run("zfs", "get", "-Hp", "-o", "value", property_, _named(name))
        return told.removesuffix("\n")

    def properties(self, name: str) -> dict[str, str]:
        """Return the properties that were set on a dataset or snapshot itself, or received."""
        words = ["zfs", "get", "-Hp", "-s", "local,received", "-o", "property,value", "all"]
        told = self._run(*words, _named(name))
        return dict(line.split("\t", 1) for line in told.splitlines())

    def space(self, name: str) -> dict[str, int]:
        """Return bytes ``used``, ``available`` and ``referenced``, when all is written and freed.

        ZFS counts what was freed a moment later; that is waited for.
        """
        pool = _named(name).partition("/")[0]
        told = self._run("sh", "-c", _SPACE, "sh", pool, name)
        return {one: int(value) for one, value in (line.split() for line in told.splitlines())}

    def mounts(self, root: str) -> list[Mount]:
        """Return where a dataset, those below it, and their snapshots are mounted."""
        ours = re.compile(rf"{re.escape(_checked(_DATASET, root))}([/@].*)?")
        return [
            mount
            for mount in self._host.mounts()
            if mount.fstype == "zfs" and ours.fullmatch(mount.source)
        ]

    # --- arranging: datasets ----------------------------------------------------------------------

    def create(self, name: str, properties: Mapping[str, str] | None = None) -> str:
        """Create a dataset, with missing parents, and return its name.

        It inherits ``mountpoint=none``; with a ``mountpoint`` of its own it is mounted there.
        """
        self._run("zfs", "create", "-p", *_options(properties), _checked(_DATASET, name))
        return name

    @contextmanager
    def dataset(
        self, stem: str = "dataset", properties: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Make a fresh dataset in the run's pool, give its name, and destroy it with all below."""
        name = self.create(f"{self.pool}/{stem}-{next(self._numbers)}", properties)
        try:
            yield name
        finally:
            self.wipe(name)

    def create_volume(self, name: str, size: str = "16m") -> str:
        """Create a volume, sparse, and return its name."""
        self._run("zfs", "create", "-s", "-V", size, _checked(_DATASET, name))
        return name

    def clone(self, snapshot: str, name: str, properties: Mapping[str, str] | None = None) -> str:
        """Clone a snapshot and return the clone's name."""
        of = _checked(_SNAPSHOT, snapshot)
        self._run("zfs", "clone", *_options(properties), of, _checked(_DATASET, name))
        return name

    def snapshot(self, name: str, *, recursive: bool = False) -> str:
        """Take the snapshot ``dataset@name``, of all below it too if asked; return its name."""
        self._run("zfs", "snapshot", *_flag("-r", recursive), _checked(_SNAPSHOT, name))
        return name

    def hold(self, snapshot: str, tag: str) -> None:
        """Hold a snapshot, which then cannot be destroyed."""
        self._run("zfs", "hold", _checked(_TAG, tag), _checked(_SNAPSHOT, snapshot))

    def release(self, snapshot: str, tag: str) -> None:
        """Give a hold up."""
        self._run("zfs", "release", _checked(_TAG, tag), _checked(_SNAPSHOT, snapshot))

    def set(self, name: str, properties: Mapping[str, str]) -> None:
        """Set properties of a dataset or snapshot, native or user ones."""
        self._run("zfs", "set", *_assigned(properties), _named(name))

    def inherit(self, name: str, property_: str) -> None:
        """Forget what was set, so that the parent's value counts again."""
        self._run("zfs", "inherit", _checked(_PROPERTY, property_), _named(name))

    def promote(self, name: str) -> None:
        """Let a clone and its origin change places."""
        self._run("zfs", "promote", _checked(_DATASET, name))

    def rename(self, name: str, other: str) -> None:
        """Rename a dataset, or a snapshot within its dataset."""
        self._run("zfs", "rename", _named(name), _named(other))

    def mount(self, name: str) -> None:
        """Mount a dataset at its mountpoint."""
        self._run("zfs", "mount", _checked(_DATASET, name))

    def unmount(self, name: str) -> None:
        """Unmount a dataset from its mountpoint."""
        self._run("zfs", "unmount", _checked(_DATASET, name))

    def destroy(
        self, name: str, *, recursive: bool = False, clones: bool = False, missing_ok: bool = False
    ) -> None:
        """Destroy a dataset or snapshot.

        With ``recursive``, all below it and its snapshots; with ``clones``, whatever depends on
        them besides, wherever it is.
        """
        flags = [*_flag("-R", clones), *_flag("-r", recursive and not clones)]
        try:
            self._run("zfs", "destroy", *flags, _named(name), timeout=_DESTROY)
        except ZfsError as error:
            if not (missing_ok and _is_missing(error)):
                raise

    def wipe(self, name: str) -> None:
        """Destroy a dataset with all below it, however many, in a moment; it may be gone.

        All at once by a channel program, since each dataset costs ``zfs destroy`` a transaction
        group; where that is refused, by ``zfs destroy -r``, which then says why.
        """
        words = ["zfs", "program", *wiping.LIMITS, _named(name).partition("/")[0], "-", name]
        try:
            self._run(*words, stdin=wiping.PROGRAM, timeout=_DESTROY)
        except ZfsError:
            self.destroy(name, recursive=True, missing_ok=True)

    def send(self, snapshot: str, path: str, *, base: str = "") -> None:
        """Write the stream of a snapshot, or of what changed since ``base``, to a new file."""
        since = ["-i", _checked(_SNAPSHOT, base)] if base else []
        self._run("sh", "-c", _SEND, "sh", path, *since, _checked(_SNAPSHOT, snapshot))

    def receive(self, path: str, name: str) -> str:
        """Make a dataset, or its next snapshot, of a stream in a file; it is not mounted."""
        self._run("sh", "-c", _RECEIVE, "sh", path, "-u", _checked(_DATASET, name))
        return name

    # --- arranging: pools -------------------------------------------------------------------------

    def export_pool(self, pool: str | None = None, *, force: bool = False) -> None:
        """Export a pool, which unmounts what is in it."""
        self._run("zpool", "export", *_flag("-f", force), self._ours(pool))

    def import_pool(
        self, pool: str | None = None, *, readonly: bool = False, mount: bool = True
    ) -> None:
        """Import a pool that was exported; mounts what is to be mounted unless told otherwise."""
        pool = self._ours(pool)
        words = ["zpool", "import", "-o", "cachefile=none", *_flag("-N", not mount)]
        words += ["-o", "readonly=on"] if readonly else []
        for vdev in self.vdevs(pool):
            words += ["-d", vdev]
        self._run(*words, pool)

    @contextmanager
    def exported(self, pool: str | None = None, *, force: bool = False) -> Iterator[None]:
        """Export a pool for as long as the context lasts; it may be imported again earlier."""
        pool = self._ours(pool)
        self.export_pool(pool, force=force)
        try:
            yield
        finally:
            if pool not in self.pools():
                self.import_pool(pool)

    @contextmanager
    def second_pool(self, *, mirror: bool = False, size: int | None = None) -> Iterator[str]:
        """Make a further pool, like the run's, give its name, and destroy it with all in it.

        It is on the second empty disk where there is one; as a ``mirror``, or of a ``size`` (bytes,
        at least 64 MiB), it is on sparse files.
        """
        files = 2 if mirror else int(size is not None)
        made = self._ask(
            "extra_pool", timeout=TIMEOUT, workdir=self._host.workdir, files=files,
            size=SIZE if size is None else size,
        )  # fmt: skip
        name: str = made["name"]
        self._extra[name] = made["vdevs"]
        try:
            yield name
        finally:
            self._ask("drop_pool", timeout=TIMEOUT, workdir=self._host.workdir, name=name)
            del self._extra[name]

    @contextmanager
    def degraded(self, pool: str | None = None) -> Iterator[None]:
        """Let a pool be DEGRADED: its first vdev becomes a mirror, one half of which is offline."""
        pool = self._ours(pool)
        size = int(self._run("zpool", "get", "-Hp", "-o", "value", "size", pool))
        half = self._ask(
            "spare_vdev", workdir=self._host.workdir, name=f"{pool}-half", size=2 * size
        )
        try:
            self._run("zpool", "attach", pool, self.vdevs(pool)[0], half)
            try:
                self._run("zpool", "wait", "-t", "resilver", pool)
                self._run("zpool", "offline", pool, half)
                yield
            finally:
                self._run("zpool", "detach", pool, half)
        finally:
            self._host.remove(half)

    @contextmanager
    def injected(
        self, fault: Fault, pool: str | None = None, *, on: Literal["read", "write", "all"] = "all"
    ) -> Iterator[None]:
        """Let every access to a pool's first vdev fail (zinject(8)); needs the fact zfs_inject.

        Writes that fail suspend the pool, and whoever waits for them.
        """
        pool = self._ours(pool)
        vdev = self.vdevs(pool)[0]
        told = self._run("zinject", "-d", vdev, "-e", fault, "-T", on, "-f", "100", pool)
        handler = re.search(r"[Hh]andler (\d+)", told)
        if handler is None:
            raise ZfsError(None, f"zinject did not say which handler it added: {told!r}")
        try:
            yield
        finally:
            self._run("zinject", "-c", handler[1])
            with suppress(ZfsError):  # there may be nothing to clear
                self._run("zpool", "clear", pool)

    # --- both -----------------------------------------------------------------------------------

    def _ours(self, pool: str | None) -> str:
        return self.pool if pool is None else _checked(pools.NAME, pool)

    def _list(self, kinds: str, root: str, *depth: str) -> list[str]:
        words = ["zfs", "list", "-H", *(depth or ("-r",)), "-t", kinds, "-o", "name"]
        try:
            return self._run(*words, _named(root)).splitlines()
        except ZfsError as error:
            if _is_missing(error):
                return []
            raise

    def _run(self, *argv: str, stdin: str = "", timeout: float = TIMEOUT) -> str:
        try:
            done = self._host.run(
                argv, timeout=timeout, stdin=stdin.encode(), env={"LC_ALL": "C"}, cwd="/"
            )
        except OSError as error:
            raise ZfsError(None, f"{argv[0]}: {error.strerror}") from None
        if done.status != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise ZfsError(None, f"{' '.join(argv)}: {said or f'status {done.status}'}")
        return done.stdout.decode("utf-8", "surrogateescape")


def _is_missing(error: ZfsError) -> bool:
    return _MISSING in str(error.strerror)


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not like {pattern.pattern}")
    return text


def _named(name: str) -> str:
    """Return the name of a dataset or snapshot in one of our pools. Raises ValueError."""
    return _checked(_SNAPSHOT if "@" in name else _DATASET, name)


def _flag(flag: str, given: bool) -> Sequence[str]:  # noqa: FBT001 - it is the flag's own
    return [flag] if given else []


def _assigned(properties: Mapping[str, str] | None) -> list[str]:
    return [f"{_checked(_PROPERTY, one)}={value}" for one, value in (properties or {}).items()]


def _options(properties: Mapping[str, str] | None) -> list[str]:
    return [word for one in _assigned(properties) for word in ("-o", one)]
