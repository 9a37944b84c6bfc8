from __future__ import annotations

import os
from pathlib import Path

from harness import workplace


def test_a_directory_is_locked_while_it_lives_and_swept_when_nobody_holds_it(tmp_path):
    alive, lock = workplace.make(str(tmp_path))
    dead, let_go = workplace.make(str(tmp_path))
    os.close(let_go)
    Path(workplace.work(dead), "left").mkdir()
    assert workplace.lock(alive) is None
    workplace.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == [os.path.basename(alive)]
    os.close(lock)


def test_only_our_own_directories_are_swept(tmp_path):
    strange = [tmp_path / "layerfs", tmp_path / "other", tmp_path / "a-layerfs-target-1"]
    for path in strange:
        path.mkdir()
    link = tmp_path / f"{workplace.PREFIX}link"
    link.symlink_to(strange[0])
    workplace.sweep(str(tmp_path))
    assert all(path.is_dir() for path in strange)
    assert link.is_symlink()


def test_what_another_run_removes_meanwhile_needs_no_sweeping(tmp_path, monkeypatch):
    swept = tmp_path / f"{workplace.PREFIX}swept"
    gone = tmp_path / f"{workplace.PREFIX}gone"
    swept.mkdir()
    monkeypatch.setattr(workplace.glob, "glob", lambda *_: [str(gone), str(swept)])
    workplace.sweep(str(tmp_path))
    assert not swept.exists()
