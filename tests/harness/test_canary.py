from __future__ import annotations

from harness import canary

BEFORE = [
    {"path": ".", "kind": "dir", "mode": 0o755},
    {"path": "file", "kind": "file", "mode": 0o640, "xattrs": [["user.x", "AA=="]]},
]


def test_equal_looks_find_nothing():
    assert canary.touched(BEFORE, [dict(row) for row in BEFORE]) == []


def test_each_change_is_named_with_both_values():
    after = [{**BEFORE[0], "mode": 0o777}, {"path": "new", "kind": "symlink"}]
    assert canary.touched(BEFORE, after) == [
        "'.': mode was 493, is 511",
        "'file' has gone",
        "'new' is new: a symlink",
    ]
    without = [BEFORE[0], {key: value for key, value in BEFORE[1].items() if key != "xattrs"}]
    assert canary.touched(BEFORE, without) == [
        "'file': xattrs was [['user.x', 'AA==']], is None",
    ]


def test_all_paths_of_a_canary_are_below_its_own():
    outside = canary.Canary("/w/canary-1")
    paths = {
        outside.file, outside.hardlink, outside.directory, outside.below, outside.empty,
        outside.symlink,
    }  # fmt: skip
    assert all(path.startswith("/w/canary-1/") for path in paths)
    assert len(paths) == 6
