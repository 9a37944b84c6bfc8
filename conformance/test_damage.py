"""Damaged archives: cut at every block, and with every number, checksum and record gone wrong.

None of them is guessed at. The code is exact, nothing is kept, and a canary is not touched.
"""

import pytest

from conformance.bounds import refuses_each
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Raw,
    Sparse,
    Symlink,
)
from conformance.tar import BLOCK, END, FIELDS, Header, edit, encode, padded, pax, record

USTAR = "POSIX.1-2017 pax, ustar Interchange Format"
PAX = "POSIX.1-2017 pax, pax Extended Header"
GNU = "GNU tar manual, Basic Tar Format"
SPARSE = "GNU tar manual, Storing Sparse Files"
INVALID = "PROTOCOL.md, validation-error"
LONG = "/".join(["a-directory-with-a-name"] * 8)


def damage(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


def raw(archive):
    """Return a layer whose archive is these bytes."""
    return Layer(Raw(archive), end=b"")


# --- cut ------------------------------------------------------------------------------------------

PIECES = tuple((1024 * n, bytes([n + 1]) * BLOCK) for n in range(30))
ENTRIES = {
    "pax": [
        Dir("d"), File("d/f", b"x" * 1300), File(f"{LONG}/f", b"y" * 600),
        File("attributes", b"z", xattrs={"user.a": b"v" * 700}), Symlink("l", to="t" * 150),
        Sparse("s", 1024 * 29 + BLOCK, PIECES), Hardlink("h", to="d/f"),
    ],
    "gnu": [
        Dir("d"), File("d/f", b"x" * 1300), File(f"{LONG}/f", b"y" * 600),
        Symlink("l", to="t" * 150), Sparse("s", 1024 * 29 + BLOCK, PIECES, dialect="gnu"),
        Hardlink("h", to="d/f"),
    ],
}  # fmt: skip


@damage("HST-130", f"{USTAR}: an archive is a series of blocks; {INVALID}")
@pytest.mark.parametrize("form", ["pax", "gnu"])
@pytest.mark.parametrize("where", ["at each block", "one byte later", "one byte before"])
def test_an_archive_that_is_cut_anywhere_is_refused(subject, host, form, where):
    """An archive that ends within a member is refused, after any block of it as within one."""
    entries = ENTRIES[form]
    members = [Layer(*entries[: n + 1], format=form, end=b"").tar() for n in range(len(entries))]
    whole = members[-1]
    ends = [0, *map(len, members)]
    step = {"at each block": 0, "one byte later": 1, "one byte before": BLOCK - 1}[where]

    layers = {}
    for length in range(step, len(whole), BLOCK):
        # Where only zeros are missing, nothing is; where a member ends, the archive may (APL-030).
        end = next(end for end in ends if end >= length)
        if whole[length:end].strip(b"\0"):
            layers[f"{length} bytes of {len(whole)}"] = raw(whole[:length])
    assert len(layers) > 30

    refuses_each(subject, host, layers, "validation-error")


@damage("HST-131", f"{PAX}: an extended header is followed by its file; {GNU}; {INVALID}", SHOULD)
@pytest.mark.parametrize(
    "header",
    [
        pax([(b"path", b"x")]),
        encode(Header(b"././@LongLink", b"L", size=5), "gnu") + padded(b"name\0"),
        encode(Header(b"././@LongLink", b"K", size=5), "gnu") + padded(b"name\0"),
    ],
    ids=["pax", "long name", "long link name"],
)
def test_an_extended_header_has_its_member(subject, host, header):
    """An archive that ends after an extended header lacks a member, and is refused."""
    before = Layer(File("f"), end=b"").tar()

    refuses_each(
        subject, host,
        {"with its end": raw(before + header + END), "without": raw(before + header)},
        "validation-error",
    )  # fmt: skip


# --- checksums ------------------------------------------------------------------------------------

HEADERS = {
    "file": File("f", mtime_ns=0), "directory": Dir("d"), "symlink": Symlink("l", to="x"),
    "hard link": Hardlink("h", to="f"), "fifo": Fifo("p"), "device": CharDevice("c", 1, 3),
}  # fmt: skip


@damage("HST-132", f"{USTAR}: chksum; {INVALID}")
@pytest.mark.parametrize("kind", [*HEADERS, "extended", "global", "long name"])
def test_the_checksum_covers_every_field_of_every_header(subject, host, kind):
    """One bit that is wrong in any field of a header, of whatever type, is found."""
    skip_devices(subject, kind)
    first = Layer(File("f"), end=b"").tar()
    if kind in HEADERS:
        archive = first + Layer(HEADERS[kind]).tar()
    elif kind == "long name":
        archive = first + Layer(File("n" * 120), format="gnu").tar()
    else:
        flag = b"x" if kind == "extended" else b"g"
        archive = first + pax([(b"comment", b"x")], flag) + Layer(File("g")).tar()

    layers = {}
    for field, (offset, width) in FIELDS.items():
        at = len(first) + offset + (width - 1) // 2
        layers[field] = raw(archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :])
    refuses_each(subject, host, layers, "validation-error")


