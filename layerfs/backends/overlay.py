"""Layers as directories in overlayfs's on-disk form, stacks as overlay mounts.

    layers/<hex of the diffID>/diff/   the layer's tree, with overlayfs's whiteouts and marks
    layers/<hex of the diffID>/marks   what the tree cannot say: ``layerfs.backends.marks``
    run/<mount id>/                    one view: upper/ and work/ of a writable one, shim/ and
                                       empty/ where the stack needs them

A mount says in mountinfo's source field which run directory it is of (``layerfs:<mount id>``), so
that no other mount is ever taken for it; the names of run directories are unique among stores.

The kernel takes 500 lowerdirs; more are refused, with that number. Sources: the kernel's overlayfs
page; image-spec layer.md.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerfs import digest as digests
from layerfs import mounts
from layerfs.backends import Contents, Features, Sink, marks, shim
from layerfs.errors import (
    InvalidOverlayError,
    LimitExceededError,
    MountFailedError,
    PathError,
    ReadOnlyFilesystemError,
    StorageError,
    UnmountFailedError,
    ValidationError,
    from_os_error,
)
from layerfs.holders import named_copies

if TYPE_CHECKING:
    from layerfs.apply import ApplyOptions
    from layerfs.tarstream import TarReader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Trees whose marks are kept in memory.
_KNOWN = 2048
#: Length of the hex part of a diffID, and its algorithm (image-spec descriptor.md).
_ALGORITHMS = {64: "sha256", 128: "sha512"}


class OverlayBackend:
    """The overlay backend of the store in ``root``. Implements ``layerfs.backends.Backend``.

    ``features`` are those that the store recorded; without them the host is probed when needed.
    """

    name = "overlay"
    keeps_trees = True
    dataset: str | None = None

    def __init__(self, root: Path, features: Features | None = None) -> None:
        self._layers = os.path.join(root, "layers")
        self._root = root
        self._features = features
        # A tree never changes: what one stack has read of it serves the next ones.
        self._marks = functools.lru_cache(maxsize=_KNOWN)(marks.load)

    @property
    def features(self) -> Features:
        """What this store was made with, and what this host can do."""
        if self._features is None:
            self._features = self.probe()
        return self._features

    def probe(self) -> Features:
        """See ``Backend.probe``."""
        from layerfs.backends import probing  # noqa: PLC0415 - once in a store's life

        return probing.probe(self._root)

    # --- the trees of layers

    def ingest(self, reader: TarReader, staging: Path) -> int | None:
        """See ``LayerStorage.ingest``."""
        from layerfs.apply import apply  # noqa: PLC0415 - the tar machinery

        diff = staging / "diff"
        try:
            diff.mkdir(mode=0o700)
            fd = os.open(diff, _DIRECTORY)
        except OSError as error:
            raise from_os_error(error, "extracting into", os.fspath(diff)) from error
        with _closing([fd]):
            report = apply(reader, fd, options=self._options())
        found = marks.Marks(
            implicit=frozenset(report.implicit),
            # The root of a stack always merges two directories at least.
            whiteouts=frozenset(report.whiteouts) - {b"."},
            opaque_root=report.opaque_root,
        )
        try:
            marks.save(staging, found)
            if report.disk_usage is None:
                return None
            beside = [staging, *(one for one in staging.iterdir() if one != diff)]
            # ZFS counts as nothing what it has not written yet.
            usage = max(report.disk_usage, report.bytes)
            return usage + sum(one.lstat().st_blocks * 512 for one in beside)
        except OSError as error:
            raise from_os_error(error, "writing", os.fspath(staging / marks.NAME)) from error

    def publish(self, staging: Path, diff_id: str) -> bool:
        """See ``LayerStorage.publish``."""
        try:
            try:
                os.rename(staging, self._place(diff_id))
                new = True
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise
                new = False
            # Also when another process renamed first: it may not have come so far.
            fd = os.open(self._layers, _DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, "publishing layer", self._place(diff_id)) from error
        return new

    def release(self, diff_id: str) -> None:
        """See ``LayerStorage.release``; nothing is made of a layer but views."""

    def discard(self, diff_id: str, trash: Path) -> None:
        """See ``LayerStorage.discard``."""
        place = self._place(diff_id)
        self._marks.cache_clear()
        try:
            os.rename(place, trash / os.path.basename(place))
        except FileNotFoundError:
            if not trash.is_dir():
                raise PathError(f"{os.fspath(trash)!r} is no directory", path=trash) from None
        except OSError as error:
            raise from_os_error(error, "removing layer", place) from error

    def enumerate(self) -> Iterator[str]:
        """See ``LayerStorage.enumerate``. What is not named by a digest is passed over."""
        try:
            with os.scandir(self._layers) as found:
                for entry in found:
                    algorithm = _ALGORITHMS.get(len(entry.name))
                    if algorithm is not None and entry.is_dir(follow_symlinks=False):
                        with contextlib.suppress(ValidationError):
                            yield digests.parse(f"{algorithm}:{entry.name}")
        except FileNotFoundError:
            return

    def size(self, diff_id: str) -> int:
        """See ``LayerStorage.size``."""
        from layerfs.removal import disk_usage  # noqa: PLC0415 - not needed for a mount

        return disk_usage(self._place(diff_id))

    def space(self) -> None:
        """See ``LayerStorage.space``; trees are files of the store."""

    # --- views

    def view(
        self,
        diff_ids: Sequence[str],
        target: Path,
        run: Path,
        *,
        writable: bool,
        contents: Contents | None = None,  # noqa: ARG002 - all trees are there
    ) -> None:
        """See ``LayerViews.view``."""
        trees = self._stack(diff_ids)
        if writable and (lacks := self._upper_lacks()):
            raise InvalidOverlayError(f"no writable view can be had here: {lacks}", path=target)
        try:
            plan = shim.plan(trees, userxattr=self.features.userxattr)
            run.mkdir(mode=0o700)
        except OSError as error:
            raise from_os_error(
                error, "preparing the view", error.filename or os.fspath(run)
            ) from error
        try:
            self._mount(plan, trees, target, run, writable=writable)
        except BaseException:
            _remove(run)
            raise

    def _upper_lacks(self) -> str:
        """Say why no writable view can be had now, whatever was recorded when the store opened."""
        if self.features.upper_lacks:
            found = self.probe()
            self._features = self.features._replace(upper_lacks=found.upper_lacks)
        return self.features.upper_lacks

    def _stack(self, diff_ids: Sequence[str]) -> list[shim.Tree]:
        """Return the trees of a stack, top first, each once, or refuse it."""
        if not diff_ids:
            raise ValidationError("no layer to stack: name at least one")
        # Of a layer that occurs twice, only the upper one can be seen: it hides, or has the same
        # as, what the lower one adds.
        top_first = list(dict.fromkeys(reversed(diff_ids)))
        _limit(len(top_first), "layers")
        stack = []
        for diff_id in top_first:
            place = self._place(diff_id)
            stack.append(shim.Tree(f"{place}/diff", self._marks(place, diff_id)))
        return stack

    def _mount(
        self,
        plan: shim.Plan,
        trees: Sequence[shim.Tree],
        target: Path,
        run: Path,
        *,
        writable: bool,
    ) -> None:
        lowers = [tree.path for tree in trees[: plan.depth]]
        upper = work = None
        try:
            # The root directory of a writable view is its upperdir; the shim then shows later
            # whether it was changed.
            if plan.directories or writable or plan.root:
                shim.build(plan, trees, os.path.join(run, "shim"))
            if plan.directories or (plan.root and not writable):
                lowers.insert(0, os.path.join(run, "shim"))
                _limit(len(lowers), "layers, with one that keeps metadata of lower directories,")
            if writable:
                upper, work = os.path.join(run, "upper"), os.path.join(run, "work")
                os.mkdir(work, 0o700)
                os.mkdir(upper, 0o700)
                shim.copy_metadata(os.fsencode(trees[plan.root].path), os.fsencode(upper))
            elif len(lowers) == 1:
                # overlayfs wants two where there is no upperdir.
                lowers.append(os.path.join(run, "empty"))
                os.mkdir(lowers[-1], 0o755)
        except OSError as error:
            raise from_os_error(
                error, "preparing the view", error.filename or os.fspath(run)
            ) from error
        try:
            mounts.mount_overlay(
                lowers,
                target,
                upper=upper,
                work=work,
                userxattr=self.features.userxattr,
                readonly=not writable,
                source=_source(run),
            )
        except MountFailedError as error:
            _refuse_missing(trees, error)
            raise

    def end_view(self, target: Path, run: Path) -> None:
        """See ``LayerViews.end_view``.

        A view that lives on in another namespace counts as busy: its directories are in use.
        """
        table = mounts.mountinfo()
        followers = True
        if self._is_ours(target, run, table):
            followers = mounts.unmount(target, table)
        else:
            _refuse_displaced(target, run, table)
        if followers and (held := "; ".join(self.held(run))):
            raise UnmountFailedError(
                f"{os.fspath(target)!r} is in use: {held} in another mount namespace",
                path=target,
                holder=held,
            )
        _remove(run)

    def forget_view(self, run: Path) -> None:
        """See ``LayerViews.forget_view``."""
        _remove(run)

    def mounted(self, target: Path, run: Path) -> bool:
        """See ``LayerViews.mounted``."""
        return self._is_ours(target, run)

    def _is_ours(
        self, target: Path, run: Path, table: Sequence[mounts.MountEntry] | None = None
    ) -> bool:
        try:
            entry = mounts.mount_at(target, table)
        except OSError as error:
            raise from_os_error(error, "looking at", os.fspath(target)) from error
        return entry is not None and _is_view(entry, run)

    def held(self, run: Path) -> list[str]:
        """See ``LayerViews.held``."""
        return named_copies(os.fsencode(_source(run)))

    def changes(self, run: Path, sink: Sink, *, source_date_epoch: int | None = None) -> None:
        """See ``LayerViews.changes``."""
        from layerfs.diff import diff  # noqa: PLC0415 - the tar machinery

        upper, reference = os.path.join(run, "upper"), os.path.join(run, "shim")
        try:
            fd = os.open(upper, _DIRECTORY)
        except FileNotFoundError as error:
            raise ReadOnlyFilesystemError(
                "a read-only view has no changes: stack the layers writable to commit", path=run
            ) from error
        except OSError as error:
            raise from_os_error(error, "reading the view's changes", upper) from error
        with _closing([fd]):
            try:
                same = shim.same_metadata(os.fsencode(upper), os.fsencode(reference))
            except OSError as error:
                raise from_os_error(error, "reading the view's changes", upper) from error
            diff(
                fd,
                sink,
                userxattr=self.features.userxattr,
                implicit=frozenset({b"."}) if same else frozenset(),
                source_date_epoch=source_date_epoch,
            )

    # --- the content of layers

    def merge(
        self,
        diff_ids: Sequence[str],
        sink: Sink,
        staging: Path | None = None,  # noqa: ARG002 - all trees are there
        contents: Contents | None = None,  # noqa: ARG002
    ) -> None:
        """See ``LayerContent.merge``."""
        from layerfs.merge import merge  # noqa: PLC0415 - the tar machinery

        top_first = list(dict.fromkeys(reversed(diff_ids)))
        places = {diff_id: self._place(diff_id) for diff_id in reversed(top_first)}
        its = [marks.load(place, diff_id) for diff_id, place in places.items()]
        mounts.allow_descriptors(len(places) + 256)
        opened: list[int] = []
        with _closing(opened):
            for diff_id, place in places.items():
                opened.append(_open_tree(place, diff_id))
            layers = [(fd, one.implicit) for fd, one in zip(opened, its, strict=True)]
            merge(layers, sink, userxattr=self.features.userxattr)

    def damage(self, diff_id: str, reader: TarReader) -> list[tuple[bytes, str]]:
        """See ``LayerContent.damage``. All of the tar is read, whatever is found."""
        from layerfs.verifytree import compare  # noqa: PLC0415 - the tar machinery

        place = self._place(diff_id)
        try:
            marks.load(place, diff_id)
            fd = _open_tree(place, diff_id)
        except StorageError as error:
            for _ in reader:  # so that the caller learns the digests all the same
                pass
            return [(b".", error.message)]
        with _closing([fd]):
            return compare(reader, fd, self._options())

    def recover(self, staging: Path) -> None:
        """See ``Backend.recover``; all that an operation makes is in its directory."""

    def _options(self) -> ApplyOptions:
        from layerfs.apply import ApplyOptions  # noqa: PLC0415 - the tar machinery

        return ApplyOptions(
            userxattr=self.features.userxattr,
            squash_ids=self.features.squash_ids,
            drop_privileged_xattrs=self.features.drop_privileged_xattrs,
        )

    def _place(self, diff_id: str) -> str:
        return f"{self._layers}/{digests.hexpart(diff_id)}"


def _source(run: Path) -> str:
    return f"layerfs:{run.name}"


def _is_view(entry: mounts.MountEntry, run: Path) -> bool:
    return entry.fstype == "overlay" and entry.source == os.fsencode(_source(run))


def _refuse_displaced(target: Path, run: Path, table: Sequence[mounts.MountEntry]) -> None:
    """Raise if the view is in this namespace, though not on top of ``target``."""
    for entry in table:
        if _is_view(entry, run):
            where = os.fsdecode(entry.target)
            what = f"mounted on {where!r} now: unmount it there"
            if os.path.realpath(target) == where:
                what = "covered by another mount: unmount that first"
            raise UnmountFailedError(
                f"the view of {os.fspath(target)!r} is {what}", path=target, holder=f"mount {where}"
            )


def _limit(count: int, what: str) -> None:
    if count > mounts.MAX_LOWERDIRS:
        raise LimitExceededError(
            f"{count} {what} in one stack: overlayfs takes at most {mounts.MAX_LOWERDIRS}; "
            "merge some of them first",
            limit=f"max_layers={mounts.MAX_LOWERDIRS}",
        )


def _refuse_missing(trees: Sequence[shim.Tree], cause: MountFailedError) -> None:
    for tree in trees:
        if not os.path.isdir(tree.path):
            place = os.path.dirname(tree.path)
            name = os.path.basename(place)
            diff_id = f"{_ALGORITHMS[len(name)]}:{name}"
            raise StorageError(
                f"the tree of layer {diff_id} is missing: `layerfs repair` extracts it again",
                digest=diff_id,
                path=place,
            ) from cause


def _open_tree(place: str, diff_id: str) -> int:
    try:
        return os.open(f"{place}/diff", _DIRECTORY)
    except OSError as error:
        raise StorageError(
            f"the tree of layer {diff_id} cannot be read ({error.strerror}): "
            "`layerfs repair` extracts it again",
            digest=diff_id,
            errno=error.errno,
        ) from error


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in descriptors:
            os.close(fd)


def _remove(run: Path) -> None:
    from layerfs.removal import remove_tree  # noqa: PLC0415 - not needed to make a view

    remove_tree(run)
