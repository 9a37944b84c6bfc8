from __future__ import annotations

import threading

import pytest

from harness.errors import RemoteError
from harness.local_remote import LocalRemote


def test_a_request_may_be_larger_than_a_packet(remote):
    text = "x" * 100_000
    env = {f"BIG{n}": text for n in range(10)}
    done = remote.run(["sh", "-c", 'printf %s "${#0} ${#BIG7}"', text], env=env)
    assert done.stdout == b"100000 100000"


def test_what_cannot_be_started_is_an_error_like_any_other(remote):
    with pytest.raises(FileNotFoundError):
        remote.run(["/no/such/program"])
    with pytest.raises(FileNotFoundError) as caught:
        remote.run(["true"], cwd="/no/such/directory")
    assert caught.value.filename == "/no/such/directory"
    with pytest.raises(PermissionError):
        remote.run(["/etc/passwd"])
    assert remote.run(["true"]).status == 0


def test_a_command_starts_with_clean_signals_and_no_stray_descriptors(remote):
    status = remote.run(["cat", "/proc/self/status"]).stdout.decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    # Python itself ignores SIGPIPE and SIGXFSZ; a command must not.
    assert {int(masks[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")} == {0}
    listed = remote.run(["ls", "/proc/self/fd"]).stdout.split()
    assert listed == [b"0", b"1", b"2", b"3"]  # the last is ls's own


def test_a_command_leads_a_session_of_its_own(remote):
    done = remote.run(["sh", "-c", "ps -o pid=,pgid=,sid= $$"])
    pid, group, session = done.stdout.split()
    assert pid == group == session


def test_orphans_are_reaped(remote):
    script = "sh -c 'sleep 0.05 & echo $!'"
    orphan = remote.run(["sh", "-c", script]).stdout.decode().strip()
    gone = f"while test -e /proc/{orphan}; do sleep 0.01; done"
    assert remote.run(["sh", "-c", gone], timeout=20).status == 0


def test_commands_from_many_threads_do_not_mix(remote):
    found = {}

    def ask(number):
        for _ in range(10):
            done = remote.run(["sh", "-c", "cat; exit $0", str(number)], stdin=b"%d" % number)
            found.setdefault(number, set()).add((done.status, done.stdout))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: {(number, b"%d" % number)} for number in range(8)}


def test_a_signal_for_a_process_that_is_not_ours_is_not_sent(remote):
    script = "sleep 1000 >/dev/null 2>&1 & echo $!"
    stranger = int(remote.run(["sh", "-c", script]).stdout)
    remote._signal(stranger, 9)
    assert remote.run(["test", "-e", f"/proc/{stranger}"]).status == 0
    remote.run(["kill", str(stranger)])


def test_a_target_that_dies_is_told_from_a_command_that_fails():
    with LocalRemote() as doomed:
        with doomed.start(["sleep", "1000"]) as channel:
            doomed._site.keeper.kill()
            with pytest.raises(RemoteError, match="the local target has died"):
                channel.finish(timeout=20)
        with pytest.raises(RemoteError, match=r"the local target has (gone|died)"):
            doomed.run(["true"])
