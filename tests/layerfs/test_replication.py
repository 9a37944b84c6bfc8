"""Sending and receiving between stores whose ZFS is a dictionary; the real one is for the suite."""

import dataclasses
import errno
import io
import os
import pty
import random
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from layerfs import digest as digests
from layerfs import opening, output, piping, replication
from layerfs.backends.zfs import FEATURES, ZfsBackend
from layerfs.backends.zfschains import DIFF_ID, PARENT, PROPERTIES, ZfsChains
from layerfs.chains import Chain
from layerfs.errors import (
    DigestMismatchError,
    LayerFSError,
    LayerNotFoundError,
    LimitExceededError,
    PathError,
    ReadOnlyFilesystemError,
    StorageError,
    UnsupportedError,
    ValidationError,
    WriteFailedError,
)
from layerfs.stackfile import PART, StackReader
from layerfs.store import LayerFS
from layerfs.zfs import Obstacle, Property, ZfsFailure

from .command import COMMAND, environment, run
from .recipes import GZIP, PLAIN, gz, sha256, tar

FILES = {name: {name: name.encode() * 99} for name in ("a", "b", "c")}
A, B, C = (tar(files) for files in FILES.values())
GZ = gz(FILES["b"])


@dataclasses.dataclass
class Dataset:
    guid: int
    data: bytes
    origin: str
    properties: dict


class Pool:
    """What of ZFS is needed here: datasets by name, each with one snapshot, ``@layer``."""

    name = "dictionary"

    def __init__(self):
        self.datasets = {}
        self.busy = False
        self.fails = 0

    def properties(self, name, wanted):
        found = self.datasets.get(name.partition("@")[0])
        if found is None:
            raise ZfsFailure(errno.ENOENT, operation="get", name=name)
        known = {"guid": str(found.guid), **found.properties}
        return {one: Property(known[one], "local") for one in wanted}

    def send(self, snapshot, fd, from_=None):
        found = self.datasets[snapshot.partition("@")[0]]
        assert (from_ or "") == found.origin, "a chain is sent from its parent on"
        base = self.datasets[from_.partition("@")[0]].guid if from_ else 0
        fields = 0, 0, 0x2F5BACBAC, 1, 0, 2, 0, found.guid, base, snapshot.encode()
        try:
            with open(os.dup(fd), "wb", buffering=0) as out:
                left = memoryview(struct.pack("=IIQQQIIQQ256s", *fields) + found.data)
                while left:
                    left = left[out.write(left) :]
        except BrokenPipeError as error:
            raise ZfsFailure(errno.EPIPE, operation="send", name=snapshot) from error

    def receive(self, snapshot, fd, properties=(), origin=None):
        with open(os.dup(fd), "rb") as source:
            data = source.read()
        if self.fails:
            raise ZfsFailure(self.fails, operation="receive", name=snapshot)
        *_, guid, base, _ = struct.unpack_from("=IIQQQIIQQ256s", data)
        assert base == (self.datasets[origin.partition("@")[0]].guid if origin else 0)
        name = snapshot.partition("@")[0]
        self.datasets[name] = Dataset(guid, data[312:], origin or "", dict(properties))

    def rename(self, dataset, to):
        if to in self.datasets:
            raise ZfsFailure(errno.EEXIST, operation="rename", name=dataset)
        self.datasets[to] = self.datasets.pop(dataset)

    def destroy(self, dataset):
        if self.datasets.pop(dataset, None) is None:
            raise ZfsFailure(errno.ENOENT, operation="destroy", name=dataset)

    def remove(self, datasets, *, snapshot):
        assert snapshot == "layer"
        if self.busy:
            return [Obstacle(datasets[0], "clone pool/theirs")]
        for name in datasets:
            self.datasets.pop(name, None)
        return []


