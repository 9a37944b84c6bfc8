import os

from benchmarks import listing


def make(folder, content="one", mtime=1_000_000_000):
    (folder / "d").mkdir(parents=True)
    file = folder / "d" / "f"
    file.write_text(content)
    os.utime(file, (mtime, mtime))
    (folder / "link").symlink_to("d/f")
    os.utime(folder / "link", (mtime, mtime), follow_symlinks=False)
    os.utime(folder / "d", (mtime, mtime))


def test_equal_trees_have_equal_listings(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    (tmp_path / "b" / "d").touch()  # a directory's time is not compared
    assert listing.difference(listing.of(tmp_path / "a"), listing.of(tmp_path / "b")) == ""


def test_a_difference_is_told_with_the_path_and_whose_it_is(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", mtime=1_000_000_001)
    found = listing.difference(listing.of(tmp_path / "a"), listing.of(tmp_path / "b"))
    assert found.startswith("4 lines differ, first (only ours): 'd/f")
    make(tmp_path / "c")
    (tmp_path / "c" / "d").chmod(0o700)
    found = listing.difference(listing.of(tmp_path / "a"), listing.of(tmp_path / "c"))
    assert "'d\\x00d 7" in found
