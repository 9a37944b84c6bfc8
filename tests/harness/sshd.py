"""An SSH server of the tests' own on 127.0.0.1, for the user who runs them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness.address import Address

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/login.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""

#: One of an inventory.
HOST = """
[[hosts]]
host = "127.0.0.1"
port = {port}
user = "{user}"
key_file = "{key_file}"
host_key = "{host_key}"
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as one:
        return one.recv(4) == b"SSH-"
    return False


@contextlib.contextmanager
def server(folder: Path):
    """Give the Address of a server whose keys are in ``folder``, or skip and say why."""
    if PROGRAM is None:
        pytest.skip("no sshd on this machine (openssh-server)")
    for name in ("host", "login"):
        if not (folder / name).exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name],
                check=True,
            )
    port = free_port()
    config = folder / f"sshd-{port}"
    config.write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # where sshd confines itself; it must be there
    # As root, what targets mount on the "host" is for nobody else here to see: tests of the local
    # target, which run at the same time, would take it for their own leaks.
    apart = ["unshare", "--mount"] if os.geteuid() == 0 else []
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            [*apart, PROGRAM, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        (folder / "namespace").write_text(os.readlink(f"/proc/{process.pid}/ns/mnt"))
        yield Address(
            host="127.0.0.1",
            port=port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            key_file=folder / "login",
            host_key=(folder / "host.pub").read_text().strip(),
        )
    finally:
        process.terminate()
        process.wait()
