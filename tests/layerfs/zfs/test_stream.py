import os
import struct

import pytest

from layerfs.zfs import ZfsFailure, stream


def record(*, magic=0x2F5BACBAC, header=1, features=4, kind=2, guid=7, base=5):
    """The first record of a stream: dmu_replay_record_t."""
    fields = 0, 0, magic, header | features << 2, 1_700_000_000, kind, 0, guid, base
    return struct.pack("=IIQQQIIQQ256s", *fields, b"pool/a@layer")


def test_a_stream_says_of_which_snapshot_it_is():
    assert len(record()) == stream.SIZE
    assert stream.said(record()) == (7, 5, True)
    assert stream.said(record() + b"more") == (7, 5, True)
    assert stream.said(record(base=0, guid=2**64 - 1)) == (2**64 - 1, 0, True)


@pytest.mark.parametrize(
    "what",
    [
        {"header": 2},
        {"kind": 3},
        {"features": 1 << 24},
        {"features": 1 << 21},
        {"features": 1 << 20},
    ],
    ids=["compound", "volume", "raw", "redacted", "resumed"],
)
def test_other_streams_are_not_plain(what):
    assert stream.said(record(**what)) == (7, 5, False)


def test_what_is_no_stream_says_nothing():
    for data in (b"", record()[:-1], record(magic=0xACCBBAF502000000), b"x" * 312):
        assert stream.said(data) is None
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        with pytest.raises(ZfsFailure, match="EINVAL"):
            stream.begin_record(reader, "p/a@s")
        os.close(reader)


def test_raw_streams_are_known():
    assert stream.is_raw(record(features=1 << 24 | 4))
    assert not stream.is_raw(record())
