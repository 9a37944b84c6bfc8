"""Ways out of the root through the disk: somebody else changes directories while they are used.

Other processes may have access to the place where layers are unpacked, or to the directory of a
target. A store that looks at a path and then uses it again can be led outside in between
(``conformance/intruder.py``). Whatever happens, the canary stays whole; what was disturbed may be
refused, and works again in peace.
"""

import contextlib

import pytest

from conformance import model
from conformance.clauses import MUST, clause
from conformance.intruder import Intruder
from conformance.layers import Dir, File, Layer, Symlink
from harness.errors import Refused

FOLLOWED = "symlink(7); openat2(2), RESOLVE_NO_SYMLINKS; PROTOCOL.md, 6: intruders, and 7"
#: What a request may be refused with while, or after, files are exchanged under it.
DISTURBED = ("hostile-layer", "invalid-layer-path", "storage-error", "path-error")
#: Which directory of a layer the intruder looks for.
NAME = "taken-away"


def hostile(id_, source, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, MUST, source, profile="hostile", **more)


def crowded(count):
    """Return a layer with a directory of many files, and what the canary's directory has, too."""
    return Layer(
        Dir(NAME),
        *(File(f"{NAME}/f{n}") for n in range(count)),
        File(f"{NAME}/below", b"inside"),
        Symlink(f"{NAME}/l", to="f1"),
        Dir(f"{NAME}/sub", mode=0o701),
        File(f"{NAME}/sub/f"),
    )


def intruder(subject, host, outside):
    """Return who puts a symlink to the canary's directory in the place of a layer's."""
    keep = subject.path("kept")
    return Intruder(host, subject.store, NAME, to=outside.directory, keep=keep)


@contextlib.contextmanager
def disturbed(*more):
    """Let the block be refused with one of the codes of what was disturbed."""
    try:
        yield
    except Refused as refused:
        if refused.code not in (*DISTURBED, *more):
            raise


@hostile("HST-260", FOLLOWED)
def test_a_directory_that_is_swapped_while_it_is_filled_leads_nowhere(subject, host):
    """A directory that is exchanged with a symlink while a layer is unpacked is no way out."""
    layer = crowded(2000)
    with host.canary() as outside:
        somebody = intruder(subject, host, outside)
        assert subject.tree(layer) == model.apply(layer)
        somebody.find()
        subject.call("remove", digest=layer.digest)
        with somebody.swapping():
            for _ in range(4):
                with disturbed(), subject.stacked(subject.add(layer)):
                    pass
                with disturbed():
                    subject.call("remove", digest=layer.digest)
        assert subject.tree(subject.add(layer)) == model.apply(layer)
    somebody.expect(rounds=2000)


@hostile("HST-261", f"{FOLLOWED}; PROTOCOL.md, remove")
def test_a_directory_that_is_swapped_while_it_is_removed_leads_nowhere(subject, host):
    """Removing a layer while its directories are exchanged with symlinks removes nothing else."""
    layer = crowded(500)
    with host.canary() as outside:
        somebody = intruder(subject, host, outside)
        for _ in range(12):
            with subject.stacked(subject.add(layer)):
                pass
            somebody.find()
            with somebody.swapping(), disturbed():
                subject.call("remove", digest=layer.digest)
            subject.call("remove", digest=layer.digest)
            assert layer.digest not in subject.digests()
        assert subject.tree(subject.add(layer)) == model.apply(layer)
    somebody.expect(rounds=16)


@hostile("HST-262", f"{FOLLOWED}; PROTOCOL.md, verify", needs=("verify",))
def test_a_directory_that_is_swapped_while_it_is_verified_leads_nowhere(subject, host):
    """Verifying a layer while its directories are exchanged with symlinks reads nothing else."""
    layer = crowded(300)
    with host.canary() as outside:
        somebody = intruder(subject, host, outside)
        assert subject.tree(layer) == model.apply(layer)
        somebody.find()
        with somebody.swapping():
            for _ in range(24):
                with disturbed():
                    damaged = subject.call("verify").damaged
                    assert {one.digest for one in damaged} <= {layer.digest}
        assert subject.tree(layer) == model.apply(layer)
    somebody.expect(rounds=200)


@hostile("HST-263", f"{FOLLOWED}; PROTOCOL.md, merge", needs=("merge",))
def test_a_directory_that_is_swapped_while_it_is_merged_leads_nowhere(subject, host):
    """Merging layers while their directories are exchanged with symlinks reads nothing else."""
    layer, other = crowded(300), Layer(File("other"))
    with host.canary() as outside:
        somebody = intruder(subject, host, outside)
        assert subject.tree(layer, other) == model.apply(layer, other)
        somebody.find()
        with somebody.swapping():
            for _ in range(24):
                with disturbed():
                    subject.merge(layer, other)
        assert subject.tree(subject.merge(layer, other)) == model.apply(layer, other)
    somebody.expect(rounds=200)


