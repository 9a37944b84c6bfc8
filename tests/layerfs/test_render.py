import pytest

from harness import protocol
from layerfs.render import limits, plain, short, size, text

DIGEST = "sha256:" + "ab" * 32
LAYER = {"digest": DIGEST, "diff_id": DIGEST, "size": 2048, "media_type": "x", "dependencies": []}
MOUNT = {"target": "/mnt", "digests": [DIGEST], "writable": False}
ITEM = {"digest": None, "code": "storage-error", "message": "bad\nnews"}

#: A response, and what a person must find in it.
SHOWN = {
    "open": ({"store": "/s"}, "store /s is ready"),
    "close": ({}, "/store has no views mounted here"),
    "add": ({"layer": LAYER}, "2.00 KiB (2048 bytes)"),
    "get": ({"layer": {**LAYER, "dependencies": [DIGEST]}}, f"depends on  {DIGEST}"),
    "list": ({"layers": [LAYER, LAYER]}, "2 layers, 4.00 KiB of blobs"),
    "remove": ({"removed": False}, "nothing to remove"),
    "stack": ({"mount": MOUNT}, "mounted 1 layer at /mnt, read-only"),
    "mount": ({"mount": MOUNT}, "mounted 1 layer at /mnt, read-only"),
    "unmount": ({}, "unmounted /target"),
    "mounts": ({"mounts": [MOUNT]}, "/mnt    read-only       1  sha256:abababababab"),
    "commit": ({"layer": LAYER}, DIGEST),
    "merge": ({"layer": LAYER}, DIGEST),
    "order": ({"digests": [DIGEST, DIGEST]}, f"{DIGEST}\n{DIGEST}\n"),
    "check-cycles": ({}, "no layers depend on each other"),
    "verify": ({"damaged": [{"digest": DIGEST, "path": None, "problem": "gone"}]}, "blob   gone"),
    "repair": (
        {"repaired": [DIGEST], "mended": ["a mount"], "failed": [ITEM]},
        f"repaired {DIGEST}\na mount\nfailed: bad\\nnews\n",
    ),
    "lease": ({}, "lease 'mine' keeps 1 layer"),
    "release": ({}, "released 'mine'"),
    "gc": (
        {"removed": [{"digest": DIGEST}], "bytes_freed": 4096, "errors": []},
        f"removed {DIGEST}\nremoved 1 layer, freed 4.00 KiB\n",
    ),
    "stats": (
        {
            "layers": 12,
            "mounted": 1,
            "referenced": 2,
            "unused": 9,
            "mounts": 3,
            "bytes_total": 5 << 30,
            "zfs": {"dataset": "p/a", "used": 9, "available": 5 << 30, "compressratio": "1.50"},
        },
        "(5368709120 bytes)\ndataset          p/a\n  used           9 bytes",
    ),
    "check": ({"problems": [{"kind": "orphan", "message": "left over"}]}, "orphan: left over"),
    "import": (
        {"image": {"manifest": DIGEST, "digests": [DIGEST], "diff_ids": [], "reference": None}},
        f"manifest  {DIGEST}\nlayer     {DIGEST}\n",
    ),
    "images": (
        {"images": [{"manifest": DIGEST, "digests": [DIGEST], "reference": "latest"}]},
        "REFERENCE  MANIFEST             LAYERS\nlatest     sha256:abababababab       1\n",
    ),
    "untag": ({"removed": True}, "forgot 'latest'"),
    "export": ({"manifest": DIGEST}, f"exported {DIGEST} to /out"),
    "send": ({}, "sent 1 layer to /out"),
    "receive": ({"layers": [LAYER]}, f"received {DIGEST}\n"),
}
REQUEST = {
    "store": "/store",
    "target": "/target",
    "digest": DIGEST,
    "name": "mine",
    "digests": [DIGEST],
    "path": "/out",
    "image": "latest",
}


def test_every_verb_can_be_shown():
    assert set(SHOWN) == set(protocol.VERBS) - {"info"}


@pytest.mark.parametrize("verb", SHOWN)
def test_a_response_is_told_in_whole_lines(verb):
    response, expected = SHOWN[verb]
    found = text(verb, response, REQUEST)
    assert expected in found
    assert found.endswith("\n")
    assert all(line == line.rstrip() for line in found.splitlines())


@pytest.mark.parametrize(
    ("verb", "response", "expected"),
    [
        ("list", {"layers": []}, "no layers\n"),
        ("mounts", {"mounts": []}, "no mounts\n"),
        ("verify", {"damaged": []}, "everything is whole\n"),
        ("check", {"problems": []}, "no problems\n"),
        ("repair", {"repaired": [], "mended": [], "failed": []}, "nothing to repair\n"),
        ("images", {"images": []}, "no images\n"),
        ("untag", {"removed": False}, "'latest' had gone already\n"),
        ("remove", {"removed": True}, f"removed {DIGEST}\n"),
    ],
)
def test_nothing_is_told_in_words(verb, response, expected):
    assert text(verb, response, REQUEST) == expected


def test_a_dry_run_says_what_would_be():
    response = {"removed": [], "bytes_freed": 0, "errors": []}
    shown = text("gc", response, {"dry_run": True})
    assert shown == "would remove 0 layers, would free 0 B\n"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (100 * 1024, "100 KiB"),
        (1023 * 1024, "1.00 MiB"),
        (12.04 * 2**20, "12.0 MiB"),
        (2**80, "1048576 EiB"),
    ],
)
def test_sizes_have_three_digits_and_a_binary_unit(count, shown):
    assert size(count) == shown


def test_nothing_reaches_the_terminal_that_it_would_act_on():
    assert plain("a\x1b[31m\n\t\udcff\u202eé") == "a\\x1b[31m\\n\\t\\udcff\\u202eé"


def test_a_short_digest_keeps_its_algorithm():
    assert short("sha512:" + "0123456789abcdef" * 8) == "sha512:0123456789ab"


def test_limits_are_shown_without_loss_in_the_notation_in_which_they_are_given():
    rows = [("a", 0, "times", "x"), ("bb", 4095, "bytes", "y"), ("c", 64 << 20, "bytes", "z")]
    rows.append(("d", 5 << 50, "bytes", "w"))
    assert limits(rows).splitlines() == [
        "LIMIT  VALUE  UNIT   OF", "a          0  times  x", "bb      4095  bytes  y",
        "c        64M  bytes  z", "d      5120T  bytes  w",
    ]  # fmt: skip
