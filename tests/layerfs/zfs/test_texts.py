"""The texts of the zfs command, as OpenZFS 2.1 and 2.3 print them, and the kernel's numbers."""

import errno

import pytest

from layerfs.zfs import texts
from layerfs.zfs.failure import ECKSUM, ZFS_ERR_STREAM_TRUNCATED


@pytest.mark.parametrize(
    ("errors", "number"),
    [
        ("cannot create 'p/a': dataset already exists\n", errno.EEXIST),
        ("cannot create 'p/no/x': parent does not exist\n", errno.ENOENT),
        ("cannot create 'none/x': no such pool 'none'\n", errno.ENOENT),
        ("cannot open 'p/a@no': dataset does not exist\n", errno.ENOENT),
        ("cannot create 'q/d': source and target pools differ\n", errno.EXDEV),
        ("cannot create 'p/d': out of space\n", errno.ENOSPC),
        (("cannot create snapshot 'p/a@s': dataset already exists\n"
          "no snapshots were created\n"), errno.EEXIST),
        ("cannot hold snapshot 'p/a@s': tag already exists on this dataset\n", errno.EEXIST),
        ("cannot release hold from snapshot 'p/a@s': no such tag on this dataset\n", errno.ESRCH),
        ("cannot rename to 'q/a': datasets must be within same pool\n", errno.EXDEV),
        (("cannot rename to 'p/c/d': New dataset name cannot be a descendant of current dataset "
          "name\n"), errno.EINVAL),
        ("cannot create 'p/a': permission denied\n", errno.EPERM),
        ("cannot create 'p/a': pool is read-only\n", errno.EROFS),
        (("cannot receive new filesystem stream: destination 'p/b' exists\n"
          "must specify -F to overwrite it\n"), errno.EEXIST),
        ("cannot receive new filesystem stream: checksum mismatch or incomplete stream\n", ECKSUM),
        ("cannot receive new filesystem stream: incomplete stream\n", ZFS_ERR_STREAM_TRUNCATED),
        ("cannot receive: invalid stream (bad magic number)\n", errno.EINVAL),
        ("cannot receive: failed to read from stream\n", errno.EINVAL),
        ("cannot receive new filesystem stream: destination p/e space quota exceeded.\n",
         errno.EDQUOT),
        (("cannot receive incremental stream: most recent snapshot of p/b does not\n"
          "match incremental source\n"), errno.ENODEV),
        ("warning: cannot send 'p/a@s': not an earlier snapshot from the same fs\n", errno.EXDEV),
        (("cannot receive incremental stream: destination p/b has been modified\n"
          "since most recent snapshot\n"), errno.ETXTBSY),
        ("warning: cannot send 'p/a@s': incremental source (p/a@no) does not exist\n",
         errno.ENOENT),
        ("cannot send p@s: incremental source (p/a@t) is not earlier than it\n", errno.EXDEV),
        ("cannot destroy 'p/a': dataset is busy\n", errno.EBUSY),
        ("internal error: something new\n", errno.EPROTO),
        ("", errno.EPROTO),
    ],
)  # fmt: skip
def test_each_text_is_the_number_of_the_kernel(errors, number):
    assert texts.number(errors) == number


@pytest.mark.parametrize(
    ("errors", "number"),
    [
        ("Channel program execution failed:\nMemory limit exhausted.\n", errno.ENOMEM),
        ("Channel program execution failed:\nReturn value too large.\n", errno.ENOMEM),
        ("Channel program execution failed:\nChannel program timed out.\n", errno.ETIME),
        (("Channel program execution failed:\nPermission denied. Channel programs must be run as "
          "root.\n"), errno.EPERM),
        ("cannot open 'none': no such pool\ncannot open pool 'none'\n", errno.ENOENT),
        (('Channel program execution failed:\n[string "channel program"]:3: no such dataset '
          "'p/a' is invalid\nstack traceback:\n\t[C]: in ?\n"), errno.ECHRNG),
        ("Channel program execution failed:\nCould not open pool: p errno: 28\n", errno.ENOSPC),
        ("Channel program execution failed:\nCould not open pool: p\n", errno.ENOSPC),
    ],
)  # fmt: skip
def test_a_channel_program_fails_with_the_number_of_the_library(errors, number):
    assert texts.of_program(errors) == number


def test_the_operation_is_not_told_twice():
    assert texts.told("cannot create 'p/a':\n  it is\n odd\nusage:\n\tcreate ...\n") == "it is odd"
    assert texts.told("no name in it") == "no name in it"


@pytest.mark.parametrize(
    ("errors", "name"),
    [
        ("cannot create snapshot 'p/b@s': dataset already exists", "p/b@s"),
        ("cannot open 'p/c': dataset does not exist", "p/c@s"),
        ("out of space", "p/a@s"),
        ("cannot create snapshot 'p/a': and 'p/a@s2' is another", "p/a@s"),
    ],
)
def test_the_snapshot_that_failed_is_found(errors, name):
    assert texts.named(errors, ["p/a@s", "p/b@s", "p/c@s"]) == name
