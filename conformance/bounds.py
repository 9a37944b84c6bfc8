"""How far a case of a limit goes, and what must be so after a layer was refused.

The numbers are PROTOCOL.md's, section 9: a declared limit that is too far away is replaced by a
nearer one, where the subject can be told; failing that the case is unsupported, with the reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from conformance.driver import Driver, Refusal
from conformance.layers import Layer
from harness.observe import Host

FAR_BYTES: Final = 128 << 20
FAR_COUNT: Final = 100_000
#: Bytes of the disk that a store's metadata may take for what it was asked and refused.
METADATA: Final = 4 << 20


@contextlib.contextmanager
def within_reach(
    subject: Driver, far: Mapping[str, int], near: Mapping[str, int]
) -> Iterator[tuple[Driver, dict[str, int]]]:
    """Give a driver of the same store, and the limits in force there, by name.

    They are those that the subject declares if each is at most ``far``, otherwise ``near`` where
    the subject takes limits. A ratio's floor that is not declared is 0.
    """
    config = subject.raw.config
    declared = {name: getattr(config.limits, name) for name in near}
    if "ratio_floor_bytes" in near:
        declared["ratio_floor_bytes"] = declared["ratio_floor_bytes"] or 0
    missing = [name for name, value in declared.items() if value is None]
    if missing:
        pytest.skip(f"the subject declares no limits.{missing[0]}")
    if all(declared[name] <= most for name, most in far.items()):
        yield subject, declared
        return
    if not config.declares("limits", "session"):
        distant = next(name for name, most in far.items() if declared[name] > most)
        pytest.skip(
            f"limits.{distant} = {declared[distant]} is too far to go, and the subject does not "
            "declare the capability limits"
        )
    session = subject.by("session")
    subject.expect_service()
    with session.raw:
        session.call("open", limits=dict(near))
        yield session, dict(near)


@contextlib.contextmanager
def nothing_kept(subject: Driver, host: Host) -> Iterator[None]:
    """Demand that the block, all of whose layers are refused, touches and keeps nothing.

    A store that unpacks late may have kept a blob in ``add``; it is removed here.
    """
    before = host.usage(subject.store)
    with host.canary():
        yield
    kept = subject.digests()
    assert kept <= subject.added(), "a layer that add refused is in the store"
    for digest in kept:
        subject.call("remove", digest=digest)
    more = host.usage(subject.store) - before
    assert more <= METADATA, f"the store takes {more} bytes more after a refusal"


@contextlib.contextmanager
def refused(subject: Driver, host: Host, *codes: str) -> Iterator[Refusal]:
    """Demand a refusal with one of ``codes``, as :func:`nothing_kept`."""
    with nothing_kept(subject, host), subject.refuses(*codes) as caught:
        yield caught


@contextlib.contextmanager
def beyond(subject: Driver, host: Host, name: str, value: int) -> Iterator[None]:
    """Demand a refusal by the limit ``name``, as :func:`refused`."""
    with refused(subject, host, "limit-exceeded") as caught:
        yield
    assert caught.error is not None
    assert caught.error.limit in {f"{name}={value}", None}


def refuses_each(
    subject: Driver, host: Host, layers: Mapping[str, Layer], *codes: str, verb: str = "stack"
) -> None:
    """Demand that each of these layers is refused, as :func:`refused`; the names are for people.

    With ``verb`` "add" it is ``add`` alone that has to find out.
    """
    with nothing_kept(subject, host):
        for name, layer in layers.items():
            try:
                with subject.refuses(*codes):
                    subject.add(layer) if verb == "add" else subject.tree(layer)
            except (AssertionError, pytest.fail.Exception) as error:
                raise AssertionError(f"{name}: {error}") from error
