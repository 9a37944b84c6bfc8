"""Makes the surroundings of a target, keeps them, and takes everything away at the end.

Two processes: the *keeper* stays where its parent is (in its user namespace's child, where there
is one) and removes the directory when all is over; the *inner* one lives in the new mount and
pid namespace, makes the mounts, and serves commands (:mod:`harness.agent`). As pid 1 of its
namespace it takes every other process along when it dies, and with the last process the mounts go.
It dies when the harness closes its end of the socket, also by being killed, and when the keeper
dies (parent-death signal).

On a host that is itself disposable no namespace is made (``direct``), so that what is seen there is
what a service of that host sees. There both processes adopt whatever is orphaned below them, kill
it at the end, and the keeper unmounts what is left below the directory.

Standard library only and fit for Python 3.9, and little of it: where a process starts slowly, what
is imported counts most.

Sources: user_namespaces(7), pid_namespaces(7), mount_namespaces(7), mount_setattr(2).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from harness import agent, census, kernel, probes, workplace

#: What is in every work directory: for temporary files, and in place of the user's home.
PRIVATE: Final = ("tmp", "home")
_OK: Final = 0


class Wanted(NamedTuple):
    """What the harness asks for; descriptors by number, inherited."""

    control: int
    ready: int
    directory: str  #: see :mod:`harness.workplace`
    user_namespace: bool
    cover: list[str]
    protect: bool
    direct: bool


class Made:
    """What could be made: the transport's part of the host's facts, when they are ``vars``."""

    def __init__(self, *, user_namespace: bool, direct: bool = False) -> None:
        self.user_namespace = user_namespace
        self.direct = direct  #: no namespaces: commands run on the host itself
        self.pid_namespace = False
        self.protected = False  #: everything outside the work directory is read-only
        self.workdir_kind = "tmpfs"
        self.covered: list[str] = []
        self.notes: list[str] = []  #: what could not be made, and why


def main(text: str) -> NoReturn:
    """Run the keeper; never returns. ``text`` is a :class:`Wanted` in JSON."""
    wanted = Wanted(**json.loads(text))
    made = Made(user_namespace=wanted.user_namespace, direct=wanted.direct)
    try:
        if not made.direct:
            _enter_user_namespace(wanted, made)
            refusal = _attempt(_try_pid_namespace)
            made.pid_namespace = refusal == _OK
            if not made.pid_namespace:
                made.notes.append(f"no pid namespace of its own: {os.strerror(refusal)}")
        if made.pid_namespace:
            kernel.unshare(kernel.CLONE_NEWPID)
        else:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        inner = os.fork()
    except OSError as error:
        _say(wanted.ready, {"error": _explain(error, made)})
        sys.exit(1)
    if inner == 0:
        _inner(wanted, made)
    os.close(wanted.control)
    os.close(wanted.ready)
    os.waitpid(inner, 0)
    if not made.pid_namespace:
        agent.kill_descendants()
    workplace.clear(wanted.directory)
    sys.exit(0)


def _inner(wanted: Wanted, made: Made) -> NoReturn:
    """Make the mounts, tell the harness, and serve until it goes."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.umask(0o022)
        if not made.direct:
            kernel.unshare(kernel.CLONE_NEWNS)
            _make_mounts(wanted, made)
        workdir = workplace.work(wanted.directory)
        _make_workdir(workdir, made)
        for name in PRIVATE:
            os.mkdir(os.path.join(workdir, name))
        if not made.pid_namespace:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    except OSError as error:
        _say(wanted.ready, {"error": _explain(error, made)})
        os._exit(1)
    _say(wanted.ready, vars(made))
    os.close(wanted.ready)
    with socket.socket(fileno=wanted.control) as control:
        agent.Agent(control).serve()
    if not made.pid_namespace:
        agent.kill_descendants()
    os._exit(0)


