from __future__ import annotations

import hashlib
import json
import os

import pytest

from harness import pipes, transfer
from harness.errors import RemoteError


def test_a_file_is_replaced_and_keeps_its_mode(remote):
    path = f"{remote.workdir}/file"
    remote.put(b"long before", path)
    remote.run(["chmod", "640", path])
    remote.put(b"now", path)
    assert remote.get(path) == b"now"
    assert remote.run(["stat", "-c", "%a", path]).stdout == b"640\n"
    remote.put(b"", path)
    assert remote.get(path) == b""
    remote.run(["rm", path])


def test_a_new_file_has_the_usual_mode(remote):
    path = f"{remote.workdir}/new"
    remote.put(b"", path)
    assert remote.run(["stat", "-c", "%a", path]).stdout == b"644\n"
    remote.run(["rm", path])


def test_what_is_no_file_is_told_with_the_hosts_words(remote):
    with pytest.raises(RemoteError, match=r"cannot transfer /etc: Is a directory"):
        remote.get("/etc")
    with pytest.raises(RemoteError, match=r"cannot transfer /etc: Is a directory"):
        remote.put(b"x", "/etc")


def test_what_is_too_long_is_no_file_cut_off(remote, monkeypatch):
    path = f"{remote.workdir}/long"
    remote.put(b"x" * 2000, path)
    monkeypatch.setattr(pipes, "MAX_OUTPUT", 1000)
    with pytest.raises(RemoteError, match=r"long: it is too long"):
        remote.get(path)
    remote.run(["rm", path])


def test_damage_on_the_way_is_noticed_both_ways(remote, monkeypatch):
    path = f"{remote.workdir}/damaged"
    remote.put(b"content", path)
    honest = remote._transfer
    damaged = {"sha256": hashlib.sha256(b"damaged").hexdigest(), "size": 7}
    monkeypatch.setattr(remote, "_transfer", lambda *args: (damaged, honest(*args)[1]))
    with pytest.raises(RemoteError, match="it has another digest here"):
        remote.get(path)
    with pytest.raises(RemoteError, match="it has another digest there"):
        remote.put(b"content", path)
    remote.run(["rm", path])


def test_what_went_through_is_told_with_its_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    content, told = tmp_path / "content", tmp_path / "told"
    with content.open("wb") as stdout, told.open("wb") as stderr:
        child = os.fork()
        if child == 0:
            transfer.run({"get": str(tmp_path / "file")}, 0, stdout.fileno(), stderr.fileno())
        assert os.waitpid(child, 0)[1] == 0
    assert content.read_bytes() == (tmp_path / "file").read_bytes()
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    assert json.loads(told.read_bytes()) == {"sha256": digest, "size": 1_000_000}
