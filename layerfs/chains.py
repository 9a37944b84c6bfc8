"""The chains of a store on ZFS, as its database knows them: what the pool says too, found quickly.

A chain is a stack of layers, base first, named by its chainID (image-spec config.md); its dataset
has the tree that the stack shows. It is a copy that can be made again from the layers' blobs, so
that a missing row costs time and nothing else: the pool's own user properties say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from layerfs.metastore import Database

#: SQLite takes 999 values in one statement, the older ones (before 3.32).
_ASKED: Final = 500
_CHAIN: Final = "SELECT chain_id, diff_id, parent, guid FROM chains"


class Chain(NamedTuple):
    """One chain: ``diff_id`` is its topmost layer, ``parent`` the chain of the others, or empty.

    ``guid`` is that of the zfs snapshot that has the tree (zfsprops(7)): it never changes, and no
    other snapshot has it.
    """

    chain_id: str
    diff_id: str
    parent: str
    guid: str


class Chains:
    """The table of chains."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[None]:
        """As ``Database.transaction``, not durable: the pool says the same."""
        return self._database.transaction(durable=False)

    def known(self, chain_ids: Sequence[str]) -> dict[str, Chain]:
        """Return those of the chains that are recorded."""
        found: dict[str, Chain] = {}
        for first in range(0, len(chain_ids), _ASKED):
            some = chain_ids[first : first + _ASKED]
            within = f"WHERE chain_id IN ({','.join('?' * len(some))})"
            rows = self._database.rows(f"{_CHAIN} {within}", some)
            found.update((row[0], Chain(*row)) for row in rows)
        return found

    def all(self) -> list[Chain]:
        """Return all chains."""
        return [Chain(*row) for row in self._database.rows(f"{_CHAIN} ORDER BY chain_id")]

    def topped_by(self, diff_id: str) -> list[Chain]:
        """Return the chains whose topmost layer this is."""
        rows = self._database.rows(f"{_CHAIN} WHERE diff_id = ? ORDER BY chain_id", (diff_id,))
        return [Chain(*row) for row in rows]

    def on(self, chain_ids: Iterable[str]) -> list[Chain]:
        """Return these chains and all that are built on them, each after those on top of it."""
        found: dict[str, Chain] = self.known(list(chain_ids))
        waiting = list(found)
        while waiting:
            parent = waiting.pop()
            for row in self._database.rows(f"{_CHAIN} WHERE parent = ?", (parent,)):
                # One that was found as a given chain must come after what is below it.
                found.pop(row[0], None)
                found[row[0]] = Chain(*row)
                waiting.append(row[0])
        return list(reversed(found.values()))

    def with_layer(self, diff_id: str) -> list[Chain]:
        """Return the chains in which the layer has any place, each after those on top of it."""
        return self.on(chain.chain_id for chain in self.topped_by(diff_id))

    def put(self, chain: Chain) -> None:
        """Record a chain, within a transaction."""
        self._database.write("INSERT OR REPLACE INTO chains VALUES (?, ?, ?, ?)", chain)

    def forget(self, chain_ids: Iterable[str]) -> None:
        """Delete the rows of chains, within a transaction."""
        for one in chain_ids:
            self._database.write("DELETE FROM chains WHERE chain_id = ?", (one,))
