"""Which attributes are stored; ``test_verifytree`` looks at whether the kernel agrees."""

import struct

import pytest

from layerfs.apply import ApplyOptions
from layerfs.layerxattrs import mode_with_acl, opaque_name, stored

ROOT = ApplyOptions()
NESTED = ApplyOptions(userxattr=True, drop_privileged_xattrs=True)
SQUASHED = ApplyOptions(userxattr=True, squash_ids=True, drop_privileged_xattrs=True)
NO_ID = 0xFFFFFFFF
ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


MINIMAL = acl((1, 7, NO_ID), (4, 5, NO_ID), (32, 1, NO_ID))
MASKED = acl((1, 6, NO_ID), (4, 7, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID))
NAMED = acl((1, 6, NO_ID), (2, 7, 99), (4, 4, NO_ID), (8, 1, 7), (16, 5, NO_ID), (32, 0, NO_ID))


@pytest.mark.parametrize("policy", [ROOT, NESTED, SQUASHED])
def test_marks_of_overlayfs_are_never_stored(policy):
    forged = {b"trusted.overlay.opaque": b"y", b"user.overlay.whiteout": b""}
    assert stored(forged | {b"user.overlayed": b"1"}, policy) == {b"user.overlayed": b"1"}


def test_what_only_the_hosts_root_may_write_is_dropped_elsewhere():
    given = {b"trusted.a": b"1", b"security.selinux": b"2", b"security.capability": b"3",
             b"user.a": b"4"}  # fmt: skip
    assert stored(given, ROOT) == given
    assert stored(given, NESTED) == {b"security.capability": b"3", b"user.a": b"4"}


def test_the_mark_of_an_opaque_directory_follows_the_store():
    assert opaque_name(ROOT) == b"trusted.overlay.opaque"
    assert opaque_name(SQUASHED) == b"user.overlay.opaque"


def test_an_acl_that_says_no_more_than_the_mode_is_the_mode():
    assert stored({ACCESS: MINIMAL}, ROOT) == {}
    assert stored({DEFAULT: MINIMAL}, ROOT) == {DEFAULT: MINIMAL}
    assert stored({ACCESS: b""}, ROOT) == {}


def test_ids_of_entries_that_have_none_are_as_the_kernel_writes_them():
    sloppy = acl((1, 6, 0), (4, 7, 0), (16, 4, 0), (32, 0, 0))
    assert stored({ACCESS: sloppy}, ROOT) == {ACCESS: MASKED}


def test_acls_that_name_ids_are_dropped_where_there_is_one_id():
    assert stored({ACCESS: NAMED, DEFAULT: MASKED}, NESTED) == {ACCESS: NAMED, DEFAULT: MASKED}
    assert stored({ACCESS: NAMED, DEFAULT: MASKED}, SQUASHED) == {DEFAULT: MASKED}


@pytest.mark.parametrize("damaged", [b"\2", NAMED[:-1], b"\3" + NAMED[1:]])
def test_what_is_no_acl_is_left_for_the_kernel_to_refuse(damaged):
    assert stored({ACCESS: damaged}, SQUASHED) == {ACCESS: damaged}
    assert mode_with_acl(0o640, {ACCESS: damaged}) == 0o640


def test_an_acl_has_the_last_word_on_the_mode():
    assert mode_with_acl(0o4777, {ACCESS: NAMED}) == 0o4650
    assert mode_with_acl(0o4777, {ACCESS: MASKED}) == 0o4640
    assert mode_with_acl(0o644, {}) == 0o644
