"""How members are spelt: formats, numbers, records, and what a header repeats or leaves out.

However an archive says it, the tree is the same. What is damaged is in ``test_applying.py``.
"""

from dataclasses import replace

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Hardlink, Layer, Raw, Sparse, Symlink
from conformance.tar import BLOCK, FIELDS, Header, edit, encode, padded, pax
from conformance.test_applying import ATTRIBUTES, USTAR

PAX = "POSIX.1-2017 pax, pax Extended Header"
GNU = "GNU tar manual, Basic Tar Format"
DAY = 86_400 * 10**9


def number(value, width=12):
    """Return a field in GNU's base 256, which any size may have."""
    return (b"\x80" if value >= 0 else b"\xff") + value.to_bytes(width - 1, "big", signed=True)


def member(header, data=b"", form="ustar", **fields):
    """Return a member whose header has some fields overwritten, and a true checksum."""
    block = encode(replace(header, size=len(data)), form)
    for name, value in fields.items():
        block = block[:-BLOCK] + edit(block[-BLOCK:], name, value)
    return Raw(block + padded(data))


def as_v7(layer):
    """Return the archive in the format of Unix V7: no magic, and directories by their slash."""
    archive, at = layer.tar(), 0
    while archive[at]:
        size = int(archive[at + 124 : at + 135], 8)
        archive = edit(archive, "magic", b"", at=at)
        if archive[at + 156 : at + 157] in b"05":
            archive = edit(archive, "typeflag", b"\0", at=at)
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return Layer(Raw(archive), end=b"")


@clause("APL-150", MUST, f"{USTAR}; {GNU}; image-spec layer.md: tar archive")
@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "pax"])
def test_every_format_of_tar_gives_the_same_tree(subject, form):
    """What V7, ustar, GNU tar and pax can all say, they say with the same result."""
    entries = [
        Dir("d", mode=0o711, mtime_ns=DAY),
        File("d/f", b"x" * 513, mode=0o6755),
        File("d/empty", b""),
        Hardlink("d/h", to="d/f"),
        Symlink("s", to="d/f"),
        Dir("d/e/"),
        File("x" * 99),
        Symlink("y" * 99, to="z" * 99),
    ]
    layer = as_v7(Layer(*entries, format="ustar")) if form == "v7" else Layer(*entries, format=form)

    assert subject.tree(layer) == model.apply(Layer(*entries))


@clause("APL-151", MUST, f"{PAX}: mtime; {ATTRIBUTES}: mtime")
@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"-0.5", -500_000_000),
        (b"-0.000000001", -1),
        (b"-1.25", -1_250_000_000),
        (b"0.000000001", 1),
        (b"1.5", 1_500_000_000),
        (b"00001.50", 1_500_000_000),
        (b"7", 7 * 10**9),
        (b"4102444800.000000001", 4_102_444_800 * 10**9 + 1),
        (b"1234567890.98765432100", 1_234_567_890_987_654_321),
    ],
    ids=[
        "-0.5", "-0.000000001", "-1.25", "0.000000001", "1.5", "leading zeros", "whole",
        "after 2038", "eleven digits",
    ],
)  # fmt: skip
def test_a_time_is_its_decimal_number_whole(subject, text, ns):
    """A time is the decimal number of its record: sign, leading zeros and any number of digits."""
    raw = Raw(pax([(b"mtime", text)]))
    layer = Layer(raw, File("f"), raw, Dir("d"), raw, Symlink("s", to="x"))

    kinds = File("f"), Dir("d"), Symlink("s", to="x")
    assert subject.tree(layer) == model.apply(Layer(*(replace(one, mtime_ns=ns) for one in kinds)))


@clause("APL-152", SHOULD, "GNU tar manual, Storing Sparse Files; base 256")
@pytest.mark.parametrize("dialect", ["gnu", "0.0", "0.1", "1.0"])
def test_files_beyond_eight_gibibytes_have_their_size(subject, host, dialect):
    """A file whose size needs more than a header's eleven octal digits is as long as it says."""
    size, last = (9 << 30) + 5, 9 << 30
    form = "gnu" if dialect == "gnu" else "pax"
    pieces = ((0, b"a" * BLOCK), (last, b"tail!"))
    layer = Layer(Sparse("big", size, pieces, dialect), File("after"), format=form)

    with subject.stacked(layer) as root:
        assert host.listdir(root) == ["after", "big"]
        shown = 'test "$(stat -c %s big)" = "$0" && test "$(tail -c 6 big | tr "\\0" 0)" = "0tail!"'
        done = host.run(["sh", "-c", shown, str(size)], cwd=root)
        assert done.status == 0, "size or end of the file are other ones"
        assert host.read(f"{root}/after") == b"after\n"


@clause("APL-153", MUST, f"{USTAR}: typeflag 7 is treated as a regular file")
def test_a_contiguous_file_is_a_file(subject):
    """Type 7, a contiguous file, is a regular file where there are none such."""
    data = b"y" * 700
    layer = Layer(member(Header(b"f", b"7", mode=0o640, mtime_ns=DAY), data), File("after"))

    expected = Layer(File("f", data, mode=0o640, mtime_ns=DAY), File("after"))
    assert subject.tree(layer) == model.apply(expected)


