from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import link, mux, relay
from harness.errors import RemoteError, RemoteTimeoutError, TargetError
from harness.fabric_remote import FabricRemote

from . import sshd
from .proxy import Proxy


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def proxy(ssh_address):
    with Proxy(ssh_address.port) as between:
        yield between


@pytest.fixture
def address(ssh_address, proxy):
    return dataclasses.replace(ssh_address, port=proxy.port)


@pytest.fixture
def doomed(address):
    """A remote that does not live to the end of the test."""
    try:
        remote = FabricRemote(address)
    except TargetError as error:
        pytest.skip(f"no target over ssh on this machine: {error}")
    yield remote
    with contextlib.suppress(RemoteError):
        remote.close()


def processes(directory):
    """Return the relay, the keeper and the inner one of a target, which run on this machine.

    The last two have the lock of the directory.
    """
    own = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and directory in {
                os.readlink(one) for one in (entry / "fd").iterdir()
            }:
                status = (entry / "status").read_text()
                own[int(entry.name)] = int(status.partition("PPid:")[2].split()[0])
    keeper = next(pid for pid, parent in own.items() if parent not in own)
    return own[keeper], keeper, next(pid for pid, parent in own.items() if parent == keeper)


def start_what_would_stay(remote):
    remote.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    assert sleepers(remote)


def sleepers(remote):
    """Return the processes on this machine that were started in a target's surroundings."""
    found = []
    mark = f"TMPDIR={remote.workdir}/".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


def gone(remote):
    directory = str(Path(remote.workdir).parent)
    return (
        not sleepers(remote)
        and not Path(directory).exists()
        and directory not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    )


# --- who is talked to ----------------------------------------------------------------------------


def test_a_host_with_another_key_is_not_talked_to(ssh_address, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "k"], check=True
    )
    other = dataclasses.replace(ssh_address, host_key=(tmp_path / "k.pub").read_text())
    with pytest.raises(
        TargetError, match=r"has another host key than .*: ssh-ed25519 AAAA"
    ) as told:
        FabricRemote(other)
    assert ssh_address.host_key.split()[1] in str(told.value)


@pytest.mark.parametrize("key", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "moon AAAA", "ssh-rsa !"])
def test_a_malformed_host_key_is_told(ssh_address, key):
    with pytest.raises(TargetError, match=r"the host key .* is none"):
        FabricRemote(dataclasses.replace(ssh_address, host_key=key))


def test_a_key_that_does_not_let_us_in_is_told(ssh_address, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "k"], check=True
    )
    with pytest.raises(TargetError, match=r"does not let us in with .*/k; its public half"):
        FabricRemote(dataclasses.replace(ssh_address, key_file=tmp_path / "k"))
    with pytest.raises(TargetError, match=r"no connection to .*No such file"):
        FabricRemote(dataclasses.replace(ssh_address, key_file=tmp_path / "missing"))


def test_where_nobody_answers_is_told(ssh_address):
    with pytest.raises(TargetError, match=r"no connection to .*: .*onnect"):
        FabricRemote(dataclasses.replace(ssh_address, port=sshd.free_port()))


