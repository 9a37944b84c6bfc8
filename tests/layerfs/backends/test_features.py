import json

import pytest

from layerfs.backends import Features
from layerfs.errors import MetadataError

ROOTLESS = Features(
    userxattr=True, squash_ids=True, drop_privileged_xattrs=True, max_layers=500, upper_lacks="x"
)
PRIVILEGED = Features(
    userxattr=False, squash_ids=False, drop_privileged_xattrs=False, max_layers=500
)


def test_features_survive_json():
    for features in (ROOTLESS, PRIVILEGED):
        assert Features.from_json(json.loads(json.dumps(features.to_json()))) == features


@pytest.mark.parametrize("change", [{"unknown": 1}, {"max_layers": None}])
def test_what_is_not_whole_is_refused(change):
    data = {**ROOTLESS.to_json(), **change}
    data = {name: value for name, value in data.items() if value is not None}
    with pytest.raises(MetadataError, match=next(iter(change))):
        Features.from_json(data)


def test_a_store_of_the_hosts_root_cannot_be_used_rootless():
    assert "user namespace" in ROOTLESS.format_conflict(PRIVILEGED)


def test_other_stores_can_be_used():
    for here, recorded in [
        (ROOTLESS, ROOTLESS),
        (PRIVILEGED, PRIVILEGED),
        (PRIVILEGED, ROOTLESS),
    ]:
        assert here.format_conflict(recorded) == ""