def prepare(self, diff_ids, _identity, _contents):
    """Have a chain, of which nothing but a guid and some bytes matters here."""
    parent = ""
    for chain_id, diff_id in zip(digests.chain_ids(diff_ids), diff_ids, strict=True):
        if self.found(chain_id) is None:
            told = {**PROPERTIES, DIFF_ID: diff_id, PARENT: parent}
            guid = random.Random(f"{self.dataset}{chain_id}").randrange(1, 2**64)
            origin = f"{self.place(parent)}@layer" if parent else ""
            data = guid.to_bytes(8, "big") * (PART // 5)
            self.zfs.datasets[self.place(chain_id)] = Dataset(guid, data, origin, told)
            with self.chains.transaction():
                self.chains.put(Chain(chain_id, diff_id, parent, str(guid)))
        parent = chain_id
    return self.place(parent)


@pytest.fixture
def open_store(tmp_path, monkeypatch):
    monkeypatch.setattr(ZfsChains, "prepare", prepare)
    opened = []

    def make(name):
        pool = Pool()

        def backend(root, meta, *, readonly):
            assert not readonly
            return ZfsBackend(root, f"pool/{name}", pool, meta.chains, FEATURES)

        monkeypatch.setattr(opening, "_backend", backend)
        store = LayerFS.open(tmp_path / name)
        store.pool = pool
        opened.append(store)
        return store

    yield make
    for store in opened:
        assert os.listdir(store.root / "staging") == []
        assert [one for one in store.pool.datasets if "build-" in one] == []
        store.close()


@pytest.fixture
def one(open_store):
    store = open_store("one")
    store.all = [add(store, A), add(store, GZ, GZIP), add(store, C)]
    return store


@pytest.fixture
def two(open_store):
    return open_store("two")


def add(store, blob, media_type=PLAIN, **more):
    return store.add_layer(io.BytesIO(blob), media_type, **more).digest


def sent(store, digests, since=()):
    out = io.BytesIO()
    store.send(digests, out, since=since)
    return out.getvalue()


def received(store, data, **more):
    return [one.digest for one in store.receive(io.BytesIO(data), **more)]


def guids(store):
    return {chain.chain_id: chain.guid for chain in store._parts.meta.chains.all()}


def test_a_stack_arrives_with_its_chains(one, two):
    data = sent(one, one.all)
    assert received(two, data) == one.all
    assert two.layers() == one.layers()
    assert guids(two) == guids(one)
    place = two._parts.backend.trees.place
    for chain_id, guid in guids(one).items():
        found = two.pool.datasets[place(chain_id)]
        assert found.data == one.pool.datasets[one._parts.backend.trees.place(chain_id)].data
        assert found.guid == int(guid)
        assert found.properties.items() > PROPERTIES.items()
    assert two._parts.meta.roots.operation_leases() == []


def test_only_what_is_new_is_sent(one, two):
    received(two, sent(one, one.all[:2]))
    data = sent(one, one.all, one.all[:2])
    assert len(data) < PART * 2
    assert received(two, data) == one.all
    assert guids(two) == guids(one)
    nothing = sent(one, one.all, one.all)
    assert len(nothing) < 16 << 10
    assert received(two, nothing) == one.all


def test_receiving_again_changes_nothing(one, two):
    data = sent(one, one.all)
    received(two, data)
    before = dict(two.pool.datasets)
    assert received(two, data) == one.all
    assert two.pool.datasets == before


def test_a_chain_of_its_own_stays_and_nothing_is_received_on_top_of_it(one, two):
    for blob, kind in ((A, PLAIN), (GZ, GZIP)):
        add(two, blob, kind)
    sent(two, one.all[:2])  # makes the chains
    before = guids(two)
    assert received(two, sent(one, one.all)) == one.all
    assert guids(two) == before


def test_without_streams_there_are_layers_alone(one, two):
    assert received(two, sent(one, one.all), blobs_only=True) == one.all
    assert two.pool.datasets == guids(two) == {}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENODEV])
def test_a_stream_that_this_zfs_cannot_take_is_passed_over(one, two, number):
    two.pool.fails = number
    assert received(two, sent(one, one.all)) == one.all
    assert guids(two) == {}


def test_a_full_pool_is_told_and_nothing_is_left(one, two):
    two.pool.fails = errno.ENOSPC
    with pytest.raises(WriteFailedError):
        received(two, sent(one, one.all))
    assert (two.layers(), two.pool.datasets) == ([], {})


def test_a_layer_twice_counts_at_its_upper_place(one, two):
    twin = add(one, gz(FILES["a"]), GZIP)
    a, b, _ = one.all
    assert received(two, sent(one, [a, b, a])) == [b, a]
    assert received(two, sent(one, [a, b, twin], [a])) == [a, b, twin]
    found = two._parts.backend.trees.found
    assert [found(one) for one in digests.chain_ids([sha256(B), sha256(A)])] != [None, None]


def test_what_layers_need_arrives_with_them(one, two):
    needy = add(one, tar({"n": b""}), dependencies=[one.all[0]], annotations={"k": "v"})
    received(two, sent(one, [needy]))
    assert two.get_layer(needy) == one.get_layer(needy)


def test_what_since_names_must_be_the_beginning_and_be_there(one, two):
    a, b, c = one.all
    for since in ([b], [a, c], [a, b, c, a]):
        with pytest.raises(ValidationError, match="the beginning"):
            sent(one, one.all, since)
    with pytest.raises(LayerNotFoundError) as caught:
        received(two, sent(one, one.all, [a, b]))
    assert caught.value.digest == a
    assert two.layers() == []