def test_nothing_of_the_users_takes_part(ssh_address, tmp_path, monkeypatch):
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "config").write_text("Host *\n  HostName 192.0.2.1\n  ProxyCommand false\n")
    (folder / "known_hosts").write_text("* ssh-ed25519 AAAA\n")
    (tmp_path / ".fabric.yaml").write_text("gateway: nowhere\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
    with FabricRemote(ssh_address) as remote:
        assert remote.run(["true"]).status == 0
    assert (folder / "known_hosts").read_text() == "* ssh-ed25519 AAAA\n"


def test_an_interpreter_for_the_subject_must_be_there(ssh_address):
    with pytest.raises(TargetError, match="has no /no/python for the subject"):
        FabricRemote(dataclasses.replace(ssh_address, python="/no/python"))
    with FabricRemote(dataclasses.replace(ssh_address, python="/bin/sh")) as remote:
        assert remote.python == "/bin/sh"


def test_what_the_host_says_when_there_is_no_python_is_told(ssh_address, monkeypatch):
    monkeypatch.setattr(link, "_BOOTSTRAP", "import sys; sys.exit('python3: not found')")
    with pytest.raises(TargetError, match=r"the connection to .* has ended: python3: not found"):
        FabricRemote(ssh_address)


# --- many things at once -------------------------------------------------------------------------


def test_who_is_not_read_holds_up_nobody_and_takes_little_memory(ssh_remote):
    flood = ssh_remote.start(["sh", "-c", "cat /dev/zero & exec cat /dev/zero >&2"])
    deaf = ssh_remote.start(["sleep", "1000"])
    with pytest.raises(RemoteTimeoutError):
        deaf.send_line(b"x" * 10_000_000, timeout=0.5)
    data = os.urandom(3_000_000)
    for _ in range(3):
        assert ssh_remote.run(["cat"], stdin=data).stdout == data
    served = ssh_remote._link
    assert max(len(sink.waiting) for sink in served._sinks.values()) <= mux.WINDOW
    assert len(served._out) + len(served._in) < 4 * mux.WINDOW
    for one in (flood, deaf):
        one.close(timeout=0.0)


def test_many_talk_at_once_and_none_is_mixed_up(ssh_remote):
    failed = []

    def talk(number):
        with ssh_remote.start(["cat"]) as channel:
            for count in range(50):
                line = b"%d %d " % (number, count) + b"x" * (count * 2000)
                channel.send_line(line)
                if channel.read_line(60) != line:
                    failed.append((number, count))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# --- the network, and what may die ---------------------------------------------------------------


def test_a_network_that_is_cut_for_a_while_does_no_harm(doomed, proxy):
    with doomed.start(["cat"]) as channel:
        proxy.cut()
        threading.Timer(3.0, proxy.mend).start()
        channel.send_line(b"after the cut")
        assert channel.read_line(60) == b"after the cut"
    assert doomed.run(["true"]).status == 0


def test_a_network_that_stays_cut_is_an_error_soon(address, proxy, monkeypatch):
    monkeypatch.setattr(link, "PING", 0.2)
    monkeypatch.setattr(link, "SILENCE", 5.0)
    remote = FabricRemote(address)
    channel = remote.start(["cat"])
    proxy.cut()
    with pytest.raises(RemoteError, match=r"no sign of life for 5 s") as told:
        channel.read_line(60)
    assert not isinstance(told.value, RemoteTimeoutError)
    with pytest.raises(RemoteError, match=r"no sign of life"):
        remote.run(["true"])
    proxy.mend()
    assert wait_until(lambda: gone(remote)), "the host has noticed, and taken everything away"
    remote.close()


def test_when_the_connection_breaks_everything_says_so_and_nothing_stays(doomed, proxy):
    path = f"{doomed.workdir}/file"
    start_what_would_stay(doomed)
    talking, ending = doomed.start(["cat"]), doomed.start(["sleep", "1000"])
    proxy.break_all()
    with pytest.raises(RemoteError, match=r"connection to .* has ended"):
        talking.read_line(60)
    with pytest.raises(RemoteError, match=r"connection to .* has ended"):
        ending.finish(timeout=60)
    with pytest.raises(RemoteError, match=r"connection to .* has ended"):
        talking.send_line(b"x" * 1_000_000)
    talking.close()
    for action in (
        lambda: doomed.run(["true"]),
        lambda: doomed.put(b"", path),
        lambda: doomed.get(path),
    ):
        with pytest.raises(RemoteError, match=r"connection to .* has ended"):
            action()
    assert wait_until(lambda: gone(doomed))
    doomed.close()


@pytest.mark.parametrize("victim", ["relay", "keeper", "inner"])
def test_whichever_of_ours_is_killed_on_the_host_nothing_stays(doomed, victim):
    start_what_would_stay(doomed)
    directory = str(Path(doomed.workdir).parent)
    pid = dict(zip(("relay", "keeper", "inner"), processes(directory), strict=True))[victim]
    with doomed.start(["sleep", "1000"]) as channel:
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(RemoteError):
            channel.finish(timeout=60)
    with pytest.raises(RemoteError):
        doomed.run(["true"])
    doomed._drop()
    assert wait_until(lambda: gone(doomed))


def test_what_they_left_when_all_were_killed_at_once_is_swept_by_the_next(doomed, ssh_address):
    start_what_would_stay(doomed)
    for pid in processes(str(Path(doomed.workdir).parent)):
        os.kill(pid, signal.SIGKILL)
    doomed._drop()
    with FabricRemote(ssh_address) as remote:
        assert wait_until(lambda: gone(doomed))
        assert remote.run(["true"]).status == 0


def test_reconnecting_makes_a_fresh_target_and_the_old_one_goes(doomed):
    old, channel = doomed.workdir, doomed.start(["cat"])
    doomed.put(b"", f"{old}/file")
    doomed.reconnect()
    with pytest.raises(RemoteError):
        channel.read_line(60)
    assert doomed.workdir != old
    assert doomed.run(["ls"]).stdout == b"home\ntmp\n"
    assert doomed.pids() == frozenset()
    assert wait_until(lambda: not Path(old).parent.exists())


def test_closing_leaves_nothing_on_the_host(ssh_address):
    remote = FabricRemote(ssh_address)
    start_what_would_stay(remote)
    left = f"{remote.workdir}/left"
    assert remote.run(["sh", "-c", 'mkdir "$0" && mount -t tmpfs x "$0"', left]).status == 0
    remote.close()
    assert gone(remote)
    remote.close()
    with pytest.raises(RemoteError, match="is closed"):
        remote.run(["true"])


def test_what_is_given_back_at_the_end_is_given_back_once(ssh_address):
    given_back = []
    remote = FabricRemote(ssh_address, released=lambda: given_back.append("it"))
    remote.close()
    remote.close()
    assert given_back == ["it"]


# --- what is there -------------------------------------------------------------------------------


def test_root_is_on_the_host_itself_and_others_are_in_namespaces(ssh_remote):
    namespace = ssh_remote.run(["readlink", "/proc/self/ns/mnt"]).stdout.decode().strip()
    is_root = os.geteuid() == 0
    assert ssh_remote.facts["direct"] == is_root
    servers = (ssh_remote.address.key_file.parent / "namespace").read_text()
    assert (namespace == servers) == is_root
    assert ssh_remote.installs == (relay.INSTALLS if is_root else f"{ssh_remote.workdir}/installed")


def test_programs_of_the_administrator_are_found(ssh_remote):
    path = ssh_remote.run(["sh", "-c", "echo $PATH"]).stdout.decode().strip().split(":")
    assert {"/usr/sbin", "/sbin"} <= set(path)
    assert not [one for one in ssh_remote.run(["env"]).stdout.split() if one.startswith(b"SSH_")]
