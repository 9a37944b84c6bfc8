import json
import os

import pytest

from harness import protocol
from layerfs import verbs
from layerfs.errors import (
    InvalidMountPointError,
    LayerFSError,
    LayerNotFoundError,
    LimitExceededError,
    ReadOnlyFilesystemError,
    StorageError,
    UnmountFailedError,
    UnsupportedError,
    ValidationError,
)
from layerfs.openstores import Stores, stores
from layerfs.store import LayerFS
from layerfs.verbs import VERBS, answer

from .isolation import isolated
from .recipes import GZIP, PLAIN, gz, sha256, tar

UNKNOWN = "sha256:" + "0" * 64
#: One value of the right type for each field.
RIGHT = {
    "store": "/nowhere/store",
    "readonly": False,
    "limits": {"max_members": 5},
    "zfs": "pool/layers",
    "path": "/nowhere/file",
    "media_type": PLAIN,
    "digest": UNKNOWN,
    "size": 1,
    "diff_id": UNKNOWN,
    "dependencies": [UNKNOWN],
    "digests": [UNKNOWN],
    "target": "/nowhere/target",
    "writable": True,
    "name": "lease",
    "dry_run": True,
    "force": True,
    "reference": "latest",
    "image": "latest",
    "since": [],
    "blobs_only": True,
}
FIELDS = [(verb, field) for verb, known in VERBS.items() for field in known.fields]
REQUIRED = [(verb, field) for verb, field in FIELDS if VERBS[verb].fields[field].default is ...]


def request(verb, **others):
    """A whole request of the right types, except for ``others``."""
    return {name: RIGHT[name] for name in VERBS[verb].fields} | others