@clause("APL-154", MUST, f"{PAX}: global records affect all following files")
def test_global_records_hold_until_another_says_otherwise(subject):
    """A global header speaks for all members after it, unless their own or a later one does."""
    layer = Layer(
        File("before"),
        Raw(pax([(b"mtime", b"5.25"), (b"comment", b"for all")], b"g")),
        File("first"),
        Raw(pax([(b"mtime", b"6")])),
        File("own"),
        Dir("second"),
        Raw(pax([(b"mtime", b"7.000000001")], b"g")),
        Symlink("third", to="x"),
    )
    expected = Layer(
        File("before"),
        File("first", mtime_ns=5_250_000_000),
        File("own", mtime_ns=6 * 10**9),
        Dir("second", mtime_ns=5_250_000_000),
        Symlink("third", to="x", mtime_ns=7 * 10**9 + 1),
    )

    assert subject.tree(layer) == model.apply(expected)


@clause("APL-155", MUST, f"{PAX}: uid, gid, global", target_needs=("can_chown_ids",))
def test_global_owners_are_those_of_all_members(subject):
    """Owners of a global header count for files, directories and links, not for their parents."""
    layer = Layer(
        Raw(pax([(b"uid", b"1000"), (b"gid", b"5")], b"g")),
        File("made/f"),
        Dir("d"),
        Raw(pax([(b"uid", b"7")])),
        Symlink("s", to="x"),
    )
    expected = Layer(
        File("made/f", uid=1000, gid=5),
        Dir("d", uid=1000, gid=5),
        Symlink("s", to="x", uid=7, gid=5),
    )

    assert subject.tree(layer) == model.apply(expected)


@clause("APL-156", MUST, f"{PAX}: size overrides the field of the header")
@pytest.mark.parametrize(
    "field", [b"", b"00000000000", b"00000000007"], ids=["none", "zero", "seven"]
)
def test_the_size_of_a_record_counts(subject, field):
    """A size in an extended header replaces that of the header, which may say anything."""
    data = b"z" * 1500
    layer = Layer(
        Raw(pax([(b"size", b"1500")])),
        member(Header(b"f", b"0", mtime_ns=DAY), data, size=field),
        File("after"),
    )

    assert subject.tree(layer) == model.apply(Layer(File("f", data, mtime_ns=DAY), File("after")))


@clause("APL-157", MUST, f"{PAX}: hdrcharset BINARY")
@pytest.mark.parametrize(
    "charset", [b"BINARY", b"ISO-IR 10646 2000 UTF-8"], ids=["binary", "UTF-8"]
)
def test_records_may_say_that_names_are_binary(subject, charset):
    """With ``hdrcharset`` a name is the bytes of its record, whatever they mean."""
    name, to = b"caf\xe9" if charset == b"BINARY" else "caf\u00e9".encode(), b"\xc3\xa9"
    layer = Layer(
        Raw(pax([(b"hdrcharset", charset), (b"path", name)])),
        File("placeholder", b"content"),
        Raw(pax([(b"linkpath", to), (b"hdrcharset", charset)])),
        Symlink("s", to="placeholder"),
    )

    text, link = (one.decode("utf-8", "surrogateescape") for one in (name, to))
    assert subject.tree(layer) == model.apply(Layer(File(text, b"content"), Symlink("s", to=link)))


@clause("APL-158", SHOULD, f"{GNU}: some tars sum signed characters")
def test_a_checksum_of_signed_bytes_is_right_too(subject):
    """A header whose checksum was summed over signed bytes is whole."""
    block = encode(Header("grüße".encode(), b"0", mtime_ns=DAY, size=3), "ustar")
    at, width = FIELDS["checksum"]
    others = block[:at] + block[at + width :]
    total = sum(byte - 256 if byte > 127 else byte for byte in others) + width * ord(" ")
    signed = edit(block, "checksum", b"%06o\0 " % total, seal=False)

    assert signed != block
    tree = subject.tree(Layer(Raw(signed + padded(b"abc"))))
    assert tree == model.apply(Layer(File("grüße", b"abc", mtime_ns=DAY)))


@clause("APL-159", SHOULD, f"{USTAR}: size of a link; GNU tar, cpio and bsdtar differ in it")
@pytest.mark.parametrize("data", [False, True], ids=["size only", "data too"])
def test_a_hard_link_may_repeat_the_size(subject, data):
    """A hard link whose header has the size of its target is a link, with data behind it or not."""
    content = b"content " * 100
    link = member(Header(b"h", b"1", linkname=b"f", mtime_ns=DAY), content)
    if not data:
        link = Raw(link.data[:BLOCK])
    layer = Layer(File("f", content), link, File("after"))

    tree = subject.tree(layer)
    assert tree == model.apply(Layer(File("f", content), Hardlink("h", to="f"), File("after")))


