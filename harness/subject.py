"""Asks a subject: typed calls over a remote, one process for many (session) or one for each.

What comes back is a response model of :mod:`harness.protocol`, or one of the errors below
:class:`harness.errors.SubjectFailure`, which tell a refusal from a crash, a time-out, and nonsense.
Every exchange is kept in ``transcript``. Nothing here looks at the host.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Self

from pydantic import ValidationError

from harness import answers
from harness.config import SubjectConfig
from harness.errors import (
    BadAnswer,
    ConfigError,
    RemoteTimeoutError,
    SubjectCrashed,
    SubjectFailure,
    SubjectTimeout,
)
from harness.protocol import VERBS, SessionResponse
from harness.remote import Channel, Completed, Remote

Mode = Literal["session", "call"]
#: Seconds that a session has for ending once its input is closed.
END_TIMEOUT: Final = 10.0
_STDERR_KEPT: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call, for evidence, in JSON types (``dataclasses.asdict``).

    ``status`` is the exit status (or the session's word for it), None when there was none;
    ``failure`` is empty when the answer was a response; ``stderr`` is the end of it; ``duration``
    is in seconds.
    """

    verb: str
    mode: Mode
    request: Mapping[str, Any]
    status: int | None
    stdout: str
    stderr: str
    failure: str
    duration: float


@dataclass(frozen=True, slots=True)
class Idle:
    """A session that answers nothing at the moment, and the number of its last question."""

    channel: Channel
    last_id: int