class Store:
    """A fresh store; each response is checked against the protocol's model."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "store"
        self.scratch = tmp_path
        self.stores = Stores()
        self.ask("open")

    def ask(self, verb, **fields):
        response = answer(self.stores, verb, {"store": str(self.path), **fields})
        json.dumps(response)
        protocol.VERBS[verb].response.model_validate(response)
        return response

    def add(self, files, **fields):
        blob = self.scratch / "blob"
        blob.write_bytes(tar(files))
        return self.ask("add", path=str(blob), **fields)["layer"]["digest"]


# --- requests


def test_the_verbs_are_those_of_the_protocol():
    assert list(VERBS) == list(protocol.VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_fields_and_defaults_are_those_of_the_protocol(verb):
    theirs = protocol.VERBS[verb].request.model_fields
    ours = VERBS[verb].fields
    assert set(ours) == set(theirs)
    for name, field in theirs.items():
        assert (ours[name].default is ...) == field.is_required(), name
        if not field.is_required():
            assert ours[name].default == field.default, name


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_field_is_named(verb):
    with pytest.raises(ValidationError, match="unknown field 'colour'"):
        answer(Stores(), verb, request(verb, colour=1))


@pytest.mark.parametrize(("verb", "field"), REQUIRED)
def test_a_required_field_that_is_missing_is_named(verb, field):
    asked = request(verb)
    del asked[field]
    with pytest.raises(ValidationError, match=f"{verb}: field '{field}' is missing"):
        answer(Stores(), verb, asked)


WRONG = [None, 1, 1.5, True, "text", "", [], [1], [None], {}, ["a", 1], -1, "/abs", "rel"]


@pytest.mark.parametrize(("verb", "field"), FIELDS)
def test_a_field_takes_what_the_protocols_model_takes_and_names_what_it_does_not(verb, field):
    model = protocol.VERBS[verb].request
    for value in WRONG:
        asked = request(verb, **{field: value})
        try:
            model.model_validate_json(json.dumps(asked), strict=True)
        except ValueError:
            right = False
        else:
            right = True
        if field == "size" and value == -1:
            right = False  # the model leaves that to the subject
        wrong = VERBS[verb].fields[field].check(value)
        assert (not wrong) == right, (value, wrong)
        if wrong:
            with pytest.raises(ValidationError, match=f"field '{field}' "):
                answer(Stores(), verb, asked)


@pytest.mark.parametrize("asked", [None, [], "text", 1, True])
def test_a_request_that_is_no_object_is_refused(asked):
    with pytest.raises(ValidationError, match="must be an object"):
        answer(Stores(), "list", asked)


@pytest.mark.parametrize(
    ("field", "value"),
    [("store", "/a\0b"), ("store", "/\ud800"), ("path", "/\0"), ("media_type", "\ud800")],
)
def test_strings_that_no_bytes_stand_for_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        answer(Stores(), "add", request("add", **{field: value}))


def test_names_kept_in_metadata_are_utf8():
    with pytest.raises(ValidationError, match="'name' must be a name in UTF-8"):
        answer(Stores(), "release", request("release", name="\udcff"))


@pytest.mark.parametrize("verb", ["nope", "Open", "", 1, None, "x" * 10_000])
def test_a_verb_that_is_not_known_is_unsupported(verb):
    with pytest.raises(UnsupportedError) as caught:
        answer(Stores(), verb, {})
    assert len(caught.value.message) < 500


# --- stores


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in {"info", "open"}])
@pytest.mark.parametrize("there", ["missing", "empty", "other"])
def test_no_verb_but_open_makes_a_store(tmp_path, verb, there):
    store = tmp_path / "store"
    if there != "missing":
        store.mkdir()
    if there == "other":
        (store / "file").touch()
    with pytest.raises(StorageError, match="`layerfs init`"):
        answer(Stores(), verb, request(verb, store=str(store)))
    assert os.listdir(tmp_path) == ([] if there == "missing" else ["store"])
    assert there != "other" or os.listdir(store) == ["file"]


def test_a_store_is_opened_once_and_again_when_it_was_replaced(tmp_path):
    store = Store(tmp_path)
    first = store.stores.get(str(store.path))
    assert store.stores.get(str(store.path)) is first
    assert store.stores.get(str(store.path) + "/.") is first
    digest = store.add({"f": b"1"})
    os.rename(store.path, tmp_path / "elsewhere")
    LayerFS.open(store.path).close()
    assert store.ask("list") == {"layers": []}
    assert answer(store.stores, "get", {"store": f"{tmp_path}/elsewhere", "digest": digest})


def test_a_store_that_was_removed_is_no_store(tmp_path):
    store = Store(tmp_path)
    os.rename(store.path, tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="no store"):
        store.ask("list")


def test_readonly_holds_until_the_store_is_closed_or_opened_again(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"f": b"1"})
    store.ask("open", readonly=True)
    assert store.ask("get", digest=digest)["layer"]["digest"] == digest
    with pytest.raises(ReadOnlyFilesystemError):
        store.ask("remove", digest=digest)
    store.ask("close")
    assert store.ask("remove", digest=digest) == {"removed": True}


def test_limits_hold_until_the_store_is_closed_or_opened_again(tmp_path):
    store = Store(tmp_path)
    files = {"f": b"1", "g": b"2"}
    store.ask("open", limits={"max_members": 1})
    with pytest.raises(LimitExceededError) as caught:
        store.add(files)
    assert caught.value.limit == "max_members=1"
    assert store.add({"f": b"1"})
    store.ask("close")
    assert store.add(files)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ([], "must be an object"), ({"max_members": "5"}, "'max_members' must be a whole number"),
        ({"max_members": -1}, "'max_members' must not be negative"),
        ({"max_members": 0}, "from 1 to"), ({"max_layers": 5}, "no limit 'max_layers'"),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused_and_the_others_stay(tmp_path, limits, told):
    store = Store(tmp_path)
    with pytest.raises(ValidationError, match=told):
        store.ask("open", limits=limits)
    assert store.add({"f": b"1", "g": b"2"})


def test_all_stores_may_be_readonly(tmp_path):
    digest = Store(tmp_path).add({"f": b"1"})
    with stores(readonly=True) as opened:
        path = str(tmp_path / "store")
        assert len(answer(opened, "list", {"store": path})["layers"]) == 1
        with pytest.raises(ReadOnlyFilesystemError):
            answer(opened, "remove", {"store": path, "digest": digest})


def test_a_damaged_database_is_told_and_repair_opens_the_store_all_the_same(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"f": b"1"})
    store.stores.close()
    for extra in ("-wal", "-shm"):
        (store.path / f"layerfs.db{extra}").unlink(missing_ok=True)
    (store.path / "layerfs.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(LayerFSError, match="repair") as caught:
        store.ask("list")
    assert caught.value.code == "metadata-error"
    store.ask("repair")
    assert [layer["digest"] for layer in store.ask("list")["layers"]] == [digest]


# --- what they do; the store's own tests say the rest


def test_info_says_who_answers():
    assert answer(Stores(), "info", {}) == {
        "name": "layerfs",
        "version": verbs.__version__,
        "protocol": protocol.PROTOCOL_VERSION,
    }


def test_a_layer_is_added_listed_shown_and_removed(tmp_path):
    store = Store(tmp_path)
    files = {"d/f": b"content"}
    blob = tmp_path / "blob.gz"
    blob.write_bytes(gz(files))
    digest, diff_id = sha256(gz(files)), sha256(tar(files))
    layer = {
        "digest": digest,
        "diff_id": diff_id,
        "size": len(gz(files)),
        "media_type": GZIP,
        "dependencies": [UNKNOWN],
    }
    told = {"digest": digest, "size": layer["size"], "diff_id": diff_id}
    response = store.ask("add", path=str(blob), media_type=GZIP, dependencies=[UNKNOWN], **told)
    assert response == {"layer": layer}
    assert store.ask("get", digest=digest) == {"layer": layer}
    assert store.ask("list") == {"layers": [layer]}
    assert store.ask("remove", digest=digest) == {"removed": True}
    assert store.ask("remove", digest=digest) == {"removed": False}
    with pytest.raises(LayerNotFoundError):
        store.ask("get", digest=digest)


def test_progress_is_told_of_long_reads(tmp_path):
    seen = []
    with stores(progress=lambda done, total: seen.append((done, total))) as opened:
        path = str(tmp_path / "store")
        answer(opened, "open", {"store": path})
        (tmp_path / "blob").write_bytes(tar({"f": bytes(3 << 20)}))
        size = (tmp_path / "blob").stat().st_size
        asked = {"store": path, "path": str(tmp_path / "blob"), "size": size}
        answer(opened, "add", asked)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1] == (size, size)
        digest = sha256((tmp_path / "blob").read_bytes())
        seen.clear()
        answer(opened, "merge", {"store": path, "digests": [digest]})
        written = seen.index(max(seen, key=lambda one: one[0]))
        assert seen[written] in seen[written + 1 :], "written, then read"
        seen.clear()
        asked = {"store": path, "digests": [digest], "path": str(tmp_path / "out")}
        answer(opened, "export", asked)
        assert seen[-1] == (size, size)


def test_order_and_cycles(tmp_path):
    store = Store(tmp_path)
    base = store.add({"base": b""})
    top = store.add({"top": b""}, dependencies=[base])
    assert store.ask("order", digests=[top, base]) == {"digests": [base, top]}
    assert store.ask("order") == {"digests": [base, top]}
    assert store.ask("check-cycles") == {}


def test_leases_keep_layers_from_garbage_collection(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"f": b""})
    assert store.ask("lease", name="mine", digests=[digest]) == {}
    assert store.ask("gc")["removed"] == []
    assert store.ask("stats")["referenced"] == 1
    dry = store.ask("gc", force=True, dry_run=True)
    assert dry["removed"] == [{"digest": digest}]
    assert store.ask("release", name="mine") == {}
    assert store.ask("release", name="unknown") == {}
    done = store.ask("gc")
    assert done == dry
    assert done["bytes_freed"] > 0


def test_damage_is_found_and_mended(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"d/f": b"content"})
    assert store.ask("verify") == {"damaged": []}
    assert store.ask("check") == {"problems": []}
    (damaged,) = store.path.glob("layers/*/*/d/f")
    damaged.write_bytes(b"CONTENT")
    found = store.ask("verify", digests=[digest])["damaged"]
    assert {(one["digest"], one["path"]) for one in found} == {(digest, "d/f")}
    assert store.ask("repair")["repaired"] == [digest]
    assert store.ask("verify") == {"damaged": []}


def test_an_image_is_exported_and_imported(tmp_path):
    store = Store(tmp_path)
    digests = [store.add({"a": b"1"}), store.add({"b": b"2"})]
    out = str(tmp_path / "layout")
    manifest = store.ask("export", path=out, digests=digests, reference="made")["manifest"]
    other = tmp_path / "other"
    other.mkdir()
    importing = Store(other)
    image = importing.ask("import", path=out)["image"]
    assert (image["manifest"], image["digests"], image["reference"]) == (manifest, digests, "made")
    assert importing.ask("images") == {"images": [image]}
    assert importing.ask("untag", image="made") == {"removed": True}
    assert importing.ask("untag", image="made") == {"removed": False}
    assert importing.ask("images") == {"images": []}


@isolated
def test_layers_are_stacked_committed_merged_and_unmounted(tmp_path):
    store = Store(tmp_path)
    base, top = store.add({"f": b"base", "g": b""}), store.add({"f": b"top"})
    target = tmp_path / "view"
    mount = store.ask("stack", digests=[base, top], target=str(target), writable=True)["mount"]
    assert mount == {"target": str(target), "digests": [base, top], "writable": True}
    assert store.ask("mounts") == {"mounts": [mount]}
    assert (target / "f").read_bytes() == b"top"
    (target / "new").write_bytes(b"new")
    (target / "g").unlink()
    committed = store.ask("commit", target=str(target))["layer"]["digest"]
    merged = store.ask("merge", digests=[base, top, committed])["layer"]["digest"]
    assert store.ask("unmount", target=str(target)) == {}
    assert not target.exists()
    one = store.ask("mount", digest=merged, target=str(target))["mount"]
    assert one == {"target": str(target), "digests": [merged], "writable": False}
    assert sorted(os.listdir(target)) == ["f", "new"]
    assert (target / "f").read_bytes() == b"top"


@isolated
def test_close_unmounts_all_views_and_only_letting_go_leaves_them(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"f": b"1"})
    target = str(tmp_path / "view")
    store.ask("stack", digests=[digest], target=target)
    store.stores.close()
    assert os.listdir(target) == ["f"]
    with open(f"{target}/f", "rb"), pytest.raises(UnmountFailedError):
        store.ask("close")
    assert os.listdir(target) == ["f"]
    store.ask("close")
    assert not os.path.exists(target)
    with pytest.raises(InvalidMountPointError):
        store.ask("unmount", target=target)


@isolated
def test_a_store_opened_readonly_is_closed_with_the_views_of_others(tmp_path):
    store = Store(tmp_path)
    digest = store.add({"f": b"1"})
    target = str(tmp_path / "view")
    store.ask("stack", digests=[digest], target=target)
    with stores() as opened:
        answer(opened, "open", {"store": str(store.path), "readonly": True})
        answer(opened, "close", {"store": str(store.path)})
    assert not os.path.exists(target)
