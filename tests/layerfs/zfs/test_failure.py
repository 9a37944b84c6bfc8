"""What layerfs raises for what ZFS refuses."""

import errno

import pytest

from layerfs import errors
from layerfs.zfs.failure import ECKSUM, ZFS_ERR_STREAM_TRUNCATED, ZfsFailure, refusal


@pytest.mark.parametrize(
    ("operation", "number", "kind"),
    [
        ("create", errno.EEXIST, errors.ZFSDatasetCreateFailedError),
        ("create", errno.ENOENT, errors.ZFSDatasetNotFoundError),
        ("create", errno.ENOSPC, errors.WriteFailedError),
        ("create", errno.EDQUOT, errors.WriteFailedError),
        ("create", errno.EROFS, errors.ReadOnlyFilesystemError),
        ("create", errno.EPERM, errors.PermissionDeniedError),
        ("set", errno.EACCES, errors.PermissionDeniedError),
        ("clone", errno.EXDEV, errors.ZFSCloneFailedError),
        ("clone", errno.EEXIST, errors.ZFSCloneFailedError),
        ("snapshot", errno.EEXIST, errors.ZFSSnapshotFailedError),
        ("hold", errno.EEXIST, errors.ZFSSnapshotFailedError),
        ("release", errno.ESRCH, errors.ZFSSnapshotFailedError),
        ("destroy", errno.EBUSY, errors.ZFSDatasetDestroyFailedError),
        ("destroy snapshots", errno.EEXIST, errors.ZFSDatasetDestroyFailedError),
        ("remove", errno.EBUSY, errors.ZFSDatasetDestroyFailedError),
        ("receive", ZFS_ERR_STREAM_TRUNCATED, errors.ZFSError),
        ("receive", ECKSUM, errors.ZFSError),
        ("get", errno.EIO, errors.StorageError),
        ("get", errno.ENOENT, errors.ZFSDatasetNotFoundError),
        ("rename", errno.EEXIST, errors.ZFSError),
        ("program", errno.ETIME, errors.ZFSError),
    ],
)
def test_each_number_has_its_class(operation, number, kind):
    error = refusal(ZfsFailure(number, operation=operation, name="pool/a"))
    assert type(error) is kind
    assert error.errno == number
    assert "'pool/a'" in error.message
    assert operation in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("operation", "number", "message"),
    [
        (
            "destroy snapshots",
            errno.EEXIST,
            (
                "zfs destroy snapshots 'p/a@s': the snapshot is cloned (EEXIST); "
                "destroy its clones first"
            ),
        ),
        (
            "create",
            errno.ENOENT,
            "zfs create 'p/a@s': the parent does not exist (ENOENT); create it first",
        ),
        (
            "receive",
            ZFS_ERR_STREAM_TRUNCATED,
            "zfs receive 'p/a@s': the stream ends too early (zfs error 1040)",
        ),
        (
            "snapshot",
            errno.ENOSPC,
            "zfs snapshot 'p/a@s': the pool is full (ENOSPC); free space in the pool, then retry",
        ),
    ],
)
def test_a_refusal_says_what_is_and_what_helps(operation, number, message):
    assert refusal(ZfsFailure(number, operation=operation, name="p/a@s")).message == message


def test_the_words_of_zfs_are_one_line():
    failure = ZfsFailure(errno.EPROTO, operation="x", name="p", text="one\n  two\n")
    assert failure.text == "one two"
