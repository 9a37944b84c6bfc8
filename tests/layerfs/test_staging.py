import fcntl
import os
import signal
import threading
import time

import pytest

from layerfs.errors import MetadataError, PathError
from layerfs.staging import Staging, exclusive


@pytest.fixture
def staging(tmp_path):
    (tmp_path / "staging").mkdir()
    return Staging(tmp_path / "staging")


def forked(body):
    """Run ``body`` in a child that then waits to be killed; return its process id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        body()
        os.write(writer, b"!")
        signal.pause()
    os.read(reader, 1)
    return child


def test_an_operation_leaves_nothing_behind(staging):
    with staging.operation() as operation:
        operation.intend("add", digest="x")
        (operation.new_tree() / "file").write_text("x")
        operation.trash.joinpath("more").mkdir()
        operation.sync()
        assert operation.intent() == {"kind": "add", "digest": "x"}
    assert os.listdir(staging.path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_operation_that_fails_leaves_nothing_behind(staging, error):
    def fail():
        with staging.operation() as operation:
            operation.blob.write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(staging.path) == []


def test_a_living_operation_is_not_dead(staging):
    with staging.operation() as operation:
        assert staging.alive(operation.id)
        assert staging.dead() == []
    assert not staging.alive(operation.id)


def test_an_operation_dies_with_its_process(staging):
    child = forked(lambda: staging._begin().intend("add", digest="x"))
    (name,) = os.listdir(staging.path)
    assert staging.alive(name)
    assert staging.dead() == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not staging.alive(name)
    (dead,) = staging.dead()
    assert dead.intent() == {"kind": "add", "digest": "x"}
    assert staging.dead() == [], "taken over once only"
    dead.end()
    dead.end()
    assert os.listdir(staging.path) == []


def test_a_directory_without_a_lock_file_is_dead(staging):
    (staging.path / "0123").mkdir()
    for operation in staging.dead():
        operation.end()
    assert os.listdir(staging.path) == []


def test_what_is_left_to_recovery_stays(staging):
    with staging.operation() as operation:
        operation.intend("remove")
        operation.leave_to_recovery()
    (again,) = staging.dead()
    assert again.intent() == {"kind": "remove"}
    again.end()


def test_a_damaged_intent_is_told(staging):
    with staging.operation() as operation:
        (operation.path / "intent.json").write_text("[]")
        with pytest.raises(MetadataError, match=r"intent\.json"):
            operation.intent()


def test_a_new_intent_replaces_the_former(staging):
    with staging.operation() as operation:
        operation.intend("stack", created_target=True)
        operation.intend("stack", durable=True, created_target=False)
        assert operation.intent() == {"kind": "stack", "created_target": False}
        operation.settle()
        assert operation.intent() is None


def test_a_beginner_waits_while_the_dead_are_looked_for(staging):
    with staging._guard(fcntl.LOCK_EX):
        begun = threading.Event()

        def begin():
            with staging.operation():
                begun.set()

        thread = threading.Thread(target=begin)
        thread.start()
        assert not begun.wait(0.1)
    thread.join()
    assert begun.is_set()


def test_staging_that_is_gone_is_a_path_error(staging):
    staging.path.rmdir()
    with pytest.raises(PathError), staging.operation():
        pass


def test_the_stores_lock_is_held_by_one_at_a_time(tmp_path):
    inside = []

    def run(name):
        with exclusive(tmp_path / "lock"):
            inside.append(name)
            assert len(inside) == 1
            time.sleep(0.01)  # long enough for the others to come in, if they could
            inside.remove(name)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


def test_the_stores_lock_goes_with_its_process(tmp_path):
    def hold():
        manager = exclusive(tmp_path / "lock")
        manager.__enter__()
        globals()["kept"] = manager

    child = forked(hold)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with exclusive(tmp_path / "lock"):
        pass
