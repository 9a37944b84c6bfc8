"""What a case says to a subject, in the words of the cases: add, stack, refuse, commit, merge.

Each answer is held against the host at once, so that a case need not: an added layer has the
digests that the builder computed, a stacked view is a mount, an unmounted one is none and its
target is as it was before, a refused operation has made nothing. Trees are compared by the cases
themselves.

A driver has one store in a directory of its own, and, where the subject keeps layers on ZFS, with a
dataset of its own in the run's pool. When the case is over, ``end`` takes everything away, and,
where the case saw a refusal, makes sure that the store still serves: a subject that refuses
everything refuses also what is right.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

import pytest

from conformance import images, model
from conformance.images import Files, Found
from conformance.layers import Dir, File, Layer, Symlink
from harness.canary import CONTENT
from harness.errors import Refused, SubjectFailure
from harness.observe import Host
from harness.protocol import Error
from harness.subject import Pending, Subject
from harness.tree import Tree
from harness.zfs import ZfsError

#: What a layer that does harm may be refused as, where not how it is refused is the question.
_REFUSALS: Final = (
    "hostile-layer", "invalid-layer-path", "validation-error", "path-error", "storage-error",
)  # fmt: skip
#: What must still work after a refusal.
HARMLESS: Final = Layer(Dir("still"), File("still/serves"), Symlink("link", to="still"))


@dataclass
class Refusal:
    """What :meth:`Driver.refuses` caught; ``error`` is set when the block has ended."""

    error: Error | None = None

    @property
    def holder(self) -> str:
        """Who holds what was asked for; empty when the subject does not say."""
        return (self.error.holder if self.error else None) or ""


class Driver:
    """The store of a subject at ``store``, and a ``directory``, there and empty, for the case.

    ``dataset`` is the store's, which the first ``open`` makes; empty where the subject does not
    declare the capability ``zfs``.
    """

    def __init__(self, subject: Subject, host: Host, directory: str, store: str) -> None:
        self.raw = subject
        self.host = host
        self.directory = directory
        self.store = store
        self.dataset = ""
        if subject.config.declares("zfs"):
            place = os.path.relpath(store, host.workdir)
            self.dataset = f"{host.zfs.pool}/{re.sub(r'[^A-Za-z0-9_.]+', '-', place)}"
        self._numbers = itertools.count(1)
        self._added: dict[str, str] = {}
        self._created: dict[str, bool] = {}
        self._refused = False

    # --- calls ----------------------------------------------------------------------------------

    def call(self, verb: str, **fields: Any) -> Any:
        """Ask for ``verb`` with this store. Raises as :meth:`harness.subject.Subject.call`."""
        return self.raw.call(verb, store=self.store, **fields)

    def begin(self, verb: str, **fields: Any) -> Pending:
        """Ask for ``verb`` in a process of its own, and do not wait."""
        return self.raw.begin(verb, store=self.store, **fields)

    def open(self, **fields: Any) -> None:
        """Open the store, which creates it, with its dataset if it has one."""
        if self.dataset:
            fields = {"zfs": self.dataset, **fields}
        assert self.call("open", **fields).store == self.store
        assert self.host.exists(self.store), "open made no store"

    def under(self, words: str) -> Driver:
        """Return the same store for a subject that a shell starts after ``words``."""
        argv = ["sh", "-c", f'{words}; exec "$@"', "sh", *self.raw.config.command.argv]
        command = self.raw.config.command.model_copy(update={"argv": argv})
        config = self.raw.config.model_copy(update={"command": command})
        other = Subject(self.host.remote, config, mode="call", directory=self.raw.directory)
        return Driver(other, self.host, self.directory, self.store)

    def by(self, mode: Literal["session", "call"]) -> Driver:
        """Return the same store for further processes of the subject, run in one of two ways."""
        raw = self.raw
        other = Subject(self.host.remote, raw.config, mode=mode, directory=raw.directory)
        return Driver(other, self.host, self.directory, self.store)

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return the subject's command line with ``words``, and its part of the environment."""
        argv, env = self.raw.command()
        return [*argv, *words], env

    def expect_service(self) -> None:
        """Make sure, when the case ends, that the store still serves, as after a refusal."""
        self._refused = True

    def restart(self) -> None:
        """Let the subject's process end; the next call is another's."""
        self.raw.end()

    @contextlib.contextmanager
    def refuses(self, *codes: str) -> Iterator[Refusal]:
        """Demand that the block is refused with one of ``codes``; anything else fails the case."""
        caught, told = Refusal(), ""
        try:
            yield caught
        except Refused as refused:
            caught.error, told = refused.error, str(refused)
        if caught.error is None:
            pytest.fail(f"it was done, and should have been refused as {' or '.join(codes)}")
        self._refused = True
        assert caught.error.code in codes, f"{told}; required: {' or '.join(codes)}"
        assert caught.error.message.strip(), "the refusal has no message"
        assert "\n" not in caught.error.message, "the refusal's message is not one line"

    # --- layers ---------------------------------------------------------------------------------

    def put(self, blob: bytes) -> str:
        """Write a blob on the host, outside of the store, and return its path."""
        path = self.path("blob")
        self.host.write(path, blob)
        return path

    def add(self, layer: Layer, **fields: Any) -> str:
        """Add a layer, hold the answer against the builder, and return its digest."""
        path = self.put(layer.blob())
        answer = self.call("add", path=path, **{"media_type": layer.media_type, **fields}).layer
        told = (answer.digest, answer.diff_id, answer.size)
        true = (fields.get("digest", layer.digest), layer.diff_id, layer.size)
        assert told == true, "the answer to add is not what the blob is"
        self._added[layer.digest] = answer.digest
        return str(answer.digest)

    def added(self) -> set[str]:
        """Return the digests of the layers whose ``add`` succeeded."""
        return set(self._added.values())

    def digest_of(self, layer: Layer | str) -> str:
        """Return the digest of a layer, which is added unless it was before."""
        if isinstance(layer, str):
            return layer
        return self._added.get(layer.digest) or self.add(layer)

    def remove_if_free(self, *layers: Layer, code: str = "layer-in-use") -> None:
        """Ask for the removal of layers: it is done, or refused with this code, and not both."""
        for layer in layers:
            try:
                assert self.call("remove", digest=layer.digest).removed
                kept = False
            except Refused as refused:
                if refused.code != code:
                    raise AssertionError(f"{refused}; allowed: {code}") from refused
                self._refused = kept = True
            assert (layer.digest in self.digests()) == kept

    def is_whole(self, *layers: Layer) -> None:
        """Make sure that those of the layers that the store still has show their stack."""
        left = [layer for layer in layers if layer.digest in self.digests()]
        if left:
            assert self.tree(*left) == model.apply(*left)

    def digests(self) -> set[str]:
        """Return the digests of all layers of the store."""
        listed = [layer.digest for layer in self.call("list").layers]
        assert len(listed) == len(set(listed)), "list names a layer twice"
        return set(listed)

    # --- views ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stacked(
        self, *layers: Layer | str, writable: bool = False, target: str | None = None
    ) -> Iterator[str]:
        """Add the layers where needed, stack them, and unmount the view afterwards.

        Gives the target's path. When the block raises, unmounting is left to :meth:`end`.
        """
        root = self.stack(*layers, writable=writable, target=target)
        yield root
        self.unmount(root)

    def stack(self, *layers: Layer | str, writable: bool = False, target: str | None = None) -> str:
        """Add the layers where needed, stack them, base first, and return the target's path."""
        digests = [self.digest_of(layer) for layer in layers]
        target = target or self.path("view")
        mount = self._mounted("stack", digests=digests, target=target, writable=writable)
        assert (list(mount.digests), mount.writable) == (digests, writable)
        return target

    def mount(self, layer: Layer | str, target: str | None = None) -> str:
        """Mount one layer, read-only, and return the target's path."""
        digest = self.digest_of(layer)
        target = target or self.path("view")
        mount = self._mounted("mount", digest=digest, target=target)
        assert (list(mount.digests), mount.writable) == ([digest], False)
        return target

    def _mounted(self, verb: str, **fields: Any) -> Any:
        target = fields["target"]
        existed, was_mounted = self.host.exists(target), self.is_mounted(target)
        try:
            mount = self.call(verb, **fields).mount
        except SubjectFailure:
            assert self.is_mounted(target) == was_mounted, f"{verb} failed, and left a mount"
            assert self.host.exists(target) == existed, f"{verb} failed, and changed the target"
            raise
        assert mount.target == target
        assert self.is_mounted(target), f"{verb} says it is done, and nothing is mounted"
        self._created[target] = not existed
        return mount

    def unmount(self, target: str) -> None:
        """Unmount a view; what was made for it must be gone."""
        self.call("unmount", target=target)
        assert not self.is_mounted(target), "unmount says it is done, and it is still mounted"
        created = self._created.pop(target, None)
        if created is not None:
            state = "there" if self.host.exists(target) else "gone"
            wanted = "gone" if created else "there"
            assert state == wanted, f"the target is {state} after unmount, and should be {wanted}"

    def is_mounted(self, target: str) -> bool:
        """Whether something is mounted at ``target`` itself."""
        return any(mount.target == target for mount in self.host.mounts())

    def tree(self, *layers: Layer | str) -> Tree:
        """Return the tree of a stack, which is unmounted again."""
        with self.stacked(*layers) as root:
            return self.host.tree(root)

    def tree_or_refusal(self, *layers: Layer, codes: tuple[str, ...]) -> Tree | None:
        """Return the tree of a stack, or None when it is refused with one of ``codes``."""
        try:
            return self.tree(*layers)
        except Refused as refused:
            if refused.code not in codes:
                raise AssertionError(f"{refused}; allowed: {' or '.join(codes)}") from refused
            self._refused = True
        return None

    def stays_inside(self, layer: Layer) -> None:
        """Show a layer that leads to a canary: refused or not, nothing of that is in the tree.

        That the canary was not touched is for its block to say.
        """
        tree = self.tree_or_refusal(layer, codes=_REFUSALS)
        outside = sha256(CONTENT).hexdigest()
        found = [path for path, node in (tree or {}).items() if node.sha256 == outside]
        assert found == [], f"{found} is the canary's"

    def inside(self, root: str, script: str) -> None:
        """Run a shell script in a directory of the host; it must succeed."""
        done = self.host.run(["sh", "-ec", script], cwd=root)
        assert done.status == 0, f"{script!r} in the view: {done.stderr.decode(errors='replace')}"

    # --- making layers --------------------------------------------------------------------------

    def commit(self, target: str) -> str:
        """Commit a view and return the new layer's digest."""
        return self._made(self.call("commit", target=target).layer)

    def merge(self, *layers: Layer | str) -> str:
        """Merge layers, which are added where needed, and return the new layer's digest."""
        digests = [self.digest_of(layer) for layer in layers]
        return self._made(self.call("merge", digests=digests).layer)

    def _made(self, layer: Any) -> str:
        assert self.call("get", digest=layer.digest).layer == layer
        return str(layer.digest)

    # --- replication ----------------------------------------------------------------------------

    def send(self, *layers: Layer | str, since: tuple[Layer | str, ...] = ()) -> str:
        """Send a stack, whose layers are added where needed, and return the path of the file."""
        digests, known = ([self.digest_of(one) for one in some] for some in (layers, since))
        path = self.path("sent")
        self.call("send", digests=digests, path=path, since=known)
        assert self.host.exists(path), "send says it is done, and wrote no file"
        return path

    def receive(self, path: str, *layers: Layer, **fields: Any) -> None:
        """Receive a stack, and hold the answer against the builder of its layers."""
        answer = self.call("receive", path=path, **fields).layers
        told = [(one.digest, one.diff_id, one.size) for one in answer]
        true = [(one.digest, one.diff_id, one.size) for one in layers]
        assert told == true, "the answer to receive is not what was sent"
        self._added.update({one.digest: one.digest for one in layers})

    # --- images ---------------------------------------------------------------------------------

    def write_layout(self, files: Files) -> str:
        """Write an image layout on the host and return its path."""
        path = self.path("layout")
        for name, data in files.items():
            self.host.mkdir(os.path.dirname(f"{path}/{name}"))
            self.host.write(f"{path}/{name}", data)
        return path

    def export(self, *, reference: str = "latest", **fields: Any) -> Found:
        """Export to a new place, and return what stands there, every digest of it checked."""
        path = self.path("export")
        answer = self.call("export", path=path, reference=reference, **fields)
        found = images.read(lambda name: self.host.read(f"{path}/{name}"), reference)
        assert answer.manifest == found.digest
        return found

    # --- the case's own directory ---------------------------------------------------------------

    def path(self, name: str) -> str:
        """Return a path of the case's directory that was not used before."""
        return f"{self.directory}/{name}-{next(self._numbers)}"

    def end(self, *, failed: bool = False) -> None:
        """Unmount what is left, close the store, and remove its dataset and the case's directory.

        Raises what the subject does wrong meanwhile, after everything has been tried. With
        ``failed``, the case has, and it need not be shown that the store still serves.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            if self.dataset:
                stack.callback(self._destroy)
            stack.callback(self.call, "close")
            for target in self._created:
                if self.is_mounted(target):
                    stack.callback(self.unmount, target)
            if self._refused and not failed:
                self._still_serves()

    def _still_serves(self) -> None:
        try:
            tree = self.tree(HARMLESS)
        except Refused as refused:
            pytest.fail(f"after a refusal, the subject also refuses what is right: {refused}")
        assert tree == model.apply(HARMLESS)

    def _destroy(self) -> None:
        left = [mount.target for mount in self.host.zfs.mounts(self.dataset)]
        assert not left, f"of the store's dataset, still mounted after close: {', '.join(left)}"
        try:
            self.host.zfs.wipe(self.dataset)
        except ZfsError as error:
            words = f"the store's dataset cannot be destroyed after close: {error.strerror}"
            raise AssertionError(words) from error

    def _remove(self) -> None:
        left = [m.target for m in self.host.mounts() if m.target.startswith(f"{self.directory}/")]
        assert not left, f"still mounted after close: {', '.join(left)}"
        self.host.remove(self.directory)
