"""Random layers give the trees that GNU tar and umoci give: two programs that are not ours.

The model says what must result; these cases ask whether the rest of the world agrees, down to
modes, owners, nanoseconds, link counts, extended attributes, ACLs and device numbers. Where a tool
does something else than the specification, the specification decides, and what is drawn, or looked
at, leaves that out. All such differences that are known, each with what the specification says:

GNU tar takes ACLs only from its own ``SCHILY.acl.*`` records, when it is run with ``--acls``.
    layer.md, "File Attributes": xattrs, of which ACLs are some. It is run without ``--acls``.
GNU tar sets a directory's time too early when its entries do not stand together in the archive.
    The same: mtime is what the entry says. It is run with ``--delay-directory-restore``.
GNU tar leaves a directory that it extracts over its xattrs, ACLs and setgid bit.
    layer.md, "Changeset over existing files": all attributes are replaced. DIF-003 draws none.
GNU tar lets what a later archive adds inherit a directory's default ACL.
    An entry has the attributes that it says. DIF-003 draws none.
GNU tar puts nothing else in the place of a directory that is not empty.
    "Changeset over existing files": what was there is removed. DIF-003 draws no such entry.
Both give the root a new time when something comes or goes in it, without an entry for the root.
    PROTOCOL.md, 3.4: it keeps that of the layer below. The root's time is not compared.
umoci drops extended attributes without a value (Go's archive/tar takes their record for deleted).
    star(5): such a record is an attribute without a value. DIF-004 draws none.
umoci lets a directory without an entry inherit its parent's default ACL and setgid bit.
    PROTOCOL.md, 3.3: mode 0755, no attributes. Such directories are those of a layer below.
umoci lets a whiteout behind an entry of the same name take that entry away.
    layer.md, "Whiteouts": they hide lower layers only. Whiteouts stand first (WHT has the rest).
umoci takes directories away that an opaque marker behind them does not hide, or their times.
    layer.md, "Opaque Whiteout": it hides lower layers only. Markers stand first (see WHT-004).
umoci takes a directory away whose opaque marker is all that the layer says of it.
    The same: the marker hides what is in the directory. Such a directory has an entry, too.
umoci refuses a directory that comes after its children, in the place of a lower layer's file.
    layer.md prescribes no order. Parents stand first (the cases of APL have the rest).

Not drawn: names with a leading ``/`` (PROTOCOL.md, 3.1, leaves a choice), and the attributes of
overlayfs itself, which tar and umoci store as they are (PROTOCOL.md, 3.8: never).
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conformance import tools
from conformance.clauses import MUST, SHOULD, clause
from conformance.recipes import Palette, grown, marked, rich
from harness.tree import Tree

ATTRIBUTES = "image-spec layer.md, File Attributes"
OVER = "image-spec layer.md, Changeset over existing files"


def examples(count):
    """Return the settings of a property with so many examples, the same in each run."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        # What is drawn is small. To make it smaller costs minutes, since two tools run each time.
        phases=[Phase.generate],
        # One store serves all examples: what one adds does not disturb another.
        suppress_health_check=list(HealthCheck),
    )


def without_roots_time(tree):
    """Return the tree with any time for the root."""
    return Tree({**tree, ".": replace(tree["."], mtime_ns=None)})


def palette_of(subject, host):
    """Return what may be drawn for this subject on this host."""
    return Palette.of(host.facts, devices=subject.raw.config.declares("devices"))


@clause("DIF-001", MUST, f"{ATTRIBUTES}; GNU tar", target_needs=("gnu_tar",))
@examples(30)
@given(data=st.data())
def test_any_layer_is_what_gnu_tar_extracts(subject, host, data):
    """A layer without whiteouts gives the tree that GNU tar extracts, metadata and all."""
    layer = data.draw(rich(palette_of(subject, host)))

    assert subject.tree(layer) == tools.gnu_tar(host, subject.path("tar"), layer)


@clause(
    "DIF-002", MUST, "POSIX.1-2017 pax; GNU tar manual, Basic Tar Format", target_needs=("gnu_tar",)
)
@pytest.mark.parametrize("form", ["gnu", "ustar"])
@examples(15)
@given(data=st.data())
def test_other_formats_are_what_gnu_tar_extracts(subject, host, form, data):
    """The same holds for the older formats of tar, with their ways to write long names."""
    palette = replace(palette_of(subject, host).without_xattrs(), fractions=False)
    layer = data.draw(rich(palette, form=form))

    assert subject.tree(layer) == tools.gnu_tar(host, subject.path("tar"), layer)


@clause("DIF-003", MUST, f"{OVER}; GNU tar", target_needs=("gnu_tar",))
@examples(15)
@given(data=st.data())
def test_any_stack_is_what_gnu_tar_extracts_one_over_the_other(subject, host, data):
    """Layers without whiteouts give the tree that GNU tar makes of them, one after the other."""
    palette = replace(palette_of(subject, host).without_xattrs(), setgid_directories=False)
    layers = data.draw(grown(palette))
    extracted = tools.gnu_tar(host, subject.path("tar"), *layers)

    assert subject.tree(*layers) == without_roots_time(extracted)


@clause("DIF-004", MUST, f"{OVER}; image-spec layer.md, Whiteouts; umoci", target_needs=("umoci",))
@examples(15)
@given(data=st.data())
def test_any_stack_with_whiteouts_is_what_umoci_unpacks(subject, host, data):
    """Layers with whiteouts and opaque markers give the root file system that umoci unpacks."""
    layers = data.draw(marked(replace(palette_of(subject, host), empty_xattrs=False)))
    unpacked = tools.umoci(host, subject.path("umoci"), *layers)

    assert subject.tree(*layers) == without_roots_time(unpacked)


@clause(
    "DIF-005",
    SHOULD,
    "PROTOCOL.md, merge, export; umoci",
    needs=("merge", "export"),
    target_needs=("umoci",),
)
@examples(6)
@given(data=st.data())
def test_what_is_merged_and_exported_is_unpacked_alike_by_umoci(subject, host, data):
    """A merged layer that is exported gives umoci the tree that its sources give it."""
    layers = data.draw(marked(replace(palette_of(subject, host), empty_xattrs=False)))
    unpacked = tools.umoci(host, subject.path("umoci"), *layers)
    path = subject.path("export")
    subject.call("export", path=path, digests=[subject.merge(*layers)])

    merged = tools.unpacked(host, subject.path("umoci"), f"{path}:latest")
    assert merged == without_roots_time(unpacked)
