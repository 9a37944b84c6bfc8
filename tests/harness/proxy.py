"""A network between the tests and a server: it can be cut for a while, and for good."""

from __future__ import annotations

import contextlib
import select
import socket
import threading


class Proxy:
    """Carries what comes to ``port`` on to another port of this machine, both ways."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._flows = threading.Event()
        self._flows.set()
        self._over = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self):
        """Carry nothing; both ends wait."""
        self._flows.clear()

    def mend(self):
        self._flows.set()

    def break_all(self):
        """End all connections there are."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over = True
        self._flows.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self.break_all()
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._sockets]:
            one.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [near, far]
            self._threads.append(threading.Thread(target=self._carry, args=(near, far)))
            self._threads[-1].start()

    def _carry(self, near, far):
        with contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [])
                self._flows.wait()
                for one in ready:
                    data = one.recv(65536)
                    (far if one is near else near).sendall(data)
                    if not data:
                        raise OSError
        for one in (near, far):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
