"""Layers that are added by helper processes, and all that can befall one of these."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from layerfs import command
from layerfs.errors import DigestMismatchError, HostileLayerError, StorageError
from layerfs.limits import Limits
from layerfs.store import LayerFS

from .recipes import gz, sha256
from .test_image import Layout, root, store  # noqa: F401 - fixtures

BIG = 1 << 20


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """Count the helpers that are started, on a machine of any size."""
    started = []
    start = command.start

    def counted(module, *args, **kwargs):
        process = start(module, *args, **kwargs)
        if module == "layerfs.extracting":
            started.append(process)
        return process

    monkeypatch.setattr(command, "start", counted)
    monkeypatch.setattr(command, "are_possible", lambda: True)
    yield started
    assert [process.poll() is None for process in started] == [False] * len(started)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


@pytest.fixture
def large():
    """Files of three layers, each of more than a MiB even when compressed."""
    return [
        {f"layer{n}": os.urandom(BIG + 50_000), f"d{n}/small": b"small %d" % n} for n in range(3)
    ]


def left(root):  # noqa: F811
    return sorted(os.listdir(root / "staging")) + sorted(os.listdir(root / "layers"))


def test_large_layers_are_added_by_helpers_and_are_what_they_would_be_otherwise(
    store, root, layout, large, helpers  # noqa: F811
):  # fmt: skip
    layout.index(layout.image(*large, {"tiny": b"tiny"}, name="x"))
    image = store.import_image(layout.path)
    assert len(helpers) == 3
    other_root = root.parent / "other"
    command.are_possible = lambda: False  # the fixture puts it back
    with LayerFS.open(other_root) as other:
        assert other.import_image(layout.path) == image
        assert other.layers() == store.layers()
        assert other.stats() == store.stats()
    assert len(helpers) == 3
    assert store.verify() == []
    for files, diff_id in zip(large, image.diff_ids, strict=False):
        for name, data in files.items():
            assert (root / "layers" / diff_id[7:] / "diff" / name).read_bytes() == data


def test_one_large_layer_needs_no_helper_and_neither_do_small_ones(
    store, layout, large, helpers  # noqa: F811
):  # fmt: skip
    layout.index(layout.image(large[0], *({f"{n}": b"x"} for n in range(5)), name="x"))
    assert len(store.import_image(layout.path).digests) == 6
    assert helpers == []


def test_what_is_here_already_is_not_extracted_again(store, layout, large, helpers):  # noqa: F811
    first = layout.image(*large[:2], name="first")
    second = layout.image(*large, name="second")
    layout.index(first, second)
    store.import_image(layout.path, "first")
    assert len(helpers) == 2
    assert len(store.import_image(layout.path, "second").digests) == 3
    assert len(helpers) == 2


def test_the_same_layer_several_times_in_an_image_is_extracted_once(
    store, layout, large, helpers  # noqa: F811
):  # fmt: skip
    layout.index(layout.image(large[0], large[1], large[0], large[0], name="x"))
    assert len(store.import_image(layout.path).digests) == 4
    assert len(store.layers()) == 2
    assert len(helpers) == 2


def test_progress_is_that_of_all_layers_together(store, layout, large):  # noqa: F811
    layout.index(layout.image(*large, {"tiny": b"tiny"}, name="x"))
    total = sum(len(gz(files)) for files in [*large, {"tiny": b"tiny"}])
    told = []
    store.import_image(layout.path, progress=lambda done, of: told.append((done, of)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)
    assert {of for _, of in told} == {total}


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_bad_layer_leaves_none_of_its_image(store, root, layout, large, bad):  # noqa: F811
    layout.index(layout.image(*large, name="x"))
    blob = layout.path / "blobs/sha256" / sha256(gz(large[bad]))[7:]
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(DigestMismatchError) as raised:
        store.import_image(layout.path)
    assert raised.value.digest == sha256(gz(large[bad]))
    assert store.layers() == []
    assert left(root) == []


def test_an_error_arrives_with_all_that_it_knows(store, root, layout, large):  # noqa: F811
    layout.index(layout.image(large[0], {**large[1], "../out": b"x"}, name="x"))
    with pytest.raises(HostileLayerError) as raised:
        store.import_image(layout.path)
    assert raised.value.path == "../out"
    assert left(root) == []


def test_helpers_keep_to_the_limits_of_the_store(root, layout, large, helpers):  # noqa: F811
    layout.index(layout.image(*large, name="x"))
    with LayerFS.open(root, limits=Limits(max_file_bytes=BIG)) as limited:
        with pytest.raises(Exception, match="bytes") as raised:
            limited.import_image(layout.path)
        assert raised.value.limit == f"max_file_bytes={BIG}"
    assert helpers
    assert left(root) == []


def test_a_helper_that_is_killed_is_an_error_and_leaves_nothing(
    store, root, layout, large, monkeypatch  # noqa: F811
):  # fmt: skip
    counted = command.start

    def killed(module, *args, **kwargs):
        process = counted(module, *args, **kwargs)
        if module == "layerfs.extracting":
            process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(command, "start", killed)
    layout.index(layout.image(*large, name="x"))
    with pytest.raises(StorageError, match="ended with status -9"):
        store.import_image(layout.path)
    assert store.layers() == []
    assert left(root) == []


def test_without_processes_all_is_done_here(store, layout, large, monkeypatch):  # noqa: F811
    def refused(*_args, **_kwargs):
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(command, "start", refused)
    layout.index(layout.image(*large, name="x"))
    assert len(store.import_image(layout.path).digests) == 3
    assert store.verify() == []


def test_an_interruption_ends_the_helpers_and_leaves_nothing(root, layout, large):  # noqa: F811
    layout.index(layout.image(*large, name="x"))
    script = """
import sys
from layerfs import command, parallel
from layerfs.store import LayerFS
command.are_possible = lambda: True
read = parallel._Helper.read
def interrupted(self):
    raise KeyboardInterrupt
parallel._Helper.read = interrupted
with LayerFS.open(sys.argv[1]) as store:
    try:
        store.import_image(sys.argv[2])
    except KeyboardInterrupt:
        print(store.layers())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), str(layout.path)], check=True,
        capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert left(root) == []
