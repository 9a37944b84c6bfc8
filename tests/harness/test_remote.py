"""What harness.remote promises, held against every kind; more in test_pipes and test_agent."""

from __future__ import annotations

import pytest

from harness.errors import RemoteError, RemoteTimeoutError


def test_a_command_is_root_in_there_and_works_in_the_work_directory(remote):
    done = remote.run(["sh", "-c", "id -u; pwd; echo $TMPDIR; echo $HOME"])
    workdir = remote.workdir
    assert done.stdout.decode().split() == ["0", workdir, f"{workdir}/tmp", f"{workdir}/home"]


def test_files_go_in_and_out_whole(remote):
    data = bytes(range(256)) * 20_000
    path = f"{remote.workdir}/a file"
    remote.put(data, path)
    assert remote.get(path) == data
    remote.run(["rm", path])
    with pytest.raises(RemoteError, match=r"cannot transfer .*a file: .*No such file"):
        remote.get(path)
    with pytest.raises(RemoteError, match=r"cannot transfer /no/where"):
        remote.put(b"", "/no/where")


def test_a_time_out_names_the_command(remote):
    with pytest.raises(RemoteTimeoutError, match=r"^sleep: the command did not end in 0\.2 s"):
        remote.run(["sleep", "1000"], timeout=0.2)


def test_what_runs_is_known_by_its_number_in_there(remote):
    before = remote.pids()
    with remote.start(["sh", "-c", "echo $$; cat"]) as channel:
        assert channel.read_line(10) == str(channel.pid).encode()
        assert remote.pids() - before == {channel.pid}
    assert remote.pids() == before