class Subject:
    """One subject on one host.

    ``mode`` "session" is used where the subject declares that capability, otherwise each call is a
    process of its own. ``directory`` is the subject's folder on the host, when it is not where it
    is here. ``timeout`` (seconds for each call) replaces that of ``subject.toml``.

    ``session`` is one of this subject's on this host, of which another has let go.

    A session that timed out, died, or answered out of step is ended; the next call starts another.
    Calls in a session are one at a time; others may come from several threads.
    """

    def __init__(
        self,
        remote: Remote,
        config: SubjectConfig,
        *,
        mode: Mode = "session",
        directory: str | None = None,
        timeout: float | None = None,
        session: Idle | None = None,
    ) -> None:
        self.remote = remote
        self.config = config
        self.mode: Mode = mode if config.declares("session") else "call"
        self.timeout = config.timeouts.call if timeout is None else timeout
        self.transcript: list[Exchange] = []
        self.directory = directory or str(config.directory)
        self._argv, self._env = self.command()
        self._declared = frozenset(config.capabilities)
        self._session: Channel | None = None if session is None else session.channel
        self._turn = threading.Lock()
        self._last_id = 0 if session is None else session.last_id

    def call(self, verb: str, **fields: Any) -> Any:
        """Ask for ``verb`` and return its response (a model of harness.protocol).

        The request is checked first: a mistake in it is the caller's, a ValueError.
        Raises an error below SubjectFailure; RemoteError when the transport fails.
        """
        return self.send(verb, _request(verb, fields))

    def send(self, verb: str, request: Mapping[str, Any]) -> Any:
        """Ask with a request object as it is, however wrong; otherwise as :meth:`call`.

        The response to a verb that the protocol does not know is a dict.
        """
        return (
            self._in_session(verb, request)
            if self.mode == "session"
            else self._alone(verb, request)
        )

    def begin(self, verb: str, **fields: Any) -> Pending:
        """Start a call in a process of its own and return at once, to look at it or to kill it."""
        request = _request(verb, fields)
        channel = self._start("call", verb)
        pending = Pending(self, verb, request, channel)
        channel.send_line(_encode(request), self.timeout)
        channel.close_input()
        return pending

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line, to which words are appended, and what is added to env."""
        where = {"python": self.remote.python, "directory": self.directory}
        return self.config.argv(**where), self.config.env(**where)

    @property
    def session_pid(self) -> int | None:
        """The process of the session on the host; None when there is none now."""
        return None if self._session is None else self._session.pid

    def let_go(self) -> Idle | None:
        """Give the session away as it is, for another Subject; None when there is none now."""
        session, self._session = self._session, None
        return None if session is None else Idle(session, self._last_id)

    def end(self) -> None:
        """Close the session, if there is one; further calls start another.

        Raises SubjectTimeout when it does not end by itself, SubjectCrashed when it ends badly,
        and BadAnswer when it still had something to say. Nothing of it runs afterwards.
        """
        session, self._session = self._session, None
        if session is None:
            return
        with session:
            try:
                done = session.finish(timeout=END_TIMEOUT)
            except RemoteTimeoutError as late:
                raise SubjectTimeout(
                    f"session: still there {END_TIMEOUT:g} s after its input was closed; killed",
                    verb="session", stdout=late.stdout, stderr=late.stderr,
                ) from None  # fmt: skip
        answers.check_crash("session", done.status, done.stdout, done.stderr)
        facts: dict[str, Any] = {"verb": "session", "status": done.status, "stdout": done.stdout}
        if done.status != 0:
            raise SubjectCrashed(f"session: ended with exit status {done.status}", **facts)
        if done.stdout:
            text = answers.shown(done.stdout)
            raise BadAnswer(f"session: said more than it was asked: {text}", **facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # --- a process for each call ----------------------------------------------------------------

    def _alone(self, verb: str, request: Mapping[str, Any]) -> Any:
        started = time.monotonic()
        with self._start("call", verb) as channel:
            return self.settle(channel, verb, request, started, stdin=_encode(request) + b"\n")

    def settle(
        self,
        channel: Channel,
        verb: str,
        request: Mapping[str, Any],
        started: float,
        *,
        stdin: bytes = b"",
    ) -> Any:
        """Wait for a call's process to end, judge and record it. Raises as :meth:`call`."""
        try:
            done = channel.finish(stdin, timeout=self.timeout)
        except RemoteTimeoutError as late:
            failure = SubjectTimeout(
                f"{verb}: no answer in {self.timeout:g} s; killed",
                verb=verb, stdout=late.stdout, stderr=late.stderr,
            )  # fmt: skip
            self._record("call", verb, request, started, failure)
        return self._judged("call", verb, request, started, done)

    def _judged(
        self, mode: Mode, verb: str, request: Mapping[str, Any], started: float, done: Completed
    ) -> Any:
        """Judge a call that is over, and record it either way."""
        facts: dict[str, Any] = {
            "status": done.status, "stdout": done.stdout, "stderr": done.stderr,
        }  # fmt: skip
        try:
            if done.truncated:
                raise BadAnswer(f"{verb}: more on standard output than is read", verb=verb, **facts)
            answer = answers.judge(verb, request, self._declared, **facts)
        except SubjectFailure as failure:
            self._record(mode, verb, request, started, failure)
        self._note(mode, verb, request, started, **facts)
        return answer

    # --- one process for many calls ---------------------------------------------------------------

    def _in_session(self, verb: str, request: Mapping[str, Any]) -> Any:
        started = time.monotonic()
        with self._turn:
            try:
                status, body, stderr = self._ask(verb, request)
            except SubjectFailure as failure:
                self._drop_session()
                self._record("session", verb, request, started, failure)
            except BaseException:  # Ctrl-C, or a time-out's signal: the answer would come too late
                self._drop_session()
                raise
        done = Completed(status, json.dumps(body).encode(), stderr, time.monotonic() - started)
        return self._judged("session", verb, request, started, done)

    def _ask(self, verb: str, request: Mapping[str, Any]) -> tuple[int, dict[str, Any], bytes]:
        """Return the status, the body as a lone call would print it, and standard error."""
        if self._session is None:
            self._session = self._start("session")
        session = self._session
        self._last_id += 1
        asked = {"id": self._last_id, "verb": verb, "request": request}
        deadline = time.monotonic() + self.timeout
        try:
            session.send_line(_encode(asked), self.timeout)
            line = session.read_line(max(0.0, deadline - time.monotonic()))
        except RemoteTimeoutError:
            raise SubjectTimeout(
                f"{verb}: no answer in {self.timeout:g} s; killed",
                verb=verb, stderr=session.stderr,
            ) from None  # fmt: skip
        except (EOFError, BrokenPipeError):
            self._session_died(session, verb)
        except ValueError as error:
            raise BadAnswer(f"{verb}: {error}", verb=verb, stderr=session.stderr) from None
        stderr = session.take_stderr()
        try:
            answer = answers.json_object(line)
            response = SessionResponse.model_validate({**answer, "error": None})
        except ValueError as error:  # pydantic's ValidationError is one
            what = (
                str(error)
                if not isinstance(error, ValidationError)
                else answers.first_mistake(error)
            )
            raise BadAnswer(
                f"{verb}: not a session's answer: {what}", verb=verb, stdout=line, stderr=stderr
            ) from None
        if response.id != self._last_id:
            raise BadAnswer(
                f"{verb}: the answer has the id {response.id}, the question had {self._last_id}",
                verb=verb, stdout=line, stderr=stderr,
            )  # fmt: skip
        if response.status == 0:
            if response.response is None:
                raise BadAnswer(
                    f"{verb}: status 0 without a response", verb=verb, stdout=line, stderr=stderr
                )
            return 0, response.response, stderr
        return response.status, {"error": answer.get("error")}, stderr

    def _session_died(self, session: Channel, verb: str) -> NoReturn:
        try:
            done = session.finish(timeout=END_TIMEOUT)
        except RemoteTimeoutError as late:
            raise SubjectCrashed(
                f"{verb}: the session closed a stream and did not end; killed",
                verb=verb, stderr=late.stderr,
            ) from None  # fmt: skip
        answers.check_crash(verb, done.status, done.stdout, done.stderr)
        raise SubjectCrashed(
            f"{verb}: the session ended with exit status {done.status} instead of answering; "
            f"standard error ends in {answers.shown(done.stderr)}",
            verb=verb, status=done.status, stdout=done.stdout, stderr=done.stderr,
        )  # fmt: skip

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.signal(signal.SIGKILL)
            session.close()

    # --- both -----------------------------------------------------------------------------------

    def _start(self, *arguments: str) -> Channel:
        try:
            return self.remote.start([*self._argv, *arguments], env=self._env)
        except OSError as error:
            raise ConfigError(
                f"{self.config.directory}/subject.toml: command.argv: cannot start "
                f"{self._argv[0]!r}: {error.strerror}"
            ) from None

    def _record(
        self,
        mode: Mode,
        verb: str,
        request: Mapping[str, Any],
        started: float,
        failure: SubjectFailure,
    ) -> NoReturn:
        """Note a call that failed, and raise its failure."""
        self._note(
            mode, verb, request, started, status=failure.status, stdout=failure.stdout,
            stderr=failure.stderr, failure=f"{type(failure).__name__}: {failure}",
        )  # fmt: skip
        raise failure

    def _note(
        self,
        mode: Mode,
        verb: str,
        request: Mapping[str, Any],
        started: float,
        *,
        status: int | None,
        stdout: bytes,
        stderr: bytes,
        failure: str = "",
    ) -> None:
        self.transcript.append(
            Exchange(
                verb, mode, dict(request), status, _text(stdout), _text(stderr), failure,
                round(time.monotonic() - started, 6),
            )
        )  # fmt: skip


class Pending:
    """A call under way in a process of its own. ``result`` must be called, also after a kill."""

    def __init__(
        self, subject: Subject, verb: str, request: Mapping[str, Any], channel: Channel
    ) -> None:
        self._subject = subject
        self._verb = verb
        self._request = request
        self._channel = channel
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """The process on the host."""
        return self._channel.pid

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing when it has ended."""
        self._channel.signal(number)

    def result(self) -> Any:
        """Wait for the end; returns and raises as :meth:`Subject.call`."""
        with self._channel:
            return self._subject.settle(self._channel, self._verb, self._request, self._started)


def _request(verb: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as JSON types; a field that was not given is not sent."""
    request = VERBS[verb].request(**fields)
    return request.model_dump(mode="json", exclude_unset=True)


def _encode(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request).encode("ascii")  # lone surrogates travel as escapes


def _text(data: bytes) -> str:
    """Return the end of a stream as text that JSON and terminals can carry."""
    cut = data[-_STDERR_KEPT:]
    return ("…" if len(cut) < len(data) else "") + cut.decode("utf-8", "replace")
