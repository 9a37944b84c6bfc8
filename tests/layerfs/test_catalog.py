import multiprocessing
import os

import pytest

from layerfs.catalog import SCHEMA_VERSION, Catalog, MountRow, is_newer
from layerfs.errors import MetadataError
from layerfs.metastore import Database
from layerfs.records import Layer


@pytest.fixture
def meta(tmp_path):
    opened = Catalog.open(tmp_path / "layerfs.db")
    yield opened
    opened.close()


def put(meta, *layers):
    with meta.transaction():
        for layer in layers:
            meta.put_layer(layer, blob_bytes=512)


def layer(name, diff_id="", needs=(), **annotations):
    return Layer(name, diff_id or f"diff-{name}", 10, "type", tuple(needs), annotations)


def test_layers_come_back_as_they_were_put_in_the_order_of_their_adding(meta):
    layers = [layer("b", needs=["z", "a"]), layer("a", key="välue \ud800")]
    put(meta, *layers)
    assert meta.layers() == layers
    assert meta.layer("a") == layers[1]
    assert meta.layer("b") == layers[0]
    assert meta.layer("c") is None
    assert meta.digests() == ["b", "a"]
    assert (meta.has_layer("a"), meta.has_layer("c")) == (True, False)


def test_a_layer_that_is_put_again_gains_what_is_new(meta):
    put(meta, layer("a", needs=["x"], one="1"))
    put(meta, layer("a", needs=["y", "x", "y"], two="2"))
    assert meta.layer("a").dependencies == ("x", "y")
    assert meta.layer("a").annotations == {"one": "1", "two": "2"}


def test_a_tree_is_forgotten_with_its_last_layer(meta):
    put(meta, layer("a", "same"), layer("b", "same"))
    with meta.transaction():
        meta.put_tree("same", 4096)
    assert meta.layers_of("same") == ("a", "b")
    assert meta.bytes_of("a") == (512, 4096)
    assert meta.bytes_total() == 2 * 512 + 4096
    for name, left in (("a", 512 + 4096), ("b", 0), ("b", 0)):
        with meta.transaction():
            meta.delete_layer(name)
        assert meta.bytes_total() == left
    assert meta.edges() == []


def test_dependencies_can_be_asked_from_both_ends(meta):
    put(meta, layer("a", needs=["x", "y"]), layer("b", needs=["x"]))
    assert meta.needs("a") == ("x", "y")
    assert meta.dependents("x") == ("a", "b")
    assert meta.edges() == [("a", "x"), ("a", "y"), ("b", "x")]
    assert meta.is_referenced("y")
    assert not meta.is_referenced("a")


def test_views_come_back_as_they_were_put_whatever_their_target_is_called(meta):
    target = os.fsdecode(b"/t\xff,:\\\n")
    rows = [
        MountRow("1", target, ("a", "b", "a"), True, False, "boot", 2**32 - 1),
        MountRow("2", "/u", ("b",), False, True, "earlier", 1),
    ]
    with meta.transaction():
        for row in rows:
            meta.put_mount(row)
    assert meta.mounts() == rows
    assert meta.mounts(target=target) == rows[:1]
    assert meta.mounts(digest="a") == rows[:1]
    assert meta.mounts_of_other_boots("boot") == rows[1:]
    assert meta.mount("2") == rows[1]
    with meta.transaction():
        meta.delete_mount("1")
    assert meta.mount("1") is None
    assert meta.mounts() == rows[1:]


def test_settings_are_kept(meta):
    assert meta.setting("features") is None
    with meta.transaction():
        meta.set_setting("features", {"a": [1, None]})
        meta.set_setting("features", {"a": [2, None]})
    assert meta.setting("features") == {"a": [2, None]}


def test_many_layers_are_found_at_once(meta):
    many = [f"{number:064}" for number in range(1200)]
    for digest in many:
        put(meta, layer(digest, needs=("x", digest[:3])))
    asked = [*reversed(many), "unknown"]
    assert meta.layers_of_digests(asked) == {one: meta.layer(one) for one in many}
    assert meta.diff_ids(asked) == {one: meta.layer(one).diff_id for one in many}
    assert meta.layers_of_digests([]) == meta.diff_ids([]) == {}


def test_digests_are_found_by_their_beginning(meta):
    names = ["a:10", "b:1", "a:1f", "a:2", "a:1"]
    for name in names:
        put(meta, layer(name))
    assert meta.digests_beginning("a:1") == ["a:1", "a:10", "a:1f"]
    assert meta.digests_beginning("a:1f") == ["a:1f"]
    assert meta.digests_beginning("a:3") == []


# --- versions


def test_metadata_of_a_newer_version_is_refused_by_both_numbers(tmp_path):
    path = tmp_path / "db"
    Catalog.open(path).close()
    database = Database.open(path)
    with database.transaction():
        database.run_script(["PRAGMA user_version = 99"])
    database.close()
    for readonly in (False, True):
        with pytest.raises(MetadataError, match=f"version 99.* version {SCHEMA_VERSION}"):
            Catalog.open(path, readonly=readonly)
    assert is_newer(path)


def test_metadata_of_another_program_is_refused(tmp_path):
    database = Database.open(tmp_path / "db")
    with database.transaction():
        database.run_script(["CREATE TABLE theirs (a)"])
    database.close()
    with pytest.raises(MetadataError, match="not layerfs's"):
        Catalog.open(tmp_path / "db")
    assert not is_newer(tmp_path / "db")


def test_garbage_is_not_taken_for_a_newer_version(tmp_path):
    (tmp_path / "db").write_bytes(b"\xff" * 8192)
    assert not is_newer(tmp_path / "db")


def create(path):
    meta = Catalog.open(path)
    put(meta, layer("same"))
    meta.close()


def test_eight_processes_create_one_catalogue(tmp_path):
    context = multiprocessing.get_context("fork")
    crowd = [context.Process(target=create, args=(tmp_path / "db",)) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert [one.exitcode for one in crowd] == [0] * 8
    meta = Catalog.open(tmp_path / "db")
    assert meta.digests() == ["same"]
    meta.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM layers WHERE digest = ?",
        "SELECT digest FROM layers WHERE digest >= ? AND digest < ''",
        "SELECT digest FROM layers WHERE diff_id = ?",
        "SELECT digest FROM dependencies WHERE needs = ?",
        "SELECT lease FROM lease_layers WHERE digest = ?",
        "SELECT manifest FROM image_layers WHERE digest = ?",
        "SELECT manifest FROM image_names WHERE manifest = ?",
        "SELECT id FROM mounts WHERE target = ?",
    ],
)
def test_what_an_operation_on_one_layer_asks_goes_through_an_index(meta, sql):
    (plan,) = meta.database.rows(f"EXPLAIN QUERY PLAN {sql}", ("x",))
    assert plan[3].startswith("SEARCH")
