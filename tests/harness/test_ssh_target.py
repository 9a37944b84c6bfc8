from __future__ import annotations

import contextlib

import pytest

from harness import inventory
from harness.errors import TargetError
from harness.ssh_target import Source

from . import sshd
from .sshd import HOST


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """Start two hosts; return a Source of them, and what stops each."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(inventory, "MARKER", "/etc/passwd")
    stops, text = [], ""
    with contextlib.ExitStack() as all_:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            stop = all_.enter_context(contextlib.ExitStack())
            one = stop.enter_context(sshd.server(tmp_path / name))
            text += HOST.format(
                port=one.port, user=one.user, key_file=one.key_file, host_key=one.host_key
            )
            stops.append(stop)
        path = tmp_path / "inventory.toml"
        path.write_text(text)
        yield Source(str(path)), stops


def ports(source, count):
    found = []
    for _ in range(count):
        with source.connect(lambda _: None) as remote:
            assert remote.run(["true"]).status == 0
            found.append(remote.address.port)
    return found


def test_a_process_stays_on_its_host_until_that_dies(hosts):
    source, (stop, _) = hosts
    first, again = ports(source, 2)
    assert first == again
    stop.close()
    other, still = ports(source, 2)
    assert other == still != first


def test_a_host_that_others_use_is_not_taken_over(hosts):
    source, (stop, _) = hosts
    mine = ports(source, 1)[0]
    other = [host for host in source._hosts if host.port != mine]
    _, lock = inventory.lease(other)
    stop.close()
    with lock, pytest.raises(TargetError, match=rf"no connection to .*:{mine}"):
        source.connect(lambda _: None)
    assert ports(source, 1) == [other[0].port]


def test_a_host_that_never_answered_is_told_at_once(hosts):
    source, (stop, _) = hosts
    stop.close()
    with pytest.raises(TargetError, match="no connection to"):
        source.connect(lambda _: None)
    source.close()
