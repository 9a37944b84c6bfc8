import os
import resource
import signal
import sqlite3
from contextlib import contextmanager

import pytest

from layerfs import syscalls
from layerfs.errors import (
    MetadataError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    WriteFailedError,
)
from layerfs.metastore import APPLICATION_ID, Database

from .isolation import IS_ROOT, isolated


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "layerfs.db"
    database = Database.open(path)
    with database.transaction():
        database.run_script(["CREATE TABLE t (a)", f"PRAGMA application_id = {APPLICATION_ID}"])
    database.close()
    return path


@pytest.fixture
def database(path):
    opened = Database.open(path)
    yield opened
    opened.close()


@contextmanager
def file_size_limit(size):
    """No file may become longer, as on a full disk (setrlimit(2), RLIMIT_FSIZE)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_commits_survive_a_power_cut(database):
    assert database.row("PRAGMA journal_mode") == ("wal",)
    assert database.number("PRAGMA synchronous") == 2  # FULL
    assert database.number("PRAGMA foreign_keys") == 1


def test_what_need_not_survive_a_power_cut_is_not_synced_and_the_next_commit_is(database):
    for _ in range(2):
        with database.transaction(durable=False):
            assert database.number("PRAGMA synchronous") == 1  # NORMAL
        assert database.number("PRAGMA synchronous") == 2
        with pytest.raises(KeyError), database.transaction(durable=False):
            raise KeyError
        assert database.number("PRAGMA synchronous") == 2


def test_a_transaction_is_all_or_nothing(database):
    def fail():
        with database.transaction():
            database.write("INSERT INTO t VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert database.rows("SELECT * FROM t") == []
    with database.transaction():
        database.write("INSERT INTO t VALUES (1)")
    assert database.rows("SELECT * FROM t") == [(1,)]


def test_a_write_outside_of_a_transaction_is_a_mistake(database):
    with pytest.raises(AssertionError):
        database.write("INSERT INTO t VALUES (1)")


def test_numbers_of_nothing_are_zero(database):
    assert database.number("SELECT sum(a) FROM t") == 0
    assert database.number("SELECT a FROM t") == 0
    assert database.row("SELECT a FROM t") is None


def test_a_full_disk_is_a_failed_write_and_changes_nothing(path):
    database = Database.open(path)
    with (
        file_size_limit(64 << 10),
        pytest.raises(WriteFailedError) as refusal,
        database.transaction(),
    ):
        database.write("INSERT INTO t VALUES (?)", (b"x" * (1 << 20),))
    assert "free space" in refusal.value.message
    assert database.rows("SELECT * FROM t") == []
    with database.transaction():
        database.write("INSERT INTO t VALUES (1)")
    database.close()


def test_a_file_of_another_kind_is_damaged_metadata(tmp_path):
    (tmp_path / "db").write_bytes(b"no database at all" * 100)
    for how in (Database.open, Database.open_readonly):
        with pytest.raises(MetadataError, match="layerfs repair"):
            how(tmp_path / "db")


def test_damage_within_is_found_when_it_is_read_and_by_the_check(path):
    database = Database.open(path)
    with database.transaction():
        database.write_many("INSERT INTO t VALUES (?)", ((f"{n}" * 500,) for n in range(100)))
    database.close()
    data = bytearray(path.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    path.write_bytes(data)
    database = Database.open(path)
    assert database.damage()
    with pytest.raises(MetadataError, match="damaged"):
        database.rows("SELECT * FROM t")
    database.close()


def test_whole_metadata_has_no_damage(database):
    assert database.damage() == []


def test_a_row_that_names_a_missing_row_is_damage(database):
    with database.transaction():
        database.run_script(["CREATE TABLE p (k INTEGER PRIMARY KEY)",
                             "CREATE TABLE c (k REFERENCES p (k))"])  # fmt: skip
    raw = sqlite3.connect(database.path)
    raw.execute("INSERT INTO c VALUES (7)")
    raw.commit()
    raw.close()
    assert database.damage() == ["a row of c names a missing row of p"]


# --- readonly


def test_readonly_refuses_to_write(path):
    database = Database.open_readonly(path)
    with pytest.raises(ReadOnlyFilesystemError), database.transaction():
        pass
    database.close()


def test_readonly_sees_what_others_commit(path, database):
    reader = Database.open_readonly(path)
    with database.transaction():
        database.write("INSERT INTO t VALUES (1)")
    assert reader.rows("SELECT * FROM t") == [(1,)]
    reader.close()


def test_readonly_of_what_is_missing_is_refused(tmp_path):
    with pytest.raises(MetadataError, match="missing"):
        Database.open_readonly(tmp_path / "db")
    assert os.listdir(tmp_path) == []


@isolated
def test_readonly_works_on_a_read_only_file_system(path):
    read_only(path.parent)
    database = Database.open_readonly(path)
    assert database.rows("SELECT * FROM t") == []
    database.close()


@isolated
def test_readonly_reads_a_log_that_a_crash_left_on_a_read_only_file_system(tmp_path, path):
    child = os.fork()
    if child == 0:
        database = Database.open(path)
        with database.transaction():
            database.write("INSERT INTO t VALUES (1)")
        os._exit(0)  # as a crash: the log is not folded in
    os.waitpid(child, 0)
    path.with_name("layerfs.db-shm").unlink()
    assert path.with_name("layerfs.db-wal").stat().st_size > 0
    read_only(path.parent)
    database = Database.open_readonly(path)
    assert database.rows("SELECT * FROM t") == [(1,)]
    assert not database._scratch.name.startswith(str(tmp_path))
    scratch = database._scratch.name
    database.close()
    assert not os.path.exists(scratch)


def read_only(directory):
    syscalls.mount(directory, directory, None, syscalls.MS_BIND)
    flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
    syscalls.mount(None, directory, None, flags)


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_metadata_that_may_not_be_written_is_denied(path):
    path.chmod(0o444)
    database = Database.open(path)
    with pytest.raises(PermissionDeniedError, match="readonly"), database.transaction():
        database.write("INSERT INTO t VALUES (1)")
    database.close()


def test_a_directory_is_no_database(tmp_path):
    with pytest.raises(StorageError):
        Database.open(tmp_path)
