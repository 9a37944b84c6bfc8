"""The table of properties: what is set, as the command takes it and as the kernel does."""

import pytest

from layerfs.errors import ValidationError
from layerfs.zfs.properties import (
    printed,
    readable,
    settings,
    unmounted,
    user_name,
    user_settings,
)


@pytest.mark.parametrize(
    ("name", "value", "text", "kernel"),
    [
        ("acltype", "posix", "posix", 1),
        ("acltype", "off", "off", 0),
        ("atime", "off", "off", 0),
        ("canmount", "noauto", "noauto", 2),
        ("compression", "off", "off", 2),
        ("compression", "zstd", "zstd", 16),
        ("mountpoint", "legacy", "legacy", "legacy"),
        ("mountpoint", "/a b/ü", "/a b/ü", "/a b/ü"),
        ("quota", "none", "none", 0),
        ("quota", "0", "none", 0),
        ("quota", "10M", "10485760", 10485760),
        ("refquota", "1234567", "1234567", 1234567),
        ("readonly", "on", "on", 1),
        ("recordsize", "128K", "131072", 131072),
        ("xattr", "sa", "sa", 2),
        ("xattr", "dir", "dir", 1),
        ("layerfs:x", "-o = ü\n", "-o = ü\n", "-o = ü\n"),
        ("layerfs:x", "", "", ""),
    ],
)
def test_a_property_is_set_in_both_forms(name, value, text, kernel):
    assert settings({name: value}) == {name: (text, kernel)}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("acltype", "posixacl", r"it is off \| posix"),
        ("xattr", "on", r"it is off \| dir \| sa"),
        ("readonly", "yes", r"it is off \| on"),
        ("canmount", "on", r"it is off \| noauto"),
        ("quota", "-1", "a number of bytes"),
        ("quota", "1.5G", "a number of bytes"),
        ("quota", "", "a number of bytes"),
        ("quota", "9999999999999T", "a number of bytes"),
        ("quota", "१", "a number of bytes"),
        ("recordsize", "100", "a power of two"),
        ("recordsize", "256", "a power of two"),
        ("recordsize", "2M", "a power of two"),
        ("mountpoint", "relative", "an absolute path"),
        ("mountpoint", "/a\nb", "an absolute path"),
        ("mountpoint", "/" + "x" * 1023, "less than 1024 bytes"),
        ("sharenfs", "on", "not one that layerfs sets"),
        ("encryption", "on", "not one that layerfs sets"),
        ("used", "1", "not one that layerfs sets"),
        ("layerfs:Upper", "1", "'U' is not allowed"),
        ("-o:x", "1", "begins with '-'"),
        ("layerfs:a=b", "1", "'=' is not allowed"),
        ("layerfs:" + "x" * 248, "1", "256 bytes are too long"),
        ("layerfs:x", "a\0b", "no NUL"),
        ("layerfs:x", "ü" * 4096, "8192 bytes; ZFS takes 8191"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason(name, value, why):
    with pytest.raises(ValidationError, match=why):
        settings({name: value})


def test_nothing_is_mounted_unless_somebody_asks_for_it():
    assert unmounted({}) == {"canmount": "noauto"}
    assert unmounted({"canmount": "off", "a:b": "c"}) == {"canmount": "off", "a:b": "c"}
    with pytest.raises(ValidationError, match="layerfs mounts its datasets itself"):
        unmounted({"canmount": "on"})


def test_a_snapshot_has_properties_of_the_user_only():
    assert user_settings({"a:b": "c"}) == {"a:b": "c"}
    with pytest.raises(ValidationError, match="has a ':' in its name"):
        user_settings({"readonly": "on"})


def test_only_known_properties_are_read():
    assert readable(["guid", "layerfs:x", "quota"]) == ["guid", "layerfs:x", "quota"]
    with pytest.raises(ValidationError, match="'sharenfs' is not one that layerfs reads"):
        readable(["sharenfs"])
    with pytest.raises(ValidationError, match="'A' is not allowed"):
        readable([user_name("a:b"), "A:b"])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("guid", "-1", "18446744073709551615"),
        ("used", "24576", "24576"),
        ("compressratio", "100", "1.00"),
        ("refcompressratio", "1234", "12.34"),
        ("compressratio", "105", "1.05"),
        ("origin", "pool/a@s", "pool/a@s"),
        ("layerfs:n", "-1", "-1"),
    ],
)
def test_values_are_printed_as_zfs_get_does(name, value, text):
    assert printed(name, value) == text
