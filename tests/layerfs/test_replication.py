"""Sending and receiving where there is no ZFS; with it, by the clauses ZFS-060 to ZFS-069."""

import io
import os
import pty
import subprocess

import pytest

from layerfs.errors import UnsupportedError
from layerfs.store import LayerFS

from .command import COMMAND, environment, run
from .recipes import PLAIN, tar

A = tar({"a": b"a" * 99})


def add(store, blob):
    return store.add_layer(io.BytesIO(blob), PLAIN).digest


def test_a_store_without_zfs_neither_sends_nor_receives(tmp_path):
    with LayerFS.open(tmp_path / "store") as store:
        digest = add(store, A)
        with pytest.raises(UnsupportedError, match="in directories"):
            store.send([digest], tmp_path / "file")
        with pytest.raises(UnsupportedError):
            store.receive(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    for words in (["send", digest, "--output", tmp_path / "file"], ["receive", tmp_path / "file"]):
        assert "stores on ZFS" in run(*words, "--root", tmp_path / "store", status=11)[1]


@pytest.mark.parametrize("words", [["send", "0123456789"], ["receive"]])
def test_a_terminal_is_no_place_for_a_stack(tmp_path, words):
    run("--root", tmp_path / "store", "init")
    with LayerFS.open(tmp_path / "store") as store:
        digest = add(store, A)
    if words[0] == "send":
        words = ["send", digest]
    controller, terminal = pty.openpty()
    done = subprocess.run(
        [*COMMAND, *words, "--root", str(tmp_path / "store")],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=environment(), check=False,
    )  # fmt: skip
    os.close(controller)
    os.close(terminal)
    assert (done.returncode, b"a terminal" in done.stderr) == (10, True)
