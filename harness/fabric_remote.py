"""A target on another host, over one SSH connection that is kept open.

The connection runs one program, :mod:`harness.relay`, which makes the target there and starts all
commands; nothing need be installed on the host but python3. So a command costs what it costs on
the host itself, and not a channel, a shell and a login. Logged in as root, commands run on the host
as it is, which must be there for nothing else; as another user, in namespaces in which that user is
root (:mod:`harness.holder`).

Nothing of the user who runs the harness takes part: no known_hosts, no agent, no ssh_config, no
configuration of fabric's. The host must have the very key that its address names.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import fabric
import paramiko
from fabric import Connection
from paramiko.pkey import UnknownKeyType

from harness.address import Address
from harness.errors import RemoteError, TargetError
from harness.link import SILENCE, Link
from harness.pipe_remote import PipeRemote
from harness.site import Streams

# Its errors are raised, too; without a handler they would be printed besides.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: Seconds for each step of connecting: TCP, the server's greeting, the login, the channel.
_STEP: Final = 60.0
#: Seconds for all of them.
_CONNECT: Final = 120.0
#: The subject's interpreter, where the address names none: what a box has, or any.
_PYTHONS: Final = ("/opt/layerfs-env/bin/python", "python3")


class FabricRemote(PipeRemote):
    """A :class:`harness.remote.Remote` to a fresh target on the host at ``address``.

    The constructor connects and makes it; it raises TargetError, with a remedy, when that cannot
    be, and leaves nothing then. ``marker`` is a file that the host must have; ``released`` is
    called once when all is over.

    A network that is cut for half a minute does no harm. When the host does not answer for longer,
    or the connection ends, every call raises RemoteError; the host then takes the target away by
    itself as soon as it notices.
    """

    patience = SILENCE + 5.0

    def __init__(
        self,
        address: Address,
        *,
        name: str = "ssh",
        marker: str = "",
        released: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.name = name
        self.address = address
        self._marker = marker
        self._released = released
        self._link: Link | None = None
        self._connection: Connection | None = None
        self._open()

    def reconnect(self) -> None:
        """Make a fresh target on the same host, which may have been set back to a checkpoint.

        What was started before is lost: its channels raise RemoteError. ``workdir`` and ``facts``
        are new. Raises TargetError as the constructor; every other call raises RemoteError then.
        """
        self._drop()
        with self._lock:
            self._live.clear()
        self._open()

    def close(self) -> None:
        """End all that was started, remove the target, and disconnect. Raises RemoteError."""
        link, self._link = self._link, None
        released, self._released = self._released, lambda: None
        try:
            if link is not None:
                link.close()
        finally:
            self._drop()
            released()

    def _open(self) -> None:
        python = [self.address.python] if self.address.python else list(_PYTHONS)
        settings = {"python": python, "marker": self._marker}
        self._connection = _connection(self.address)
        try:
            with _deadline(self._connection), _as_target_error(self.address):
                self._connection.open()
                channel = self._connection.create_session()
                self._link = Link(channel, str(self.address), settings)
        except BaseException:
            self._drop()
            raise
        hello = self._link.hello
        self.workdir: str = hello["workdir"]
        self.installs: str | None = hello["installs"]
        self.facts: Mapping[str, Any] = {"target": self.name, **hello["facts"]}
        self._environment = hello["environment"]
        if hello["python"] is None:
            self.close()
            raise TargetError(f"{self.address} has no {' and no '.join(python)} for the subject")
        self.python: str = hello["python"]

    def _drop(self) -> None:
        link, self._link = self._link, None
        connection, self._connection = self._connection, None
        if link is not None:
            link.abandon()
        if connection is not None:
            connection.client.close()  # also one that never came to be, which fabric leaves open

    def _begin(self, request: Mapping[str, Any]) -> Streams:
        if self._link is None:
            raise RemoteError(self._obituary)
        return self._link.begin(request)

    def _signal(self, pid: int, number: int) -> None:
        if self._link is not None:
            self._link.signal(pid, number)

    @property
    def _obituary(self) -> str:
        if self._link is None:
            return f"the connection to {self.address} is closed"
        return self._link.reason or f"the connection to {self.address} has ended"


def _connection(address: Address) -> Connection:
    """Return a connection that is not open yet, and that knows the host's key."""
    config = fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig())
    connection = Connection(
        address.host,
        user=address.user,
        port=address.port,
        config=config,
        connect_timeout=int(_STEP),
        connect_kwargs={
            "key_filename": str(address.key_file),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": _STEP,
            "auth_timeout": _STEP,
            "channel_timeout": _STEP,
        },
    )
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    # SSHClient.connect looks for it under this name (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
    name = address.host if address.port == paramiko.config.SSH_PORT else None
    name = name or f"[{address.host}]:{address.port}"
    kind, key = _host_key(address)
    connection.client.get_host_keys().add(name, kind, key)
    return connection


def _host_key(address: Address) -> tuple[str, paramiko.PKey]:
    kind, _, rest = address.host_key.strip().partition(" ")
    try:
        return kind, paramiko.PKey.from_type_string(kind, base64.b64decode(rest.split(" ")[0]))
    except (UnknownKeyType, paramiko.SSHException, ValueError) as error:
        raise TargetError(
            f"{address}: the host key {address.host_key!r} is none ({error}); it is the content of "
            "/etc/ssh/ssh_host_ed25519_key.pub there"
        ) from None


@contextlib.contextmanager
def _deadline(connection: Connection) -> Iterator[None]:
    """Give up on the connection should the block take too long: not every step has a limit."""
    timer = threading.Timer(_CONNECT * 2, connection.client.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextlib.contextmanager
def _as_target_error(address: Address) -> Iterator[None]:
    """Say in a line what is wrong, and what would mend it."""
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise TargetError(
            f"{address} has another host key than the one it is known by: "
            f"{error.key.get_name()} {error.key.get_base64()}"
        ) from None
    except paramiko.AuthenticationException:
        raise TargetError(
            f"{address} does not let us in with {address.key_file}; its public half must be in the "
            "user's authorized_keys there"
        ) from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise TargetError(f"no connection to {address}: {error}") from None
