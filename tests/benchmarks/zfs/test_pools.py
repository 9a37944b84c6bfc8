import pytest

from benchmarks.packages import BenchError
from benchmarks.zfs import pools


class Zfs:
    def __init__(self):
        self.made = ["pool", "pool/layerfs"]
        self.taken = []

    def create(self, dataset):
        self.made.append(dataset)

    def snapshot(self, snapshots):
        self.taken += snapshots

    def clone(self, snapshot, dataset):
        assert snapshot in self.taken
        self.made.append(dataset)


@pytest.fixture
def zfs(monkeypatch):
    made = Zfs()
    told = {"zpool": lambda: "", "zfs": lambda: "\n".join(made.made)}
    monkeypatch.setattr(pools, "run", lambda argv: told[argv[0]]())
    return made


def test_a_pool_is_filled_with_datasets_in_the_stores_own(zfs):
    pools.fill(zfs, "pool", "pool/layerfs", 30)
    assert len(set(zfs.made)) == 30
    assert len([name for name in zfs.made if name.startswith("pool/layerfs/")]) == 27


def test_a_pool_that_has_more_already_is_an_error(zfs):
    with pytest.raises(BenchError, match="has 3 datasets, more than 2"):
        pools.fill(zfs, "pool", "pool/layerfs", 2)


@pytest.mark.parametrize("kind", ["disk", "file"])
def test_a_pool_lies_on_a_disk_and_goes_at_the_end(kind, monkeypatch, tmp_path):
    gone = []
    made = {"name": "layerfs-01234567", "kind": kind}
    monkeypatch.setattr(pools.pools, "make", lambda *_, **__: made)
    monkeypatch.setattr(pools.pools, "destroy", lambda *arguments: gone.append(arguments))
    if kind == "disk":
        with pools.pool("pool0", tmp_path) as name:
            assert (name, gone) == (made["name"], [])
    else:
        with pytest.raises(BenchError, match="pool0"), pools.pool("pool0", tmp_path):
            pass
    assert gone == [(made["name"], str(tmp_path))]
