import gzip
import io
import json
import tarfile

from benchmarks import layouts


def archive(*members):
    """A tar of (name, target): a symlink to the target, or an empty file if that is None."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, target in members:
            info = tarfile.TarInfo(name)
            info.pax_headers = {"SCHILY.xattr.user.a": "b"}
            if target is not None:
                info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def names(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as found:
        return [member.name for member in found]


def test_markers_below_a_symlink_of_the_same_layer_are_left_out():
    tar = archive(("d", "/x"), ("d/.wh.a", None), ("e/.wh.b", None), ("d/file", None))
    kept = layouts.without_markers_below_symlinks(tar)
    assert names(kept) == ["d", "e/.wh.b", "d/file"]
    with tarfile.open(fileobj=io.BytesIO(kept)) as found:
        assert all(one.pax_headers["SCHILY.xattr.user.a"] == "b" for one in found)


def test_a_layer_without_such_markers_is_unchanged():
    tar = archive(("d", "/x"), ("e/.wh.b", None), ("f", None))
    assert layouts.without_markers_below_symlinks(tar) == tar


def test_a_layout_that_is_written_is_read_again(tmp_path):
    written = [layouts.tiny(1), layouts.tiny(2)]
    layouts.write(tmp_path / "oci", written)
    found = layouts.layers_of(tmp_path / "oci")
    assert [(one.digest, one.size, one.diff_id) for one in found] == [
        (one.digest, one.size, one.diff_id) for one in written
    ]
    assert gzip.decompress(found[0].path.read_bytes()) == layouts.tiny_tar(1)
    assert json.loads((tmp_path / "oci" / "oci-layout").read_text()) == {
        "imageLayoutVersion": "1.0.0"
    }


def test_tiny_layers_differ_by_their_number():
    assert layouts.tiny(1).digest != layouts.tiny(2).digest
    assert layouts.tiny(1) == layouts.tiny(1)