@damage("HST-133", f"{USTAR}: chksum, octal digits; {INVALID}")
def test_a_checksum_that_is_none_is_refused(subject, host):
    """A checksum field that is empty, blank, zero, one off, or no octal number is refused."""
    first, second = Layer(File("f"), end=b"").tar(), Layer(File("g")).tar()
    true = int(second[148:154], 8)
    fields = {
        "NULs": bytes(8), "blanks": b" " * 8, "zero": b"000000\0 ", "nines": b"999999\0 ",
        "one more": b"%06o\0 " % (true + 1), "one less": b"%06o\0 " % (true - 1),
        "negative": b"-%05o\0 " % true, "decimal": b"%06d\0 " % true,
        "hexadecimal": b"%06x\0 " % true,
    }  # fmt: skip

    layers = {
        name: raw(first + edit(second, "checksum", field, seal=False))
        for name, field in fields.items()
    }
    refuses_each(subject, host, layers, "validation-error")


# --- numbers --------------------------------------------------------------------------------------

OCTAL = {
    "an eight": b"0000018", "a letter": b"00000a1", "a plus": b"+000001", "a minus": b"-000001",
    "a prefix": b"0o00001", "an underscore": b"00_0001", "a point": b"00000.1",
    "a blank between": b"000 001", "superscripts": b"0000\xb2\xb3", "a tab": b"\t000001",
}  # fmt: skip


def skip_devices(subject, what):
    """Skip a device, and its numbers, where the subject has none."""
    if what in {"device", "major", "minor"} and not subject.raw.config.declares("devices"):
        pytest.skip("the subject does not declare the capability devices")


def numbered(field, value):
    """Return a layer whose second member has this for a field, under a true checksum."""
    entry = CharDevice("c", 1, 3) if field in {"major", "minor"} else File("g", b"")
    first = Layer(File("f"), end=b"").tar()
    return raw(first + edit(Layer(entry, format="gnu").tar(), field, value))


@damage("HST-134", f"{USTAR}: numeric fields are octal digits; {INVALID}")
@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime", "major", "minor"])
def test_a_number_that_is_not_octal_is_refused(subject, host, field):
    """A numeric field that is not octal digits is refused, and never guessed at."""
    skip_devices(subject, field)
    layers = {name: numbered(field, value) for name, value in OCTAL.items()}
    refuses_each(subject, host, layers, "validation-error")


@damage("HST-135", f"{GNU}: base 256; {INVALID}", SHOULD)
@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime", "major", "minor"])
def test_a_number_of_base_256_that_cannot_be_is_refused(subject, host, field):
    """A number in base 256 that is negative or beyond all bounds is refused, and never wraps."""
    skip_devices(subject, field)
    width = FIELDS[field][1]
    values = {}
    if field != "mode":  # of which only the twelve lowest bits count
        wraps = 2**64 if width == 12 else 2**32
        values["the largest"] = b"\x80" + b"\xff" * (width - 1)
        values["one that wraps to zero"] = b"\x80" + wraps.to_bytes(width - 1, "big")
    if field != "mtime":
        values["minus one"] = b"\xff" * width
        values["a large negative one"] = b"\xff" + bytes(width - 1)

    codes = ["validation-error", *(["limit-exceeded"] if field == "size" else [])]
    refuses_each(subject, host, {n: numbered(field, v) for n, v in values.items()}, *codes)


@damage("HST-136", f"chown(2): -1 leaves an owner as it is; {INVALID}", SHOULD)
@pytest.mark.parametrize("field", ["uid", "gid"])
@pytest.mark.parametrize("form", ["base 256", "pax"])
def test_nobody_has_the_id_that_stands_for_none(subject, host, field, form):
    """The id 2**32-1 stands for "leave it" where owners are set; no file of a layer can have it."""
    nobody = 2**32 - 1
    layer = numbered(field, b"\x80" + nobody.to_bytes(7, "big"))
    if form == "pax":
        layer = Layer(Raw(pax([(field.encode(), b"%d" % nobody)])), File("g"))

    refuses_each(subject, host, {"-1": layer}, "validation-error")


@damage("HST-137", f"{USTAR}: size; {INVALID}")
@pytest.mark.parametrize(
    "size",
    [
        b"77777777777",
        b"\x80" + (1 << 41).to_bytes(11, "big"),
        b"\x80" + (2**32).to_bytes(11, "big"),
    ],
    ids=["8 GiB", "2 TiB", "4 GiB"],
)
def test_a_size_beyond_the_archive_is_refused(subject, host, size):
    """A file whose size is more than the archive has is refused, and no space is given to it."""
    layer = numbered("size", size)

    refuses_each(subject, host, {"size": layer}, "validation-error", "limit-exceeded")


