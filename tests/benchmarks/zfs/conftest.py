import pytest

from benchmarks.zfs.rows import COMMAND, CONTAINERS_STORAGE, CTR, OURS


@pytest.fixture
def found():
    """A function: what a guest may find, with changes."""
    return _found


def _found(**changes):
    """What a guest may find: others take four times as long as we do, and nothing is slowed."""
    return {
        "contest": {
            OURS: {"stack": [1.0, 1.2], "unmount": [1.0, 1.5]},
            COMMAND: {"stack": [2.0, 2.5], "unmount": [1.8, 1.5]},
            CTR: {
                "prepare": [3.0, 5.0], "mount": [1.5, 1.0], "umount": [1.0, 1.0],
                "rm": [3.0, 4.0], "collected": [2.0, 0.0], "bare": [0.5, 1.0],
            },
            CONTAINERS_STORAGE: {
                "create-container": [3.0, 3.0], "mount": [1.0, 1.0], "unmount": [1.0, 1.0],
                "delete-container": [3.0, 3.0], "bare": [5.0, 6.0],
            },
        },
        "filled": {OURS: 10.0, CTR: 40.0, CONTAINERS_STORAGE: 50.0},
        "processes": {OURS: 0, COMMAND: 3},
        "datasets": {"few": 30, "many": 3000},
        "scale": {"make a view": {"few": [1.0, 2.0], "many": [1.2, 1.1]}},
        **changes,
    }  # fmt: skip
