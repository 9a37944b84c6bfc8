"""One worker's target: made when first needed, thrown away when it may be in disorder.

A case that leaked, crashed or hung must not be the reason why the next one fails; so after such a
case the target goes, with everything on it, and the next case gets a new one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness import target
from harness.config import SubjectConfig
from harness.errors import ConfigError, HarnessError, RemoteError, SubjectFailure, TargetError
from harness.install import install
from harness.ledger import Ledger, Mount, difference
from harness.observe import Host
from harness.protocol import PROTOCOL_VERSION, InfoResponse
from harness.remote import Remote
from harness.subject import Idle, Mode, Subject
from harness.target import Step

#: How long what a case ended may take to be gone: the kernel reaps and unmounts asynchronously.
SETTLE_S: Final = 1.0


class SubjectUnfitError(HarnessError):
    """The subject does not even say who it is: there is nothing that could be judged."""


@dataclass(slots=True)
class _Target:
    remote: Remote
    host: Host
    facts: Mapping[str, Any]
    mounts: frozenset[Mount]  #: as they were when it was new, with their options
    ledger: Ledger


class Bench:
    """The target of one process, and a subject on it for whoever asks.

    ``made_in`` is the seconds that the last target took to make.
    """

    def __init__(self, kind: str, config: SubjectConfig, mode: Mode) -> None:
        self._source = target.source(kind)
        self._config = config
        self._mode = mode
        self._now: _Target | None = None
        self._idle: Idle | None = None
        self._info: InfoResponse | None = None
        self._directory = ""  # of the subject, on the target
        self._unfit: HarnessError | None = None
        self.made_in = 0.0
        #: Cases that will be asked want a pool there, whatever the subject declares.
        self.wants_pool = False

    @property
    def is_made(self) -> bool:
        """Whether there is a target right now."""
        return self._now is not None

    def ready(self) -> None:
        """Make the target unless there is one.

        It has a ZFS pool when one is wanted and can be made there. Raises TargetError when it
        cannot be made, and SubjectUnfitError (at once, when asked again)
        when the subject does not answer ``info`` in the protocol's version, ConfigError (likewise)
        when it cannot even be started. Nothing is left then.
        """
        if self._unfit is not None:
            raise self._unfit  # every case would ask again, and wait as long
        if self._now is not None and self._info is not None:
            return
        started = time.monotonic()
        now, self._now = self._now, None
        remote = self._connected() if now is None else now.remote
        try:
            self._info = self._introduced(remote)
            host = Host(remote) if now is None else now.host
            self._add_pool(host)
            facts = host.facts  # by trying, which is over before the first ledger
            ledger = host.ledger()
            mounts = ledger.mounts if now is None else now.mounts
            self._now = _Target(remote, host, facts, mounts, ledger)
        except (SubjectUnfitError, ConfigError) as error:
            self._unfit = error
            raise
        finally:
            if self._now is None:
                remote.close()
        self.made_in = time.monotonic() - started

    def turn_to(self, config: SubjectConfig) -> None:
        """Serve another subject from now on, on the same target if the last one has left nothing.

        Its session has ended before that is looked at. A mount that is now read-only is no leak,
        and yet a reason for another target.
        """
        self.end_idle()
        if self._now is not None:
            try:
                as_new = not self.settle() and self._now.ledger.mounts == self._now.mounts
            except HarnessError:  # a target that does not answer is not used again
                as_new = False
            if not as_new:
                self.discard()
        self._config, self._info, self._unfit = config, None, None

    def try_out(self) -> None:
        """Make the target, see that the subject starts there, and close.

        Raises as :meth:`ready`.
        """
        try:
            self.ready()
        finally:
            self.close()

    def _connected(self) -> Remote:
        try:
            return self._source.connect(self._make_ready)
        except (SubjectUnfitError, ConfigError) as error:
            self._unfit = error
            raise

    def _make_ready(self, remote: Remote) -> None:
        """Do on a target that is to be saved what all later ones shall have."""
        self._introduced(remote)
        self._add_pool(Host(remote), standing=True)

    def _add_pool(self, host: Host, *, standing: bool = False) -> None:
        if self.wants_pool or self._config.declares("zfs"):
            try:
                host.make_pool(standing=standing)
            except OSError as error:
                raise TargetError(
                    f"{host.remote.name}: no pool can be made: {error.strerror}"
                ) from error

    def _introduced(self, remote: Remote) -> InfoResponse:
        self._directory = install(remote, self._config)
        subject = Subject(remote, self._config, mode="call", directory=self._directory)
        try:
            info = subject.call("info")
        except SubjectFailure as error:
            raise SubjectUnfitError(f"the subject does not answer 'info': {error}") from error
        if not isinstance(info, InfoResponse) or info.protocol != PROTOCOL_VERSION:
            raise SubjectUnfitError(
                f"the subject speaks protocol {getattr(info, 'protocol', '?')}; "
                f"this suite speaks {PROTOCOL_VERSION}"
            )
        return info

    @property
    def remote(self) -> Remote:
        """The transport; makes the target when needed, and raises as :meth:`ready`."""
        return self._target().remote

    @property
    def host(self) -> Host:
        """What looks at the target; makes it when needed, and raises as :meth:`ready`."""
        return self._target().host

    @property
    def info(self) -> InfoResponse:
        """What the subject says of itself; makes the target when needed."""
        self._target()
        assert self._info is not None
        return self._info

    def _target(self) -> _Target:
        self.ready()
        assert self._now is not None
        return self._now

    def steps(self) -> list[Step]:
        """Return what it took to have targets since this was last asked."""
        return self._source.steps()

    def facts(self) -> Mapping[str, Any]:
        """Return the facts of the target, in JSON types."""
        return self._target().facts

    def subject(self) -> Subject:
        """Return a new subject on the target; the caller ends it, or gives it back.

        It goes on with the session of the one that was given back, which spares a start.
        """
        remote = self._target().remote
        session, self._idle = self._idle, None
        return Subject(
            remote, self._config, mode=self._mode, directory=self._directory, session=session
        )

    def give_back(self, subject: Subject) -> None:
        """Keep the subject's session for the next one."""
        self._idle = subject.let_go()

    def end_idle(self) -> None:
        """End the session that is kept, if there is one: it may be in disorder."""
        session, self._idle = self._idle, None
        if session is not None:
            with contextlib.suppress(RemoteError):  # the ledger tells of one that does not end
                session.channel.close()

    def unmet(self, facts: Sequence[str]) -> list[str]:
        """Return those of the named facts that are not true of the target, with why if known."""
        known = self.facts()
        found = []
        for fact in facts:
            if not known.get(fact):
                group = fact.partition("_")[0]
                why = known.get(f"{fact}_refusal") or known.get(f"{group}_refusal")
                found.append(f"{fact} ({why})" if why else fact)
        return found

    def settle(self) -> list[str]:
        """Return what the last case left behind; empty when the ledger is as it was before.

        What is still on its way out is waited for, up to SETTLE_S. The ledger of now is the one
        that the next case is compared with. Raises HarnessError when the target does not answer.
        """
        now = self._target()
        deadline = time.monotonic() + SETTLE_S
        while True:
            after = now.host.ledger()
            left = difference(now.ledger, after)
            if not left or time.monotonic() > deadline:
                now.ledger = after
                return left
            time.sleep(0.02)

    def discard(self) -> None:
        """Throw the target away; the next case gets a new one. May be called when there is none."""
        self.end_idle()
        if self._now is not None:
            now, self._now = self._now, None
            # What does not go is swept when the next one is made; this one is not used any more.
            with contextlib.suppress(RemoteError):
                now.remote.close()

    def keep(self, what: str) -> None:
        """Leave the target as it is, for a person, where that can be; the next case gets another.

        Otherwise nothing is done.
        """
        if self._now is not None and self._source.keep(self._now.remote, what):
            self._now = self._idle = None

    def close(self) -> None:
        """Throw the target away, and what was kept to make others of; may be called twice."""
        try:
            self.discard()
        finally:
            self._source.close()
