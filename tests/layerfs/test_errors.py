"""The closed list of errors, and their way from one process to another."""

import errno
import json

import pytest

from layerfs import errors
from layerfs.errors import CODES, LayerFSError, WriteFailedError, retold

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type)
     and issubclass(kind, LayerFSError) and kind is not LayerFSError),
    key=lambda kind: kind.__name__,
)  # fmt: skip


def test_each_class_has_a_code_of_its_own():
    assert {kind.code for kind in KINDS} == CODES
    assert len(CODES) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_process_tells_is_the_same_error(kind):
    error = kind(
        "no: 'ü\udcff'", digest="sha256:0", path=b"a/\xff", holder="process 1", errno=errno.EIO,
        limit="n=1",
    )  # fmt: skip
    again = retold(json.loads(json.dumps(error.told())))
    assert type(again) is kind
    assert again.facts() == error.facts()
    assert str(again) == str(error)


def test_facts_that_are_not_known_stay_unknown():
    assert retold(WriteFailedError("no space").told()).facts() == {
        "code": "write-failed", "message": "no space",
    }  # fmt: skip
