import subprocess
import tarfile

import pytest

from benchmarks import inputs, layouts


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def build_at(stem):
    with tarfile.open(f"{stem}.tar", "w") as tar:
        info = tarfile.TarInfo("file")
        tar.addfile(info)
    subprocess.run(f"gzip -n -c {stem}.tar > {stem}.tar.gz", shell=True, check=True)
    return inputs.described(stem, ("package=1",))


def test_an_input_is_built_once_and_then_read_from_the_cache():
    built = []

    def build(stem):
        built.append(stem)
        return build_at(stem)

    first = inputs._kept("small", "a" * 64, build)
    again = inputs._kept("small", "a" * 64, build)
    assert first == again
    assert len(built) == 1
    assert first.tar.parent == inputs.cache() / f"small-{'a' * 16}"
    assert first.made_of == ("package=1",)
    assert first.entries == 1
    assert first.diff_id == inputs.digest_of(first.tar)
    assert first.gz_digest == inputs.digest_of(first.gz)


def test_a_build_that_fails_leaves_nothing():
    def build(stem):
        stem.write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        inputs._kept("small", "b" * 64, build)
    assert list(inputs.cache().iterdir()) == []


def test_an_image_is_a_layout_and_the_same_as_an_archive():
    folder = inputs.tiny_image(lambda _text: None)
    assert len(layouts.layers_of(folder / "oci")) == inputs.TINY
    with tarfile.open(folder / "oci.tar") as archive:
        assert "./index.json" in archive.getnames()
    assert inputs.tiny_image(lambda _text: None) == folder
