import os
import subprocess

import pytest

from harness.errors import TargetError
from harness.filelock import FileLock, is_free, take


def test_a_lock_is_free_after_its_release_and_not_before(tmp_path):
    path = tmp_path / "lock"
    assert is_free(path)
    with FileLock(path):
        assert not is_free(path)
        with pytest.raises(BlockingIOError):
            FileLock(path, shared=True)
    assert is_free(path)


def test_shared_locks_live_together_and_keep_an_exclusive_one_out(tmp_path):
    path = tmp_path / "lock"
    with FileLock(path, shared=True), FileLock(path, shared=True):
        assert not is_free(path)
    assert is_free(path)


def test_a_child_that_inherits_it_holds_the_lock_until_it_ends(tmp_path):
    lock = FileLock(tmp_path / "lock")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as child:
        lock.release()
        lock.release()
        assert not is_free(tmp_path / "lock")
        child.communicate()
    assert is_free(tmp_path / "lock")


def test_a_directory_can_be_locked(tmp_path):
    with FileLock(tmp_path):
        assert not is_free(tmp_path)


def test_a_symlink_is_not_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(tmp_path / "link")
    assert not os.path.lexists(tmp_path / "elsewhere")


def test_what_was_waited_for_is_said(tmp_path):
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(TargetError, match=r"^the harbour was not free after 0 s \(.*/lock is lock"),
    ):
        take(tmp_path / "lock", "the harbour", wait=0)
