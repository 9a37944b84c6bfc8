import errno
import hashlib
import io
import multiprocessing
import os
import signal
import threading

import pytest

from layerfs import adding, syscalls
from layerfs.errors import (
    DecompressionError,
    DigestMismatchError,
    HostileLayerError,
    PathError,
    ValidationError,
    WriteFailedError,
)
from layerfs.store import LayerFS

from .isolation import both_ways
from .recipes import EMPTY, GZIP, PLAIN, contents, gz, sha256, stream, tar

FILES = {"d/a": b"1", "b": b"x" * 5000, "d/.wh.gone": b"", "link": "d"}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


@pytest.fixture
def blob(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(gz(FILES))
    return path


def test_a_layer_is_what_its_blob_says(store, root, blob):
    layer = store.add_layer(blob, GZIP, annotations={"a": "b"})
    assert layer.digest == sha256(blob.read_bytes())
    assert layer.diff_id == sha256(tar(FILES))
    assert layer.size == blob.stat().st_size
    assert layer.media_type == GZIP
    assert layer.annotations == {"a": "b"}
    assert store.get_layer(layer.digest) == layer
    assert store.layers() == [layer]
    assert (root / "blobs/sha256" / layer.digest[7:]).read_bytes() == blob.read_bytes()
    assert (root / "layers" / layer.diff_id[7:] / "diff/d/a").read_bytes() == b"1"
    assert contents(root)["staging"] == []
    assert store.check() == []


def test_a_stream_that_cannot_seek_is_as_good_as_a_file(store):
    reader, writer = os.pipe()
    data = gz(FILES)

    def write():
        with os.fdopen(writer, "wb") as out:
            out.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb", buffering=0) as source:
        assert store.add_layer(source, GZIP).digest == sha256(data)
    thread.join()


def test_what_is_declared_is_verified(store, blob):
    data = blob.read_bytes()
    layer = store.add_layer(
        blob, GZIP, digest=sha256(data), size=len(data), diff_id=sha256(tar(FILES))
    )
    assert layer.digest == sha256(data)


def test_a_blob_may_be_named_by_sha512(store, root, blob):
    digest = "sha512:" + hashlib.sha512(blob.read_bytes()).hexdigest()
    layer = store.add_layer(blob, GZIP, digest=digest)
    assert layer.digest == digest
    assert layer.diff_id == sha256(tar(FILES))
    assert contents(root)["blobs/sha512"] == [digest[7:]]
    assert store.verify() == []
    assert store.remove_layer(digest)
    assert contents(root) == EMPTY


# --- the same again


def test_the_same_layer_twice_is_one_layer(store, root, blob):
    first = store.add_layer(blob, GZIP)
    before = contents(root)
    assert store.add_layer(blob, GZIP) == first
    assert store.add_layer(blob, GZIP, digest=first.digest) == first
    assert store.layers() == [first]
    assert contents(root) == before


def test_two_compressions_of_a_tar_are_two_layers_with_one_tree(store, root, blob):
    one = store.add_layer(blob, GZIP)
    two = store.add_layer(stream(FILES), PLAIN)
    three = store.add_layer(io.BytesIO(gz(FILES)[:-8] + gz(FILES)[-8:]), GZIP)
    assert one.diff_id == two.diff_id
    assert one.digest != two.digest
    assert three == one
    assert len(contents(root)["layers"]) == 1
    store.remove_layer(one.digest)
    assert len(contents(root)["layers"]) == 1
    assert store.verify() == []
    store.remove_layer(two.digest)
    assert contents(root) == EMPTY


def test_a_known_diff_id_spares_the_extraction_and_not_the_verification(store, monkeypatch):
    one = store.add_layer(stream(FILES))
    monkeypatch.setattr(type(store._parts.backend), "ingest", None)
    two = store.add_layer(io.BytesIO(gz(FILES)), GZIP, diff_id=one.diff_id)
    assert two.diff_id == one.diff_id
    assert store.add_layer(io.BytesIO(gz(FILES)), GZIP, digest=two.digest) == two
    with pytest.raises(DigestMismatchError):
        store.add_layer(io.BytesIO(gz({"other": b""})), GZIP, diff_id=one.diff_id)
    with pytest.raises(DigestMismatchError):
        store.add_layer(io.BytesIO(gz({"other": b""})), GZIP, digest=two.digest)
    assert store.layers() == [one, two]
    assert store.check() == []


def test_adding_again_brings_what_is_new_to_the_record(store, blob):
    some, more = "sha256:" + "0" * 64, "sha256:" + "1" * 64
    store.add_layer(blob, GZIP, dependencies=[some], annotations={"a": "1"})
    layer = store.add_layer(blob, GZIP, dependencies=[more, some], annotations={"b": "2"})
    assert layer.dependencies == (some, more)
    assert layer.annotations == {"a": "1", "b": "2"}
    assert store.get_layer(layer.digest) == layer


@pytest.mark.parametrize("damage", ["gone", "shorter", "altered"])
@pytest.mark.parametrize("declared", [True, False])
def test_adding_again_restores_a_damaged_blob(store, root, blob, damage, declared):
    digest = store.add_layer(blob, GZIP).digest
    stored = root / "blobs/sha256" / digest[7:]
    if damage == "gone":
        stored.unlink()
    else:
        data = stored.read_bytes()
        stored.write_bytes(data[:-1] + (b"" if damage == "shorter" else b"\xff"))
    assert store.verify() != []
    store.add_layer(blob, GZIP, digest=digest if declared else None)
    assert stored.read_bytes() == blob.read_bytes()
    assert store.verify() == []


def test_a_tree_that_a_lost_database_left_is_replaced_by_a_verified_one(store, root, blob):
    layer = store.add_layer(blob, GZIP)
    with store._parts.meta.transaction():
        store._parts.meta.delete_layer(layer.digest)
    (root / "layers" / layer.diff_id[7:] / "diff/b").write_bytes(b"altered")
    assert store.add_layer(blob, GZIP) == layer
    assert store.verify() == []


def test_what_was_removed_while_it_was_compared_is_made_again(store, root, blob, monkeypatch):
    """Another process removes the layer between the reading and the publishing."""
    digest = store.add_layer(blob, GZIP).digest
    published = adding._published
    calls = []

    def removed_first(*args, **how):
        if not calls:
            with LayerFS.open(root) as other:
                assert other.remove_layer(digest)
        calls.append(args)
        return published(*args, **how)

    monkeypatch.setattr(adding, "_published", removed_first)
    assert store.add_layer(blob, GZIP, digest=digest).digest == digest
    assert len(calls) == 2
    assert store.verify() == store.check() == []


# --- refusals leave nothing


def bad():
    yield "no such file", PathError, ["/no/such/file"], {}
    yield "directory", PathError, ["/"], {}
    yield "device", PathError, ["/dev/zero"], {}
    yield "nul", PathError, ["a\0b"], {}
    yield "truncated", DecompressionError, [io.BytesIO(gz(FILES)[:-5]), GZIP], {}
    yield "no tar", ValidationError, [io.BytesIO(b"x" * 5000)], {}
    yield "other compression", DecompressionError, [stream(FILES), GZIP], {}
    yield "hostile", HostileLayerError, [stream({"a": b"", "../x": b""})], {}
    yield "media type", ValidationError, [stream(FILES), "text/plain"], {}
    yield "digest", DigestMismatchError, [stream(FILES)], {"digest": "sha256:" + "0" * 64}
    yield "malformed digest", ValidationError, [stream(FILES)], {"digest": "sha256:xyz"}
    yield "size", DigestMismatchError, [stream(FILES)], {"size": 17}
    yield "diff_id", DigestMismatchError, [stream(FILES)], {"diff_id": "sha256:" + "0" * 64}
    yield "dependency", ValidationError, [stream(FILES)], {"dependencies": ["x"]}
    yield "annotation", ValidationError, [stream(FILES)], {"annotations": {"": "x"}}
    yield "annotations", ValidationError, [stream(FILES)], {"annotations": {"x": "y" * 2_000_000}}


@pytest.mark.parametrize(("error", "args", "kwargs"), [
    pytest.param(*rest, id=name) for name, *rest in bad()
])  # fmt: skip
def test_a_refusal_leaves_nothing_behind(store, root, error, args, kwargs):
    with pytest.raises(error):
        store.add_layer(*args, **kwargs)
    assert contents(root) == EMPTY
    assert store.layers() == []
    assert store.check() == []


def test_a_fifo_is_refused_and_not_waited_for(store, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PathError, match="no regular file"):
        store.add_layer(tmp_path / "fifo")


@pytest.mark.parametrize("at", [0, 100_000, 900_000])
def test_an_interrupt_leaves_nothing_behind(store, root, at):
    class Interrupted(io.BytesIO):
        def read(self, n=-1):
            if self.tell() >= at:
                raise KeyboardInterrupt
            return super().read(min(n, 50_000))

    with pytest.raises(KeyboardInterrupt):
        store.add_layer(Interrupted(tar({"a": b"x" * 1_000_000})))
    assert contents(root) == EMPTY
    assert [thread.name for thread in threading.enumerate() if "layerfs" in thread.name] == []


def test_a_control_c_leaves_nothing_behind(root):
    """The signal of a terminal, while the process waits for more of the blob."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = 1
        try:
            with LayerFS.open(root) as store, os.fdopen(reader, "rb", buffering=0) as source:
                store.add_layer(source)
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    os.close(reader)
    os.write(writer, tar({"a": b"x" * 30_000}))
    while not root.is_dir() or not list(root.glob("staging/*/tree/diff/a")):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    os.close(writer)
    assert contents(root) == EMPTY


@both_ways
@pytest.mark.parametrize("room", [0, 4, 12, 40, 100, 400, 1500], ids=lambda kib: f"{kib}k")
def test_a_full_disk_leaves_nothing_behind_and_a_retry_works(tmp_path, rootless, room):  # noqa: ARG001
    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("none", disk, "tmpfs", 0, "size=50m")
    root = disk / "store"
    with LayerFS.open(root) as store:
        big = {f"f{n}": os.urandom(30_000) for n in range(60)}
        # SQLite's log grows once: what is tried is the disk under the content.
        store.remove_layer(store.add_layer(stream({"small": b""})).digest)
        seen = os.statvfs(disk)
        used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
        syscalls.mount(None, disk, None, syscalls.MS_REMOUNT, f"size={used + room * 1024}")
        with pytest.raises(WriteFailedError) as refusal:
            store.add_layer(stream(big))
        assert refusal.value.errno in {None, errno.ENOSPC}
        assert contents(root) == EMPTY
        syscalls.mount(None, disk, None, syscalls.MS_REMOUNT, "size=50m")
        layer = store.add_layer(stream(big))
        assert store.verify() == store.check() == []
        assert store.remove_layer(layer.digest)
    assert contents(root) == EMPTY


@both_ways
def test_a_disk_without_inodes_leaves_nothing_behind(tmp_path, rootless):  # noqa: ARG001
    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("none", disk, "tmpfs", 0, "size=50m,nr_inodes=60")
    with LayerFS.open(disk / "store") as store:
        with pytest.raises(WriteFailedError):
            store.add_layer(stream({f"f{n}": b"" for n in range(60)}))
        assert contents(disk / "store") == EMPTY


# --- several at once


def crowd(count, body, *args):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=body, args=(n, *args)) for n in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def add_in_a_process(number, root, blob):
    with LayerFS.open(root) as store:
        for _ in range(3):
            assert store.add_layer(blob, GZIP).digest == sha256(blob.read_bytes())
            own = store.add_layer(stream({f"own{number}": b""}))
            assert store.get_layer(own.digest) == own


def test_eight_processes_adding_one_layer_to_a_new_store_make_one_layer(root, blob):
    assert crowd(8, add_in_a_process, root, blob) == [0] * 8
    with LayerFS.open(root) as store:
        assert len(store.layers()) == 9
        assert len(contents(root)["layers"]) == 9
        assert store.check() == store.verify() == []
        assert contents(root)["staging"] == []


def add_and_collect(number, root, blob):
    with LayerFS.open(root) as store:
        for turn in range(10):
            if number % 2:
                layer = store.add_layer(blob, GZIP)
                assert layer.digest == sha256(blob.read_bytes())
                store.add_layer(stream({f"own{number}-{turn}": b""}))
            else:
                assert store.collect_garbage().errors == ()


def test_garbage_collection_never_breaks_an_add(root, blob):
    assert crowd(6, add_and_collect, root, blob) == [0] * 6
    with LayerFS.open(root) as store:
        assert store.check() == store.verify() == []
        store.collect_garbage()
    assert contents(root) == EMPTY
