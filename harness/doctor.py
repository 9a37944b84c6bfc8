"""What this machine can run, what it lacks, and the command that mends it.

Nothing is guessed that can be tried: namespaces and mounts are made, in a child process which takes
them with it. Nothing of the machine is changed. What disposable machines need is looked at by
:mod:`harness.vmdoctor`.
"""

from __future__ import annotations

import os
import platform
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from harness import target, vmdoctor
from harness.errors import HarnessError, RemoteError
from harness.finding import Finding, install_command, sudo

_TIMEOUT: Final = 30.0
#: Hides the current folder below an empty file system, in the namespace only.
_TMPFS: Final = 'mount -t tmpfs none . && cd "$PWD"'


def examine() -> list[Finding]:
    """Look at everything. Never raises for what is missing: that is what it reports."""
    looks: Sequence[Callable[[], Finding]] = (
        _python,
        _kernel,
        _overlay,
        _namespace,
        _id_range,
        _tmpfs_xattrs,
        lambda: _tool("skopeo", "reads exported images, to compare"),
        lambda: _tool("umoci", "builds and unpacks real images, to compare"),
        lambda: _tool("mmdebstrap", "builds the real image (as root, with apt)"),
        _local_target,
    )
    return [*(look() for look in looks), *vmdoctor.examine()]


def able(findings: Sequence[Finding]) -> bool:
    """Return whether the local target can run."""
    return all(finding.status != "missing" for finding in findings)


def _python() -> Finding:
    # An older one than the package asks for could not even read this module.
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _kernel() -> Finding:
    release = os.uname().release
    if _release(release) >= (5, 12):
        return Finding("kernel", "ok", release)
    return Finding(
        "kernel",
        "missing",
        f"{release}; openat2, the mount API and overlayfs in user namespaces need 5.12",
        "boot a newer kernel",
    )


def _release(text: str) -> tuple[int, ...]:
    numbers = text.split("-", 1)[0].split(".")[:2]
    return tuple(int(part) for part in numbers if part.isdigit())


def _overlay() -> Finding:
    failure = _in_namespace(f"{_TMPFS} && mkdir a b m && mount -t overlay -o lowerdir=a:b none m")
    if failure is None:
        return Finding("overlayfs", "ok", "mounted one")
    if "overlay" in Path("/proc/filesystems").read_text().split():
        return Finding("overlayfs", "missing", failure, "mend the namespaces first")
    return Finding("overlayfs", "missing", failure, sudo("modprobe overlay"))


def _namespace() -> Finding:
    name = "namespaces" if os.geteuid() == 0 else "user namespaces"
    failure = _in_namespace(_TMPFS)
    if failure is None:
        return Finding(name, "ok", "made one, and mounted in it")
    knobs = {
        "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
        "kernel.unprivileged_userns_clone": ("0", "1"),
        "user.max_user_namespaces": ("0", "15000"),
    }
    for knob, (bad, good) in knobs.items():
        if _sysctl(knob) == bad:
            return Finding(name, "missing", f"{knob} is {bad}", sudo(f"sysctl -w {knob}={good}"))
    return Finding(
        name, "missing", failure, "docker run --privileged, or a machine that permits unshare(2)"
    )


def _id_range() -> Finding:
    name = "id range"
    if os.geteuid() == 0:
        return Finding(name, "ok", "root has all ids")
    if shutil.which("newuidmap") is None:
        return Finding(
            name, "lacking", "newuidmap is missing: only one id", install_command("uidmap")
        )
    user = pwd.getpwuid(os.geteuid()).pw_name
    for file in ("/etc/subuid", "/etc/subgid"):
        if not _listed(Path(file), user):
            command = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            return Finding(name, "lacking", f"{file} has no range for {user}", sudo(command))
    return Finding(name, "ok", f"newuidmap gives {user} a range")


def _listed(file: Path, user: str) -> bool:
    try:
        owners = [line.split(":", 1)[0] for line in file.read_text().splitlines()]
    except OSError:
        return False
    return user in owners or str(os.geteuid()) in owners


def _tmpfs_xattrs() -> Finding:
    probe = "import os; os.setxattr('.', 'user.doctor', b'x')"
    failure = _in_namespace(f'{_TMPFS} && {shlex.quote(sys.executable)} -c "{probe}"')
    if failure is None:
        return Finding("tmpfs xattrs", "ok", "user attributes on tmpfs")
    return Finding(
        "tmpfs xattrs",
        "lacking",
        "no user attributes on tmpfs (needs Linux 6.6): a directory on disk serves instead",
    )


def _tool(name: str, use: str) -> Finding:
    path = shutil.which(name)
    if path is not None:
        return Finding(name, "ok", path)
    return Finding(name, "lacking", f"missing; it {use}", install_command(name))


def _local_target() -> Finding:
    try:
        target.connect("local").close()
    except (RemoteError, HarnessError, OSError) as error:
        return Finding("local target", "missing", str(error), "mend what is marked above")
    return Finding("local target", "ok", "made and taken away")


def _in_namespace(script: str) -> str | None:
    """Run a script in a new mount namespace and folder; return what went wrong, or None."""
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    try:
        with tempfile.TemporaryDirectory(prefix="layerfs-doctor-") as folder:
            done = subprocess.run(
                ["unshare", *options, "sh", "-ec", script],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[0] if lines else f"unshare ended with status {done.returncode}"


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return None
