"""Keeps connections to the sidecar open and gives each request one of its own."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import weakref

from ._http import BadReply, Connection, left
from ._typing import TYPE_CHECKING
from .errors import HearthError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Optional

    from ._address import Address
    from ._http import Reply

_TIMEOUT_FIELD = "X-Hearth-Timeout-Ms"
MAX_IDLE = 300.0  # seconds; the sidecar has room for a limited number of connections of all processes together


class Transport:
    """A bounded pool of connections. A request takes the idle one that was used last. Each request closes those that were not used for MAX_IDLE.

    A connection is either in _idle or held by the one request that took it. Each request holds a slot for as long as
    it runs, so there are never more connections than slots. _lock guards _idle.
    """

    def __init__(
        self, addresses: Sequence[Address], token: Optional[str], connect_timeout: float, max_connections: int
    ) -> None:
        self._addresses = addresses
        self._token = {"X-Hearth-Token": token} if token else {}
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._start_empty()
        _transports.add(self)

    def _start_empty(self) -> None:
        self._slots = threading.BoundedSemaphore(self._max_connections)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    def request(
        self,
        method: str,
        target: str,
        fields: Mapping[str, str],
        body: Optional[bytes],
        timeout: float,
        repeatable: bool,
    ) -> Reply:
        """Makes one exchange, over an idle connection if there is one.

        If the connection breaks, the request is sent again over a new connection: once, and only if it is repeatable or
        nothing of it was sent. The timeout, in seconds, is for all of this together. X-Hearth-Timeout-Ms in fields counts from
        now: when the request is sent, the time that has passed is subtracted.
        """
        start = time.monotonic()
        deadline = start + timeout
        connection: Optional[Connection] = None
        slots = self._slots
        if not slots.acquire(timeout=max(0, timeout)):
            raise HearthError(0, "Busy", f"all {self._max_connections} connections are in use", retryable=True)
        try:
            now = _told(fields, start)
            connection = self._take() or self._dial(deadline)
            try:
                return self._exchange(connection, method, target, now, body, deadline)
            except ConnectionError:
                if connection.touched and not repeatable:
                    raise
            connection = self._dial(deadline)
            reply = self._exchange(connection, method, target, _told(fields, start), body, deadline)
            reply.again = True
            return reply
        except (OSError, BadReply) as problem:
            unknown = connection is not None and connection.touched and not repeatable
            if isinstance(problem, socket.timeout):
                title, detail = "No reply in time", f"Hearth has not answered within {timeout:g} s"
            elif isinstance(problem, BadReply):
                title, detail = "Unreadable reply", str(problem)
            else:
                title, detail = "Connection lost", f"Hearth hung up before it had answered ({problem})"
            if unknown:
                detail += "; whether the call took effect is not known"
            raise HearthError(0, title, detail, retryable=not unknown) from problem
        finally:
            slots.release()

    def _exchange(
        self,
        connection: Connection,
        method: str,
        target: str,
        fields: Mapping[str, str],
        body: Optional[bytes],
        deadline: float,
    ) -> Reply:
        try:
            return connection.exchange(method, target, {**fields, **self._token}, body, deadline)
        finally:
            if connection.reusable:
                self._keep(connection)
            else:
                connection.close()

    def _keep(self, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        oldest = connection.idle_since - MAX_IDLE
        unused: list[Connection] = []
        with self._lock:
            self._idle.append(connection)
            while self._idle[0].idle_since < oldest:  # they are in the order in which they became idle
                unused.append(self._idle.pop(0))
        for each in unused:
            each.close()

    def _take(self) -> Optional[Connection]:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_open():
                return connection
            connection.close()

    def _dial(self, deadline: float) -> Connection:
        """Opens a connection to the first address that accepts one. On TCP, it also asks whether Hearth answers there."""
        deadline = min(deadline, time.monotonic() + self._connect_timeout)
        missing: list[str] = []
        for address in self._addresses:
            if address.fault:
                missing.append(address.fault)
                continue
            try:
                connection = Connection(_connect(address, left(deadline)), address.host)
            except OSError as problem:
                missing.append(f"{address}: {problem.strerror or problem}")
                if isinstance(problem, (socket.timeout, BlockingIOError)):
                    break  # a process listens there, and its queue is full
                continue
            if not address.is_unix:
                _greet(connection, address, deadline, missing)
            return connection
        raise HearthError(
            0,
            "Hearth cannot be reached",
            f"{'; '.join(missing)}. Is its layer attached to the function, and did the extension start?",
            retryable=True,
        )

    def close(self) -> None:
        """Closes the idle connections. A later request opens a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def begin_anew_in_child(self) -> None:
        """Makes the transport usable in the child, after a fork.

        The parent goes on using its connections, so the child closes its copies and sends nothing. A thread of the parent
        may have held a lock, and does not exist in the child, so the child makes new locks.
        """
        inherited = self._idle
        self._start_empty()
        for connection in inherited:
            connection.close()


def _told(fields: Mapping[str, str], start: float) -> Mapping[str, str]:
    """The fields of a request that is sent now: X-Hearth-Timeout-Ms without the time that has passed since start."""
    passed = int((time.monotonic() - start) * 1000)
    if not passed or _TIMEOUT_FIELD not in fields:
        return fields
    return {**fields, _TIMEOUT_FIELD: str(max(1, int(fields[_TIMEOUT_FIELD]) - passed))}


def _connect(address: Address, timeout: float) -> socket.socket:
    if not isinstance(address.where, str):
        sock = socket.create_connection(address.where, timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.where)
        _check_owner(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_owner(sock: socket.socket) -> None:
    """Refuses a socket on which another user's process listens. Such a process must not see the token or the chats."""
    if not hasattr(socket, "SO_PEERCRED"):
        return  # only Linux tells who listens
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # process, user and group of the listener
    owner, own = int.from_bytes(credentials[4:8], sys.byteorder), os.geteuid()
    if owner not in (0, own):
        raise PermissionError(f"a process of user {owner} listens there, and not one of user {own} or root; nothing was sent to it")


def _greet(connection: Connection, address: Address, deadline: float, missing: Sequence[str]) -> None:
    """Asks over a new connection, without a token, whether Hearth listens at its other end: another program may have the port.

    missing has the reasons why the addresses before did not work. The error repeats them.
    """
    try:
        reply = connection.exchange("GET", "/healthz", {}, None, deadline)
        if reply.fields.get("server") == "hearth" and connection.reusable:
            return
        answer = f"{reply.status} {reply.reason}".strip()
    except (OSError, BadReply) as problem:
        answer = str(problem)
    connection.close()
    other = f"the program that listens on {address} does not answer as Hearth does ({answer}), and no call was sent to it"
    raise HearthError(0, "Hearth cannot be reached", "; ".join([*missing, other]), retryable=True)


_transports: weakref.WeakSet[Transport] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for transport in list(_transports):
        transport.begin_anew_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