# --- records --------------------------------------------------------------------------------------

NUMBERS = {
    "hexadecimal": b"0x10", "an exponent": b"1e1", "a blank before": b" 5", "a blank behind": b"5 ",
    "a plus": b"+5", "two signs": b"--5", "an underscore": b"1_0", "other digits": b"\xd9\xa5",
    "not a number": b"nan", "infinite": b"inf", "2**64 and a bit": b"18446744073709551621",
    "a NUL": b"5\0", "letters": b"five", "a thousand digits": b"9" * 1000,
}  # fmt: skip


@damage("HST-138", f"{PAX}: decimal numbers; {INVALID}", SHOULD)
@pytest.mark.parametrize("key", ["size", "uid", "gid", "mtime"])
def test_a_record_that_is_no_number_is_refused(subject, host, key):
    """A record whose value should be a decimal number and is not is refused, and not rounded."""
    values = dict(NUMBERS)
    if key == "mtime":
        values["two points"] = b"5.5.5"
    else:
        values |= {"a fraction": b"5.5", "negative": b"-5"}

    layers = {
        name: Layer(Raw(pax([(key.encode(), value)])), File("f", b"12345"))
        for name, value in values.items()
    }
    codes = ["validation-error", *(["limit-exceeded"] if key == "size" else [])]
    refuses_each(subject, host, layers, *codes)


def extended(body, flag):
    """Return an extended header of these bytes, and a member behind it."""
    header = encode(Header(b"PaxHeaders/f", flag, size=len(body)), "ustar")
    return Layer(Raw(header + padded(body)), File("f"))


RECORD = record(b"comment", b"hello")
MALFORMED = {
    "length 0": b"0 comment=hello\n" + RECORD,
    "length of one digit": b"1" + RECORD[2:],
    "one byte too long": b"18 comment=hello\n",
    "one byte too short": b"16 comment=hello\n" + RECORD,
    "beyond the header": b"99 comment=hello\n",
    "negative length": b"-17 comment=hello\n",
    "signed length": b"+17 comment=hello\n",
    "length and 2**32": b"%d comment=hello\n" % (2**32 + 25),
    "length and 2**64": b"%d comment=hello\n" % (2**64 + 35),
    "length of a thousand digits": b"9" * 1000 + b" comment=hello\n",
    "length in letters": b"ten comment=hello\n",
    "no length": b"comment=hello\n",
    "a blank before the length": b" 17 comment=hello\n",
    "no blank behind it": b"16comment=hello\n",
    "no newline": b"17 comment=hello!",
    "no equals sign": b"17 comment:hello\n",
    "no keyword": b"10 =hello\n",
    "nothing": b"3 \n",
    "more behind the last": RECORD + b"xyz",
    "a NUL behind the last": RECORD + b"\0",
    "half a record behind the last": RECORD + RECORD[:9],
}


@damage("HST-139", f"{PAX}: %d %s=%s\\n; {INVALID}")
@pytest.mark.parametrize("flag", ["x", "g"])
def test_a_malformed_record_is_refused(subject, host, flag):
    """A record that is not its length, a keyword, "=", a value and a newline is refused."""
    assert RECORD == b"17 comment=hello\n"
    layers = {name: extended(body, flag.encode()) for name, body in MALFORMED.items()}

    refuses_each(subject, host, layers, "validation-error")


@damage("HST-140", f"path_resolution(7): no name has a NUL; {PAX}; {GNU}; {INVALID}", SHOULD)
def test_a_nul_is_never_the_end_of_what_goes_on(subject, host):
    """A NUL in the middle of a name, a link's target or an attribute's name is refused."""

    def long_name(flag, entry):
        data = b"safe\0/evil"
        header = encode(Header(b"././@LongLink", flag, size=len(data)), "gnu")
        return Layer(Raw(header + padded(data)), entry, format="gnu")

    layers = {
        "path": Layer(Raw(pax([(b"path", b"safe\0/evil")])), File("f")),
        "symlink": Layer(Raw(pax([(b"linkpath", b"safe\0/evil")])), Symlink("l", to="x")),
        "hard link": Layer(
            File("safe"), Raw(pax([(b"linkpath", b"safe\0/evil")])), Hardlink("h", to="safe")
        ),
        "attribute": Layer(Raw(pax([(b"SCHILY.xattr.user.a\0b", b"x")])), File("f")),
        "long name": long_name(b"L", File("f")),
        "long link name": long_name(b"K", Symlink("l", to="x")),
    }
    refuses_each(subject, host, layers, "validation-error")
