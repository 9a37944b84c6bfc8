"""The only caller of sqlite3: one connection, its transactions, and its errors as ours.

Durability: journal_mode=WAL with synchronous=FULL, so that a commit is one fsync of the log, and
has survived a power cut when ``transaction`` returns. The rollback journal would need three, and
would let a reader block a writer. What a reboot ends anyway (views, leases of operations) is
committed with synchronous=NORMAL, which syncs nothing: it survives the end of the process all the
same, and after a power cut the database is whole, without the last of such commits
(https://www.sqlite.org/pragma.html#pragma_synchronous).

A ``Database`` belongs to the thread that opened it, and does not survive a fork: open another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from layerfs.errors import (
    LayerFSError,
    MetadataError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    WriteFailedError,
    from_os_error,
)
from layerfs.mappedindex import MappedIndex

if TYPE_CHECKING:
    import tempfile

#: "lyfs", at offset 68 of the file's header, where file(1) finds it.
APPLICATION_ID: Final = 0x6C796673
#: How long a statement waits for another process's transaction. Ours last milliseconds.
BUSY_SECONDS: Final = 60.0

_WRITING: Final = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
_OF_THE_DISK: Final = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
}

_Value = str | bytes | int | None


def _refusal(error: sqlite3.Error, path: Path) -> LayerFSError:
    """Map SQLite's result code (https://www.sqlite.org/rescode.html) to one of our classes."""
    code = getattr(error, "sqlite_errorcode", 0)
    kind, text = _kind(code)
    if isinstance(error, sqlite3.ProgrammingError):
        # Of the caller: the store is closed, or used by a thread that did not open it.
        kind, text = StorageError, "{error}"
    return kind(f"metadata {str(path)!r}: " + text.format(error=error), path=path)


def _kind(code: int) -> tuple[type[LayerFSError], str]:
    """Return the class and the text of an error, by SQLite's extended result code."""
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code in _WRITING:
        return WriteFailedError, "{error}; free space, then retry"
    if primary == sqlite3.SQLITE_READONLY:
        return PermissionDeniedError, (
            "this user may not write it; open the store readonly, or as its owner"
        )
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StorageError, f"kept locked by another process for {BUSY_SECONDS:.0f} s; retry"
    if primary in _OF_THE_DISK:
        return StorageError, "{error}"
    return MetadataError, (
        "damaged ({error}); `layerfs repair` rebuilds it from the blobs and trees"
    )


