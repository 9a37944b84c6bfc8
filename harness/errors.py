"""Everything that can go wrong below a case, in one tree, told apart by whose fault it is.

::

    HarnessError                 the suite or its target failed: never a verdict on the subject
    ├── ConfigError              subject.toml, or the name of a subject, is wrong
    ├── ObserverError            the observer on the host answered nonsense
    └── RemoteError              the transport failed, or the target cannot be made
        ├── RemoteTimeoutError   a command of the harness's own did not end in time
        └── TargetError          this machine cannot provide the target; says what would mend it
    SubjectFailure               the subject failed: a failed case, unless it expects just that
    ├── Refused                  it refused properly (exit status 10, a code of the closed list)
    ├── Unsupported              it said that it does not offer this (11), and does not declare it
    ├── SubjectBrokePromise      it said so of something that it declares
    ├── SubjectCrashed           any other exit status, a signal, or a traceback
    ├── SubjectTimeout           it did not answer in time, and was killed
    └── BadAnswer                it answered something that the protocol does not know

What the observer's host operations meet on the host (``ENOENT``, ``EROFS``) are ordinary
:class:`OSError` with the host's errno: a case may expect them like those of its own machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.protocol import Error


class HarnessError(Exception):
    """The suite or its target failed; the message is one line with the fact and the remedy."""


class ConfigError(HarnessError):
    """``FILE: KEY: what is wrong; what is allowed``, on one line."""


class ObserverError(HarnessError):
    """The observer broke its own protocol, or died."""


class RemoteError(HarnessError):
    """The transport failed, or the target has gone."""


class RemoteTimeoutError(RemoteError):
    """A command did not end in time; it and its process group have been killed.

    ``stdout`` and ``stderr`` are what it had written until then.
    """

    def __init__(self, message: str, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


class TargetError(RemoteError):
    """This machine cannot provide the target; the message says what would mend it."""


class SubjectFailure(Exception):  # noqa: N818 - its children are named for what happened
    """The subject did not do what it was asked.

    ``verb`` is what it was asked; ``stdout`` and ``stderr`` are what it wrote, both possibly cut in
    the middle; ``status`` is its exit status (negative: killed by that signal), None while it runs.
    """

    def __init__(
        self,
        message: str,
        *,
        verb: str,
        status: int | None = None,
        stdout: bytes = b"",
        stderr: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.verb = verb
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class Refused(SubjectFailure):
    """Exit status 10 with a valid error object, whose ``code`` is from the closed list."""

    def __init__(
        self, error: Error, *, verb: str, stdout: bytes = b"", stderr: bytes = b""
    ) -> None:
        super().__init__(
            f"{verb}: refused with {error.code!r}: {error.message}",
            verb=verb, status=10, stdout=stdout, stderr=stderr,
        )  # fmt: skip
        self.error = error
        self.code: str = error.code


class Unsupported(SubjectFailure):
    """Exit status 11, and a capability that the call needs is not declared."""


class SubjectBrokePromise(SubjectFailure):
    """Exit status 11, though every capability that the call needs is declared."""


class SubjectCrashed(SubjectFailure):
    """An exit status outside the protocol, a signal, or a traceback whatever the status."""


class SubjectTimeout(SubjectFailure):
    """No answer in time; the process and its group have been killed."""


class BadAnswer(SubjectFailure):
    """No JSON, the wrong shape, an unknown code, or an answer to another question."""
