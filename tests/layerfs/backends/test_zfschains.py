"""Chains: what is refused before ZFS is asked. The rest is for the suite, on real pools."""

import pytest

from layerfs.backends.zfschains import refuse_long
from layerfs.errors import ZFSDatasetCreateFailedError


def test_a_name_is_too_long_when_its_snapshots_is():
    longest = "pool/" + "x" * (255 - len("pool/@layer"))
    refuse_long(longest)
    with pytest.raises(ZFSDatasetCreateFailedError, match="255 bytes"):
        refuse_long(f"{longest}x")