@pytest.mark.parametrize("share", range(0, 100, 9))
def test_of_a_part_nothing_is_left(one, two, share):
    data = sent(one, one.all)
    kept = add(two, A)
    with pytest.raises(ValidationError):
        received(two, data[: len(data) * share // 100])
    assert [layer.digest for layer in two.layers()] == [kept]
    assert two.pool.datasets == guids(two) == {}
    assert received(two, data) == one.all


def test_of_a_damaged_file_nothing_is_left(one, two):
    data = sent(one, one.all)
    marks = [data.find(b"a" * 99), data.find(GZ[20:]), data.rfind(b"magic"), len(data) - PART]
    for at in marks:
        broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((DigestMismatchError, ValidationError)):
            received(two, broken)
        assert (two.layers(), two.pool.datasets, guids(two)) == ([], {}, {})


def test_a_file_that_lies_about_its_streams_is_refused(one, two, monkeypatch):
    data = sent(one, one.all)
    chains = list(guids(one).values())
    for old, new in [(chains[0], str(int(chains[0]) ^ 1))]:
        manifest = StackReader(io.BytesIO(data)).manifest()
        lied = manifest._replace(
            guids=tuple(new if guid == old else guid for guid in manifest.guids)
        )
        monkeypatch.setattr(StackReader, "manifest", lambda self, lied=lied: (skip(self), lied)[1])
        with pytest.raises(ValidationError, match="is another than it has to be"):
            received(two, data)
        assert (two.layers(), two.pool.datasets) == ([], {})


def skip(file):
    file.content("manifest.json").skip()


def test_what_others_use_by_now_stays(one, two):
    data = sent(one, one.all)
    two.pool.busy = True
    with pytest.raises(ValidationError):
        received(two, data[:-3000])
    assert two.pool.datasets != {}
    assert [layer.digest for layer in two.layers()] == one.all[:2]


def test_more_layers_than_a_stack_takes_are_refused(one, open_store, monkeypatch):
    monkeypatch.setattr("layerfs.backends.zfs.FEATURES", FEATURES)
    three = open_store("three")
    three._parts.backend.features = FEATURES._replace(max_layers=2)
    with pytest.raises(LimitExceededError) as caught:
        received(three, sent(one, one.all))
    assert caught.value.limit == "max_layers=2"


# --- what is written


def test_a_file_appears_whole_or_not_at_all(one, two, tmp_path):
    path = tmp_path / "file"
    one.send(one.all, path)
    assert os.listdir(tmp_path).count("file") == 1
    assert [layer.digest for layer in two.receive(path)] == one.all
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(PathError, match="is there already"):
        one.send(one.all, path)
    with pytest.raises(PathError, match="in the store"):
        one.send(one.all, one.root / "file")
    with pytest.raises(PathError):
        one.send(one.all, tmp_path / "missing" / "file")
    with pytest.raises(LayerNotFoundError):
        one.send([sha256(b"unknown")], tmp_path / "other")
    (one.root / "blobs" / "sha256" / one.all[2][7:]).write_bytes(b"damaged")
    with pytest.raises(StorageError, match="is damaged"):
        one.send(one.all, tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == before
    assert one._parts.meta.roots.operation_leases() == []


def test_an_error_of_the_sink_is_passed_on(one):
    class Full(io.RawIOBase):
        def write(self, _data):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        one.send(one.all, Full())
    assert one._parts.meta.roots.operation_leases() == []


def test_a_chain_that_somebody_has_replaced_is_not_sent(one, monkeypatch):
    sent(one, one.all)
    for found in one.pool.datasets.values():
        found.guid ^= 1
    monkeypatch.setattr(ZfsChains, "prepare", lambda *_: "")
    with pytest.raises(LayerFSError, match="is not what this store has made"):
        sent(one, one.all)


# --- stores without ZFS, and the command


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


def test_a_readonly_store_neither_sends_nor_receives(one):
    one._parts = one._parts._replace(readonly=True)
    with pytest.raises(ReadOnlyFilesystemError):
        replication.send(one._parts, one.all, io.BytesIO())
    one._parts = one._parts._replace(readonly=False)


def test_a_stack_goes_through_the_standard_streams(one, two, monkeypatch):
    def stores(store):
        return SimpleNamespace(get=lambda _: store, progress=None)

    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    request = {"store": "", "digests": one.all, "since": [], "blobs_only": False}
    piping.send(stores(one), request)
    source = io.BufferedReader(io.BytesIO(out.buffer.getvalue()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
    response = piping.receive(stores(two), request)
    assert [layer["digest"] for layer in response["layers"]] == one.all
    assert two.layers() == one.layers()

    class Closed(io.BytesIO):
        def write(self, _data):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Closed()))
    with pytest.raises(output.UnwrittenError):
        piping.send(stores(one), request)
    for name, use in (("stdout", piping.send), ("stdin", piping.receive)):
        monkeypatch.setattr(sys, name, None)
        with pytest.raises(ValidationError, match="closed stream"):
            use(stores(one), request)


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