@hostile("HST-264", f"{FOLLOWED}; PROTOCOL.md, verify and repair", needs=("verify", "repair"))
@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_symlink_in_a_stored_tree_is_damage_and_is_mended(subject, host, what):
    """A symlink in the place of a layer's file or directory is found, not followed, and mended."""
    entry = Dir(NAME, mode=0o750) if what == "directory" else File(NAME, b"nobody may\n")
    below = [File(f"{NAME}/below", b"inside")] if what == "directory" else []
    layer = Layer(entry, *below, File("other"), compression="gzip")
    with host.canary() as outside:
        assert subject.tree(layer) == model.apply(layer)
        to = outside.directory if what == "directory" else outside.file
        Intruder(host, subject.store, NAME, to=to, keep=subject.path("kept")).replace()

        damaged = subject.call("verify").damaged
        assert {one.digest for one in damaged} == {layer.digest}
        assert NAME in {one.path for one in damaged}
        answer = subject.call("repair")
        assert (answer.repaired, answer.failed) == ((layer.digest,), ())
        assert subject.call("verify").damaged == ()
        assert subject.tree(layer) == model.apply(layer)


@hostile("HST-265", f"{FOLLOWED}; PROTOCOL.md, remove and gc")
@pytest.mark.parametrize("verb", ["remove", "gc"])
def test_a_symlink_in_a_stored_tree_goes_without_what_it_leads_to(subject, host, verb):
    """A layer in whose stored tree a directory became a symlink is removed; its target stays."""
    if verb == "gc" and not subject.raw.config.declares("gc"):
        pytest.skip("the subject does not declare gc")
    layer = crowded(10)
    with host.canary() as outside:
        assert subject.tree(layer) == model.apply(layer)
        intruder(subject, host, outside).replace()

        if verb == "remove":
            assert subject.call("remove", digest=layer.digest).removed
        else:
            removed = subject.call("gc").removed
            assert [one.digest for one in removed] == [layer.digest]
        assert subject.digests() == set()
        assert subject.tree(subject.add(layer)) == model.apply(layer)


@hostile("HST-266", FOLLOWED)
@pytest.mark.parametrize("verb", ["stack", "merge", "export", "stats"])
def test_a_symlink_in_a_stored_tree_is_never_followed(subject, host, verb):
    """Using a layer in whose stored tree a directory became a symlink looks at nothing outside."""
    if verb != "stack" and not subject.raw.config.declares(verb):
        pytest.skip(f"the subject does not declare {verb}")
    layer = crowded(10)
    upper = Layer(File(f"{NAME}/sub/new"), File(f"{NAME}/below", b"above"))
    with host.canary() as outside:
        assert subject.tree(layer, upper) == model.apply(layer, upper)
        intruder(subject, host, outside).replace()

        with disturbed("digest-mismatch", "mount-failed", "layer-stacking-failed"):
            if verb == "stack":
                with subject.stacked(layer, upper, writable=True) as root:
                    host.listdir(root)
            elif verb == "merge":
                subject.merge(layer, upper)
            elif verb == "export":
                subject.export(digests=[layer.digest, upper.digest])
            else:
                subject.call("stats")


@hostile("HST-267", "umount(2); PROTOCOL.md, 7: foreign mounts", target_needs=("mount_tmpfs",))
def test_what_is_mounted_in_a_stored_tree_is_never_emptied(subject, host):
    """What is mounted within a layer's stored tree keeps its files when the layer is removed."""
    layer = crowded(10)
    assert subject.tree(layer) == model.apply(layer)
    with host.canary() as outside:
        somebody = intruder(subject, host, outside)
        with somebody.mounting("foreign") as found:
            host.write(f"{found()}/precious", b"precious")
            with disturbed("layer-in-use"):
                subject.call("remove", digest=layer.digest)
            assert host.read(f"{found()}/precious") == b"precious"
    subject.call("remove", digest=layer.digest)
    assert subject.digests() == set()
    assert subject.tree(subject.add(layer)) == model.apply(layer)


@hostile("HST-268", "path_resolution(7); PROTOCOL.md, unmount, and 7")
@pytest.mark.parametrize("view", ["mounted", "gone"])
def test_a_target_s_directory_that_became_a_symlink_is_not_followed(subject, host, view):
    """Where a symlink took the place of a target's parent, nothing is removed behind it."""
    layer = Layer(File("f"))
    parent, moved = host.mkdir(subject.path("parent")), subject.path("moved")
    target = f"{parent}/empty"
    with host.canary() as outside:
        subject.stack(layer, target=target)
        if view == "gone":
            assert host.run(["umount", target]).status == 0
        host.call("rename", parent, moved)
        host.call("symlink", outside.path, parent)
        for verb, fields in (("unmount", {"target": target}), ("remove", {"digest": layer.digest})):
            with disturbed("invalid-mount-point", "unmount-failed", "layer-in-use"):
                subject.call(verb, **fields)
        subject.call("open")

        host.call("unlink", parent)
        host.call("rename", moved, parent)
    if subject.is_mounted(target):
        subject.unmount(target)
    subject.call("remove", digest=layer.digest)
    assert subject.digests() == set()