class Database:
    """One SQLite connection in autocommit mode: a write is a ``transaction``, always."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        readonly: bool,
        scratch: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._connection = connection
        self._scratch = scratch  # removed by close
        self._index = None if readonly else MappedIndex.where_needed(path)
        self.path = path
        self.readonly = readonly

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open for reading and writing; the file is made when it is missing."""
        try:
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            database = cls(connection, path, readonly=False)
            try:
                database._prepare()
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise _refusal(error, path) from error
        return database

    def _prepare(self) -> None:
        run = self._connection.execute
        # Answers "wal" without touching the disk when it is so already.
        run("PRAGMA journal_mode=WAL").fetchone()
        run("PRAGMA synchronous=FULL")
        run("PRAGMA foreign_keys=ON")

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open without writing a byte, on a read-only disk or in another user's store as well.

        SQLite reads a WAL database by way of its -shm file, and wants to make one: where it may
        not, the file is read as immutable, or, when a log with commits lies beside it, from a
        private copy of both (a snapshot or a disk remounted read-only has such a log).
        """
        if not path.exists():
            raise MetadataError(
                f"metadata {str(path)!r} is missing; `layerfs repair` rebuilds it from the blobs "
                "and trees",
                path=path,
            )
        try:
            return cls._connect_readonly(path, "mode=ro")
        except StorageError:
            pass
        import shutil  # noqa: PLC0415 - for this rare case only
        import tempfile  # noqa: PLC0415

        log = path.with_name(path.name + "-wal")
        try:
            if not log.exists() or log.stat().st_size == 0:
                return cls._connect_readonly(path, "mode=ro&immutable=1")
            scratch = tempfile.TemporaryDirectory(prefix="layerfs-")
            for source in (path, log):
                shutil.copyfile(source, Path(scratch.name, source.name))
        except OSError as error:
            raise from_os_error(error, "reading metadata", os.fspath(path)) from error
        return cls._connect_readonly(Path(scratch.name, path.name), "mode=rw", scratch)

    @classmethod
    def _connect_readonly(
        cls, path: Path, how: str, scratch: tempfile.TemporaryDirectory[str] | None = None
    ) -> Self:
        from urllib.parse import quote  # noqa: PLC0415 - to read only

        uri = f"file:{quote(os.fsencode(path))}?{how}"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
                connection.execute("PRAGMA query_only=ON")
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
                raise StorageError(f"opening metadata {str(path)!r}: {error}") from error
            raise _refusal(error, path) from error
        return cls(connection, path, readonly=True, scratch=scratch)

    def close(self) -> None:
        """Close; the last connection of all folds the log into the file and removes it."""
        self._connection.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def write_back_index(self) -> None:
        """Do what else a syncfs(2) of this file system would wait for; see ``MappedIndex``."""
        if self._index is not None:
            self._index.write_back()

    def rows(self, sql: str, values: Iterable[_Value] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows."""
        try:
            return self._connection.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise _refusal(error, self.path) from error

    def row(self, sql: str, values: Iterable[_Value] = ()) -> tuple[Any, ...] | None:
        """Run a statement and return its first row, or None."""
        try:
            row = self._connection.execute(sql, tuple(values)).fetchone()
        except sqlite3.Error as error:
            raise _refusal(error, self.path) from error
        return None if row is None else tuple(row)

    def number(self, sql: str, values: Iterable[_Value] = ()) -> int:
        """Run a statement and return the first number of its first row; 0 for none or NULL."""
        row = self.row(sql, values)
        return 0 if row is None or row[0] is None else int(row[0])

    def write(self, sql: str, values: Iterable[_Value] = ()) -> int:
        """Change rows within the current transaction; return how many."""
        if not self._connection.in_transaction:
            raise AssertionError("a write outside a transaction")
        try:
            return self._connection.execute(sql, tuple(values)).rowcount
        except sqlite3.Error as error:
            raise _refusal(error, self.path) from error

    def write_many(self, sql: str, rows: Iterable[tuple[_Value, ...]]) -> None:
        """Run one statement for each of ``rows`` within the current transaction."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _refusal(error, self.path) from error

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All of the block, or nothing of it; ``durable``: also after a power cut.

        IMMEDIATE: the write lock is taken at the start, so that what the block reads still holds
        when it writes, and no upgrade can fail half-way.
        """
        if self.readonly:
            raise ReadOnlyFilesystemError(
                f"the store of {str(self.path)!r} was opened readonly; open it without readonly "
                "to change it",
                path=self.path,
            )
        if not durable:
            self._run("PRAGMA synchronous=NORMAL")
        try:
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                # Also after a failed COMMIT (disk full), which leaves the transaction open.
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise
        finally:
            if not durable:
                self._run("PRAGMA synchronous=FULL")

    def _run(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except sqlite3.Error as error:
            raise _refusal(error, self.path) from error

    def run_script(self, statements: Iterable[str]) -> None:
        """Run the statements of a schema within the current transaction."""
        for statement in statements:
            self._run(statement)

    def damage(self) -> list[str]:
        """Return what SQLite's own check of the whole file finds, one line for each fault."""
        try:
            found = self.rows("PRAGMA quick_check(20)")
            broken = self.rows("PRAGMA foreign_key_check")
        except MetadataError as error:
            return [error.message]
        lines = [str(row[0]) for row in found if row[0] != "ok"]
        return lines + [f"a row of {row[0]} names a missing row of {row[2]}" for row in broken]