def _enter_user_namespace(wanted: Wanted, made: Made) -> None:
    """Become root of a new user namespace, where one is needed to make mounts.

    The harness writes the id maps, since newuidmap(1) must be run from outside; where it cannot, it
    says so, and the one id that any process may map is mapped here.
    """
    if not made.user_namespace:
        if _attempt(lambda: kernel.unshare(kernel.CLONE_NEWNS)) == _OK:
            return
        made.user_namespace = True  # root of a container that may not mount
        made.notes.append("root here may not make mounts: a user namespace is used")
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    _say(wanted.ready, {"unshared": True})
    mapped = os.read(wanted.ready, 1)
    if not mapped:
        sys.exit(1)  # the harness has gone
    if mapped == b"0":
        # user_namespaces(7): without privilege outside, setgroups must be given up first.
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"),
        ):  # fmt: skip
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    else:
        os.setgroups([])


def _make_mounts(wanted: Wanted, made: Made) -> None:
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    if made.pid_namespace:
        kernel.mount("proc", "/proc", "proc", quiet | kernel.MS_NOEXEC)
    if wanted.protect:
        try:
            kernel.set_readonly("/", readonly=True, recursive=True)
            kernel.set_readonly("/proc", readonly=False, recursive=False)
            made.protected = True
        except OSError as error:
            made.notes.append(f"the machine's own files are not protected: {error.strerror}")
    for path, mode in (("/dev/shm", "1777"), ("/run", "0755")):  # noqa: S108 - they are covered
        if path in wanted.cover:
            try:
                kernel.mount("tmpfs", path, "tmpfs", quiet, f"mode={mode}")
                made.covered.append(path)
            except OSError as error:
                made.notes.append(f"{path} is not private: {error.strerror}")


def _make_workdir(workdir: str, made: Made) -> None:
    """Mount a tmpfs there, unless only the directory below it can bear what overlayfs needs."""
    kernel.mount("tmpfs", workdir, "tmpfs", 0, "mode=0755")
    refusal = probes.unfit(workdir)
    if refusal is None:
        return
    kernel.umount(workdir)
    _bind(workdir)
    if made.protected:
        kernel.set_readonly(workdir, readonly=False, recursive=False)
    if probes.unfit(workdir) is None:
        made.workdir_kind = "disk"
        made.notes.append(f"the work directory is on disk, since tmpfs cannot: {refusal}")
        return
    kernel.umount(workdir)
    kernel.mount("tmpfs", workdir, "tmpfs", 0, "mode=0755")


def _bind(workdir: str) -> None:
    """Bind a directory upon itself, and let it share what is mounted in it as any new mount does.

    A bind mount shares with what it is bound from: all would be mounted twice in the same place.
    """
    kernel.mount(workdir, workdir, None, kernel.MS_BIND)
    bound = next(one for one in reversed(census.mountinfo()) if one["target"] == workdir)
    if any(word.startswith("shared:") for word in bound["propagation"]):
        kernel.mount(None, workdir, None, kernel.MS_PRIVATE)
        kernel.mount(None, workdir, None, kernel.MS_SHARED)


def _try_pid_namespace() -> None:
    """Raise what the kernel says to a pid namespace with its own /proc, as a container may."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    refusal = _attempt(lambda: kernel.mount("proc", "/proc", "proc"))
    if refusal != _OK:
        raise OSError(refusal, os.strerror(refusal))


def _attempt(action: Callable[[], None]) -> int:
    """Do ``action`` in a child, where it changes nothing here, and return its errno or 0."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except OSError as error:
            os._exit(error.errno or errno.EIO)
        os._exit(_OK)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _explain(error: OSError, made: Made) -> str:
    """Return the fact and the remedy, on one line."""
    where = f" at {error.filename}" if error.filename else ""
    fact = f"the kernel refuses a disposable namespace{where}: {error.strerror}"
    for setting, bad, remedy in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "=0"),
        ("kernel/unprivileged_userns_clone", "0", "=1"),
        ("user/max_user_namespaces", "0", "=10000"),
    ):
        with contextlib.suppress(OSError):
            with open(f"/proc/sys/{setting}", encoding="ascii") as file:
                is_bad = file.read().strip() == bad
            if made.user_namespace and is_bad:
                name = setting.replace("/", ".")
                return f"{fact}; remedy: sudo sysctl -w {name}{remedy}, or run as root"
    return f"{fact}; remedy: run as root, or allow user namespaces"


def _say(ready: int, what: dict[str, Any]) -> None:
    os.write(ready, json.dumps(what).encode() + b"\n")
