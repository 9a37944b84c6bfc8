"""Chains without a pool: what is refused before ZFS is asked, and what its answers mean."""

import errno
import os

import pytest

from layerfs.backends.zfschains import ZfsChains, refuse_long
from layerfs.backends.zfsviews import ZfsViews
from layerfs.catalog import Catalog
from layerfs.chains import Chain
from layerfs.errors import ZFSDatasetCreateFailedError, ZFSError
from layerfs.zfs import Property, ZfsFailure

HEX = "0123456789abcdef" * 4
CHAIN = Chain(f"sha256:{HEX}", f"sha256:{HEX}", "", "77")
PLACE = f"pool/store/{HEX}"


class Told:
    """A way to ZFS that knows properties alone."""

    def __init__(self, **datasets):
        self.datasets = {f"{PLACE}@layer": {}, **datasets}

    def properties(self, name, wanted):
        if name not in self.datasets:
            raise ZfsFailure(errno.ENOENT, operation="get", name=name)
        found = self.datasets[name]
        return {one: Property(found[one], "local") if one in found else None for one in wanted}


@pytest.fixture
def trees(tmp_path):
    catalog = Catalog.open(tmp_path / "db")
    with catalog.chains.transaction():
        catalog.chains.put(CHAIN)
    yield ZfsChains(tmp_path, "pool/store", Told(), catalog.chains, 500)
    catalog.close()


def test_a_name_is_too_long_when_its_snapshots_is():
    longest = "pool/" + "x" * (255 - len("pool/@layer"))
    refuse_long(longest)
    with pytest.raises(ZFSDatasetCreateFailedError, match="255 bytes"):
        refuse_long(f"{longest}x")


@pytest.mark.parametrize("guid", [None, "78"])
def test_a_chain_whose_snapshot_is_another_or_gone_is_forgotten(trees, guid):
    name = f"{PLACE}@layer"
    trees.zfs.datasets = {} if guid is None else {name: {"guid": guid}}
    assert not trees.is_whole(CHAIN)
    assert trees.chains.all() == []


@pytest.mark.parametrize("change", [{"acltype": "off"}, {"acltype": "nfsv4"}, {"xattr": "off"}])
def test_a_chain_that_would_show_another_tree_is_whole_and_not_shown(trees, change):
    right = {"guid": "77", "acltype": "posixacl", "xattr": "on"}
    trees.zfs.datasets[f"{PLACE}@layer"] = right
    assert trees.is_whole(CHAIN, shown=True)
    right.update(change)
    assert trees.is_whole(CHAIN)
    with pytest.raises(ZFSError, match=f"zfs set {next(iter(change))}=.* {PLACE}"):
        trees.is_whole(CHAIN, shown=True)
    assert trees.chains.all() == [CHAIN]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("pool/moved", True), ("pool/moved@layer", True), ("pool/other", False),
        ("pool/other@layer", False), ("pool/plain", False), ("pool/gone", False),
    ],
)  # fmt: skip
def test_a_view_is_known_by_what_its_dataset_says_and_its_snapshots_guid(
    trees, tmp_path, name, known
):
    trees.zfs.datasets = {
        "pool/moved": {"layerfs:view": "run"}, "pool/other": {"layerfs:view": "walk"},
        "pool/moved@layer": {"guid": "77"}, "pool/other@layer": {"guid": "78"}, "pool/plain": {},
    }  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    (run / "source").write_bytes(b"\0".join([os.fsencode(PLACE), b"/target", b"77"]))
    views = ZfsViews(trees)
    assert views.noted(run) == (os.fsencode(PLACE), b"/target")
    assert views._is_renamed(run, name) is known