@clause("APL-160", MUST, f"{USTAR}: no data for types 3 to 6, whatever their size field says")
@pytest.mark.parametrize("kind", [b"5", b"2", b"6"], ids=["directory", "symlink", "fifo"])
def test_only_files_have_data(subject, kind):
    """The size field of a directory, symlink or fifo is no count of blocks that follow."""
    header = Header(b"x", kind, mode=0o755, linkname=b"to" if kind == b"2" else b"", mtime_ns=DAY)
    layer = Layer(member(header, size=b"00000002000"), File("after"))

    tree = subject.tree(layer)
    assert set(tree) - {"."} == {"x", "after"}
    assert tree["after"] == model.apply(Layer(File("after")))["after"]


@clause(
    "APL-161",
    MUST,
    f"{ATTRIBUTES}: user name and group name are secondary to the numbers",
    target_needs=("can_chown_ids",),
)
def test_owners_are_numbers_and_not_names(subject):
    """A member belongs to its numbers, though it names a user and group that the host knows."""
    block = bytearray(encode(Header(b"f", b"0", uid=1234, gid=4321, mtime_ns=DAY), "ustar"))
    block[265:269], block[297:301] = b"root", b"root"
    named = Raw(edit(bytes(block), "name", b"f"))
    layer = Layer(named, Raw(pax([(b"uname", b"root"), (b"gname", b"root")])), File("g", uid=77))

    expected = Layer(File("f", b"", uid=1234, gid=4321, mtime_ns=DAY), File("g", uid=77))
    assert subject.tree(layer) == model.apply(expected)


@clause("APL-162", SHOULD, f"{ATTRIBUTES}: mode; older writers store the whole st_mode")
def test_the_type_bits_of_a_mode_are_passed_over(subject):
    """A mode field that also has the bits of the file's type gives the permissions in it."""
    layer = Layer(
        member(Header(b"f", b"0", mtime_ns=DAY), b"data", mode=b"0104755\0"),
        member(Header(b"d/", b"5", mtime_ns=DAY), mode=b"0041777\0"),
    )

    directory = Dir("d", mode=0o1777, mtime_ns=DAY)
    expected = Layer(File("f", b"data", mode=0o4755, mtime_ns=DAY), directory)
    assert subject.tree(layer) == model.apply(expected)


@clause("APL-163", MUST, f"{USTAR}: leading zeros, terminated by spaces or NULs; {GNU}")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", number(600)),
        ("size", b"1130 \0"),
        ("size", b"      1130\0 "),
        ("size", b"000000001130"),
        ("mtime", number(86_400)),
        ("mtime", number(-86_400)),
        ("mtime", b"250600 "),
        ("mode", b"   755 \0"),
        ("mode", number(0o755, 8)),
    ],
    ids=[
        "size in base 256", "size, space and NUL", "size after spaces", "size without an end",
        "time in base 256", "time before 1970", "time and a space", "mode after spaces",
        "mode in base 256",
    ],
)  # fmt: skip
def test_numbers_may_be_written_in_each_of_tars_ways(subject, field, value):
    """Octal digits may follow blanks, end in blanks, NULs or nothing, and give way to base 256."""
    data = b"d" * 600
    header = Header(b"f", b"0", mode=0o755, mtime_ns=DAY)
    layer = Layer(member(header, data, "gnu", **{field: value}), File("after"))

    mtime_ns = -DAY if value == number(-86_400) else DAY
    expected = Layer(File("f", data, mode=0o755, mtime_ns=mtime_ns), File("after"))
    assert subject.tree(layer) == model.apply(expected)


@clause("APL-164", MUST, f"{PAX}: the last of several records of one keyword takes precedence")
def test_the_last_of_several_records_counts(subject):
    """Of records with one keyword in one extended header the last one counts."""
    twice = [
        *((b"path", name) for name in (b"first", b"second", b"last")),
        *((b"mtime", time) for time in (b"3.5", b"1", b"2.25")),
        *((b"SCHILY.xattr.user.note", value) for value in (b"old", b"new")),
    ]
    layer = Layer(Raw(pax(twice)), File("field", b"content"))

    expected = File("last", b"content", mtime_ns=2_250_000_000, xattrs={"user.note": b"new"})
    assert subject.tree(layer) == model.apply(Layer(expected))


@clause("APL-165", SHOULD, f"{PAX}: a value of zero length. GNU tar, Go and libarchive do so")
def test_an_empty_record_gives_the_word_back_to_the_header(subject):
    """An empty value withdraws what a global or an earlier record said: the header counts again."""
    layer = Layer(
        Raw(pax([(b"mtime", b"5.25")], b"g")),
        File("global"),
        Raw(pax([(b"mtime", b""), (b"path", b"long"), (b"path", b"")])),
        File("own"),
        Raw(pax([(b"mtime", b"")], b"g")),
        File("after"),
    )

    expected = Layer(File("global", mtime_ns=5_250_000_000), File("own"), File("after"))
    assert subject.tree(layer) == model.apply(expected)
