"""Send a stack to another store on ZFS, and receive one: blobs, and the chain of clones.

Each chain travels as the stream of its zfs snapshot, incremental from its parent's: base first, so
that an origin is always there before its clone, and with the origin named, so that nobody has to
search for it (openzfs/zfs#4347, #10935). ``stackfile`` says what the file looks like.

The blobs are the truth, and streams spare the work of unpacking them. A received layer is verified
as ``add`` verifies it. A chain that is here already stays as it is. One whose stream cannot be
received (the parent here was unpacked from blobs, so that it is another zfs snapshot; this ZFS
lacks a feature) is unpacked from blobs when it is first asked for. Names and properties of datasets
are never taken from the file, so that a stream becomes the chain of those layers, or nothing.

What a stream holds is not compared with the blobs: that would take longer than to unpack them.
Who receives a stack trusts the sender with its trees, as zfs-receive(8) does, or asks for
``blobs_only`` and passes the streams over. A digest of each stream tells damage on the way.

Streams are not raw: what is encrypted in the sender's pool travels, and arrives, in the clear.

Receiving is all or nothing: when it fails, the layers and chains that were new are taken away
again; when the process dies, whole layers and whole chains may stay.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from layerfs import adding
from layerfs import digest as digests_
from layerfs.backends.zfs import ZfsBackend
from layerfs.chains import Chain
from layerfs.contents import contents
from layerfs.errors import (
    DigestMismatchError,
    LayerFSError,
    LayerInUseError,
    LayerNotFoundError,
    LimitExceededError,
    PathError,
    StorageError,
    UnsupportedError,
    ValidationError,
    ZFSDatasetDestroyFailedError,
    ZFSDatasetNotFoundError,
    from_os_error,
)
from layerfs.holding import held
from layerfs.reading import Expected
from layerfs.removing import remove
from layerfs.stackfile import (
    PART,
    Manifest,
    StackReader,
    StackWriter,
    blob_name,
    chain_name,
    stack_of,
)
from layerfs.zfs import ZfsFailure, refusal
from layerfs.zfs import failure as numbers
from layerfs.zfs import stream as streams

if TYPE_CHECKING:
    from layerfs.backends import Sink
    from layerfs.opening import Parts
    from layerfs.records import Layer
    from layerfs.stackfile import Content

Progress = Callable[[int, int | None], None]

#: What says that this ZFS cannot take a stream, though that is as it was sent.
_UNFIT: Final = frozenset({
    errno.EINVAL, errno.ENODEV, errno.ENOTSUP, errno.EXDEV, numbers.ECKSUM,
    numbers.ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE, numbers.ZFS_ERR_STREAM_TRUNCATED,
    numbers.ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH,
})  # fmt: skip


def _on_zfs(parts: Parts) -> ZfsBackend:
    if not isinstance(parts.backend, ZfsBackend):
        raise UnsupportedError(
            f"the store {str(parts.root)!r} keeps its layers in directories: stacks are sent and "
            "received by stores on ZFS; export an image instead"
        )
    parts.refuse_readonly()
    return parts.backend


# --- sending --------------------------------------------------------------------------------------


def send(
    parts: Parts,
    digests: Sequence[str],
    target: str | os.PathLike[str] | Sink,
    since: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Write the stack to a new file, or to a sink; see ``LayerFS.send``."""
    backend = _on_zfs(parts)
    wanted, known = _once(digests), _once(since)
    if wanted[: len(known)] != known:
        raise ValidationError(
            "what the receiver has must be the beginning of what is sent, from the base on"
        )
    with held(parts, wanted) as layers:
        chains = _prepared(parts, backend, stack_of(layers))
        there = digests_.chain_ids(stack_of(layers[: len(known)]))  # each names all below it
        shared = sum(chain.chain_id in there for chain in chains)
        manifest = Manifest(
            tuple(layers), tuple(chain.guid for chain in chains), len(known), shared
        )
        with _sink(parts, target) as sink:
            file = StackWriter(sink, progress)
            file.manifest(manifest)
            for layer in layers[len(known) :]:
                _send_blob(parts, file, layer)
            for chain in chains[shared:]:
                _send_chain(backend, file, chain)
            file.close()


