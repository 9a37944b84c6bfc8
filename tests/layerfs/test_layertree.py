"""The rules of names, without a disk. What they make on one is looked at in ``test_apply``."""

import pytest

from layerfs.errors import HostileLayerError, InvalidLayerPathError, LimitExceededError
from layerfs.layertree import Directory, LayerTree
from layerfs.limits import Limits
from layerfs.tarstream import Member


def member(name, kind="file", to=b"", **fields):
    return Member(name, kind, linkname=to, **fields)


def grown(*members):
    tree = LayerTree()
    for one in members:
        tree.add(one)
    tree.settle()
    return tree


def shown(tree):
    """Path to kind, with ``?`` for implicit directories, ``!`` for opaque, and whiteouts."""
    found = {}
    for directory in tree.root.subtree():
        flags = "?" * directory.implicit + "!" * directory.opaque
        found[directory.path().decode()] = "dir" + flags
        for name, node in directory.children.items():
            if not isinstance(node, Directory):
                found[directory.path(name).decode()] = node.kind
        for name in directory.whiteouts():
            found[directory.path(name).decode()] = "whiteout"
    return found


def test_missing_parents_are_made_once_and_handed_out_once():
    tree = LayerTree()
    tree.add(member(b"a/b/f"))
    assert [one.path() for one in tree.made] == [b"a", b"a/b"]
    tree.made.clear()
    tree.add(member(b"a/b/g"))
    assert tree.made == []
    assert shown(tree) == {
        ".": "dir?", "a": "dir?", "a/b": "dir?", "a/b/f": "file", "a/b/g": "file",
    }  # fmt: skip


def test_a_step_says_what_was_there_and_where_a_link_comes_from():
    tree = LayerTree()
    first = tree.add(member(b"d/f"))
    assert (first.parent.path(), first.name, first.old, first.source) == (b"d", b"f", None, None)
    link = tree.add(member(b"g", "hardlink", b"d/f"))
    assert link.node is first.node
    assert link.source == (first.parent, b"f")
    assert tree.add(member(b"g", "hardlink", b"d/f")) is None
    again = tree.add(member(b"d/f"))
    assert again.old is first.node
    assert again.node is not first.node
    same = tree.add(member(b"d", "dir"))
    assert same.old is same.node


def test_a_replaced_directory_is_handed_out_whole_for_its_removal():
    tree = grown(member(b"d/e/f"))
    step = tree.add(member(b"d"))
    assert [one.path() for one in step.old.subtree()] == [b"d", b"d/e"]
    assert shown(tree) == {".": "dir?", "d": "file"}


def test_sockets_and_markers_change_no_name():
    tree = LayerTree()
    assert tree.add(member(b"s", "socket")) is None
    assert tree.add(member(b".wh.x")) is None
    assert tree.add(member(b".wh..wh..opq")) is None
    assert shown(tree) == {".": "dir?!", "x": "whiteout"}


def test_links_lead_where_a_chroot_would_lead_them():
    tree = grown(
        member(b"a/b", "dir"),
        member(b"a/up", "symlink", b"../../../a/./b/"),
        member(b"a/b/root", "symlink", b"/"),
        member(b"l", "symlink", b"a/up/root/a/up"),
        member(b"l/root/l/f"),
    )
    assert shown(tree)["a/b/f"] == "file"


@pytest.mark.parametrize("to", [b"l", b"/l/x", b"m", b"../l"])
def test_links_in_a_loop_are_hostile(to):
    with pytest.raises(HostileLayerError, match="loop"):
        grown(member(b"l", "symlink", to), member(b"m", "symlink", b"l"), member(b"l/f"))


def test_following_links_is_bounded_in_steps_too():
    """Each link leads through the one before, with thousands of components between."""
    links = [member(b"d", "dir"), member(b"l0", "symlink", b"d/../" * 800 + b"d")]
    links += [member(b"l%d" % n, "symlink", b"l%d" % (n - 1) + b"/." * 2000) for n in range(1, 5)]
    grown(*links, member(b"l1/f"))
    with pytest.raises(HostileLayerError, match="too many"):
        grown(*links, member(b"l4/f"))


def test_implicit_directories_are_bounded_by_the_bytes_of_their_paths():
    deep = b"/d" * 2000
    with pytest.raises(LimitExceededError) as caught:
        grown(*(member(b"%d" % number + deep + b"/f") for number in range(100)))
    assert caught.value.limit == f"max_implicit_bytes={64 << 20}"


@pytest.mark.parametrize("last", [member(b"a/b/d", "dir"), member(b"a/b/d/f"), member(b"l/d/f"),
                                  member(b"a/b/d/.wh.x")])  # fmt: skip
def test_depth_is_bounded_whatever_makes_a_directory(last):
    entries = [member(b"a/b/f"), member(b"l", "symlink", b"a/b"), last]
    for most in (2, 3):
        tree = LayerTree(Limits(max_depth=most))
        tree.add(entries[0])
        tree.add(entries[1])
        if most == 3:
            tree.add(last)
            continue
        with pytest.raises(LimitExceededError) as caught:
            tree.add(last)
        assert caught.value.limit == "max_depth=2"


def test_only_what_a_lower_layer_may_decide_is_called_implicit():
    tree = grown(
        member(b"plain/f"), member(b"opaque/.wh..wh..opq"), member(b"opaque/below/f"),
        member(b".wh.gone"), member(b"gone/below/f"), member(b"known/below/f"),
        member(b"known", "dir"),
    )  # fmt: skip
    assert tree.implicit() == [b".", b"known/below", b"opaque", b"plain"]


def test_markers_of_replaced_directories_come_back_with_the_directory_only():
    markers = member(b"d/e/.wh.x"), member(b"d/.wh..wh..opq")
    assert shown(grown(*markers, member(b"d"))) == {".": "dir?", "d": "file"}
    assert shown(grown(*markers, member(b"d"), member(b"d", "dir"))) == {
        ".": "dir?", "d": "dir!", "d/e": "dir?", "d/e/x": "whiteout",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (member(b".", "file"), InvalidLayerPathError),
        (member(b"f/x"), InvalidLayerPathError),
        (member(b"s", "symlink", b""), InvalidLayerPathError),
        (member(b"h", "hardlink", b"nowhere"), InvalidLayerPathError),
        (member(b"h", "hardlink", b"f/x"), InvalidLayerPathError),
        (member(b"h", "hardlink", b"d"), HostileLayerError),
        (member(b"h", "hardlink", b"."), HostileLayerError),
        (member(b"c", "char", rdev=(0, 0)), HostileLayerError),
        (member(b"d/.wh."), HostileLayerError),
        (member(b".wh.d", "dir"), HostileLayerError),
        (member(b"away/x"), HostileLayerError),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(made, error):
    tree = grown(member(b"f"), member(b"d", "dir"), member(b"away", "symlink", b"/outside"))
    with pytest.raises(InvalidLayerPathError) as caught:
        tree.add(made)
    assert type(caught.value) is error
    assert caught.value.path
