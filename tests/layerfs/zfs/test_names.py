"""Names that ZFS, or a command line, must never see, and those that are fine."""

import pytest

from layerfs.errors import ValidationError
from layerfs.zfs import names

LONGEST = "pool/" + "x" * 250
DATASETS = ["pool", "pool/a", "Pool-1/a.b_c:d/sha256:0", "p/.hidden", "p/0", LONGEST]


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_a_full_name(name):
    assert names.dataset(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "a component is empty"),
        ("/a", "a component is empty"),
        ("pool/", "a component is empty"),
        ("pool//a", "a component is empty"),
        ("-pool/a", "a component begins with '-'"),
        ("pool/-o", "a component begins with '-'"),
        ("pool/..", "a component is '..'"),
        ("pool/./a", "a component is '.'"),
        ("pool/a b", "' ' is not allowed"),
        ("pool/a\nb", r"'\\n' is not allowed"),
        ("pool/a\0", r"'\\x00' is not allowed"),
        ("pool/a@s", "'@' is not allowed"),
        ("pool/a#b", "'#' is not allowed"),
        ("pool/a%", "'%' is not allowed"),
        ("pool/a'", r'"\'" is not allowed'),
        ("pool/ä", "'ä' is not allowed"),
        ("pool/*", r"'\*' is not allowed"),
        ("0pool/a", "a pool's name begins with a letter"),
        (LONGEST + "x", "256 bytes are too long: ZFS takes 255"),
    ],
)
def test_what_is_no_dataset_is_refused_with_the_reason(name, why):
    with pytest.raises(ValidationError, match=f"^zfs dataset name .*: {why}$"):
        names.dataset(name)


def test_the_root_of_a_pool_is_not_ours():
    with pytest.raises(ValidationError, match="the root of a pool"):
        names.inner("pool")
    assert names.inner("pool/a") == "pool/a"


@pytest.mark.parametrize("name", ["pool@s", "pool/a/b@layer", "p/a@2020-01-01_00:00"])
def test_a_snapshot_has_a_full_name(name):
    assert names.snapshot(name) == name
    assert names.any_name(name) == name


@pytest.mark.parametrize(
    "name", ["pool/a", "pool/a@", "@s", "p/a@s@t", "p/a@s/t", "p/a@-s", "p/a@s t", LONGEST + "@s"]
)
def test_what_is_no_snapshot_is_refused(name):
    with pytest.raises(ValidationError, match=r"^zfs snapshot name "):
        names.snapshot(name)


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "..", "-a", "a b"])
def test_what_is_no_component_is_refused(name):
    with pytest.raises(ValidationError, match=r"^zfs name "):
        names.component(name)


@pytest.mark.parametrize("name", ["", "pool/a", "1pool", "pool@s", "po ol"])
def test_what_is_no_pool_is_refused(name):
    with pytest.raises(ValidationError, match=r"^zfs pool name "):
        names.pool(name)


@pytest.mark.parametrize("name", ["", "-t", ".t", "a b", "ä", "a\n", "x" * 256])
def test_what_is_no_tag_is_refused(name):
    with pytest.raises(ValidationError, match=r"^tag of a zfs hold "):
        names.tag(name)


def test_the_parts_of_a_name():
    assert names.pool_of("p/a/b@s") == names.pool_of("p@s") == names.pool_of("p") == "p"
    assert names.parent_of("p/a/b") == "p/a"
    assert names.parent_of("p/a@s") == "p/a"
    assert names.one_pool(["p/a", "p/b@s"]) == "p"
    with pytest.raises(ValidationError, match="one pool, not of p, q"):
        names.one_pool(["q/a", "p/b"])