def _once(digests: Sequence[str]) -> list[str]:
    """Return the layers, each at its topmost place."""
    if isinstance(digests, str):
        raise ValidationError("layers are given as a list of digests")
    return list(dict.fromkeys(digests_.parse(one) for one in reversed(digests)))[::-1]


def _prepared(parts: Parts, backend: ZfsBackend, diff_ids: list[str]) -> list[Chain]:
    """Have all chains of the stack, and return them, base first."""
    with parts.staging.operation() as operation:
        backend.trees.prepare(diff_ids, operation.id, contents(parts))
    chains = []
    for chain_id in digests_.chain_ids(diff_ids):
        chain = backend.trees.found(chain_id)
        if chain is None:
            place = backend.trees.place(chain_id)
            raise ZFSDatasetNotFoundError(
                f"the dataset {place} is not what this store has made: see `layerfs check`"
            )
        chains.append(chain)
    return chains


@contextlib.contextmanager
def _sink(parts: Parts, target: str | os.PathLike[str] | Sink) -> Iterator[Sink]:
    """Give the sink itself, or that of a new file, which appears whole or not at all."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(os.path.realpath(Path(target).parent), Path(target).name)
    staged = path.with_name(f".{os.urandom(8).hex()}.layerfs")
    if parts.root in path.parents:
        raise PathError(f"cannot send to {str(path)!r}: it is in the store", path=path)
    if os.path.lexists(path):
        raise PathError(f"cannot send to {str(path)!r}: it is there already", path=path)
    try:
        with staged.open("xb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.link(staged, path)  # unlike a rename, it replaces nothing
            finally:
                staged.unlink()
    except OSError as error:
        raise from_os_error(error, "sending to", str(path)) from error


def _send_blob(parts: Parts, file: StackWriter, layer: Layer) -> None:
    hasher = digests_.new_hasher(digests_.algorithm(layer.digest))
    with parts.blobs.open(layer.digest) as raw:

        def read(n: int) -> bytes:
            try:
                data = raw.read(n)
            except OSError as error:
                raise from_os_error(error, "reading the blob of", layer.digest) from error
            hasher.update(data)
            if not data and hasher.hexdigest() != digests_.hexpart(layer.digest):
                raise StorageError(
                    f"the blob of {layer.digest} is damaged; add it again to restore it",
                    digest=layer.digest,
                )
            return data

        file.content(blob_name(layer.digest), read)


def _send_chain(backend: ZfsBackend, file: StackWriter, chain: Chain) -> None:
    try:
        with backend.trees.send(chain) as read:
            file.content(chain_name(chain.chain_id), read)
    except ZfsFailure as error:
        raise refusal(error) from error


# --- receiving ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _New:
    """What one receiving has brought here, in the order in which it came."""

    blobs_only: bool = False  #: no stream is wanted
    layers: list[str] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)


def receive(
    parts: Parts,
    source: str | os.PathLike[str] | BinaryIO,
    progress: Progress | None = None,
    *,
    blobs_only: bool = False,
) -> list[Layer]:
    """Receive the stack that ``send`` wrote; see ``LayerFS.receive``."""
    backend = _on_zfs(parts)
    new = _New(blobs_only)
    try:
        with adding.opened(source) as raw:
            return _received(parts, backend, StackReader(raw, progress), new)
    except BaseException:
        _take_back(parts, backend, new)
        raise


def _received(parts: Parts, backend: ZfsBackend, file: StackReader, new: _New) -> list[Layer]:
    manifest = file.manifest()
    most = backend.features.max_layers
    if len(manifest.guids) > most:
        raise LimitExceededError(
            f"{len(manifest.guids)} layers in one stack: this store takes at most {most}",
            limit=f"max_layers={most}",
        )
    for layer in manifest.layers:
        adding.Extra(layer.dependencies, dict(layer.annotations)).check()
    names = [layer.digest for layer in manifest.layers]
    with parts.staging.operation() as operation:
        lease = f"operation {operation.id}"
        # Before the first of them is here, so that no garbage collection can come in between.
        with parts.lock(), parts.meta.transaction():
            parts.meta.roots.put_lease(lease, names, operation=operation.id)
        try:
            for layer in manifest.layers[: manifest.known_layers]:
                _expect(parts, layer)
            for layer in manifest.layers[manifest.known_layers :]:
                _receive_blob(parts, file, layer, new)
            _receive_chains(backend, file, manifest, operation.id, new)
            file.finish()
            with parts.lock(), parts.meta.transaction():
                for layer in manifest.layers:  # all are here; what is new is what they depend on
                    parts.meta.put_layer(layer, blob_bytes=0)
        finally:
            with parts.lock(), parts.meta.transaction():
                parts.meta.roots.delete_lease(lease)
    found = parts.meta.layers_of_digests(names)
    return [found[name] for name in names if name in found]


def _expect(parts: Parts, layer: Layer) -> None:
    """Raise LayerNotFoundError when a layer that is not sent is not here."""
    found = parts.meta.layer(layer.digest)
    if found is None:
        raise LayerNotFoundError(
            f"the stack was sent for a store that has the layer {layer.digest}, and "
            f"{str(parts.root)!r} has not: receive it first, or have all of it sent",
            digest=layer.digest,
        )
    if found.diff_id != layer.diff_id:
        raise DigestMismatchError(
            f"the layer's diffID is {found.diff_id}, not {layer.diff_id}", digest=layer.digest
        )


def _receive_blob(parts: Parts, file: StackReader, layer: Layer, new: _New) -> None:
    if not parts.meta.has_layer(layer.digest):
        new.layers.append(layer.digest)
    content = file.content(blob_name(layer.digest))
    expected = Expected(layer.media_type, layer.digest, layer.size, layer.diff_id)
    adding.add(parts, cast("BinaryIO", content), expected, adding.Extra())


def _receive_chains(
    backend: ZfsBackend, file: StackReader, manifest: Manifest, identity: str, new: _New
) -> None:
    parent: Chain | None = None  # as it was sent
    here: str | None = ""  # the guid that the parent has here
    chains = zip(
        digests_.chain_ids(manifest.diff_ids), manifest.diff_ids, manifest.guids, strict=True
    )
    for number, (chain_id, diff_id, guid) in enumerate(chains):
        chain = Chain(chain_id, diff_id, parent.chain_id if parent else "", guid)
        found = backend.trees.found(chain_id)
        if number >= manifest.known_chains:
            content = file.content(chain_name(chain_id))
            fits = found is None and here == (parent.guid if parent else "")
            fits = fits and not new.blobs_only
            if fits and _receive_chain(backend, content, chain, here or "0", identity):
                new.chains.append(chain_id)
                found = backend.trees.found(chain_id)
            content.skip()
        parent, here = chain, found.guid if found else None


def _receive_chain(
    backend: ZfsBackend, content: Content, chain: Chain, base: str, identity: str
) -> bool:
    """Have a chain of its stream; False when this ZFS cannot take it."""
    first = b""
    while len(first) < streams.SIZE and (data := content.read()):
        first += data
    begin = streams.said(first)
    if begin is None or not begin.plain or (begin.guid, begin.base) != (int(chain.guid), int(base)):
        content.skip()  # damage comes first
        raise ValidationError(f"the stream of chain {chain.chain_id} is another than it has to be")

    def fill(take: Callable[[bytes], None]) -> None:
        take(first)
        for data in iter(partial(content.read, PART), b""):
            take(data)

    try:
        backend.trees.receive(chain, identity, fill)
    except ZfsFailure as error:
        if error.operation != "receive" or error.errno not in _UNFIT:
            raise refusal(error) from error
        return False
    return True


def _take_back(parts: Parts, backend: ZfsBackend, new: _New) -> None:
    """Take away again what is new, unless somebody else uses it by now."""
    with contextlib.suppress(LayerFSError), parts.lock():
        if new.chains and not _in_use(parts, new):
            backend.trees.withdraw(new.chains)
    for digest in reversed(new.layers):
        with contextlib.suppress(LayerInUseError, ZFSDatasetDestroyFailedError):
            remove(parts, digest)


def _in_use(parts: Parts, new: _New) -> bool:
    """Say whether views or operations may have to do with the new chains.

    That the top layer of one of them takes part in something is enough.
    """
    tops = {chain.diff_id for chain in parts.meta.chains.known(new.chains).values()}
    roots = parts.meta.roots
    busy = roots.leased(operations_only=True).union(*(row.digests for row in parts.meta.mounts()))
    return not tops.isdisjoint(parts.meta.diff_ids(sorted(busy)).values())
