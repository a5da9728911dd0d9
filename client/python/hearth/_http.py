"""HTTP/1.1 over one open socket, one exchange at a time. It follows no redirects, uses no proxies and rewrites no paths.

The standard library's http.client could do this too. But its import would take longer than that of this whole package, and
its exchanges take two to three times as long.
"""

from __future__ import annotations

import socket
import time

from ._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Optional

MAX_HEAD = 64 << 10
MAX_BODY = 64 << 20


class BadReply(Exception):
    """The reply is not HTTP/1.1, or is larger than MAX_HEAD or MAX_BODY."""


class Reply:
    def __init__(self, status: int, reason: str, fields: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields  # names in lower case
        self.body = body
        self.again = False  # it is the reply to the second try, because the connection of the first one broke


def left(deadline: float) -> float:
    """The seconds until a deadline, which is a time of time.monotonic. Raises socket.timeout if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise socket.timeout("timed out")
    return seconds


class Connection:
    """An open keep-alive connection. Not safe for threads: the request that took it from the pool has it alone."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self._sock = sock
        self._host = host
        self._unread = bytearray()
        self.touched = False  # True once a byte of the last request was sent
        self.idle_since = 0.0  # a time of time.monotonic, if the connection is in the pool
        self.reusable = True  # True if the last exchange left the connection ready for another one

    def close(self) -> None:
        self._sock.close()

    def is_open(self) -> bool:
        """True if the server has neither closed the idle connection nor sent anything on it."""
        try:
            self._sock.settimeout(0)
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def exchange(
        self, method: str, target: str, fields: Mapping[str, str], body: Optional[bytes], deadline: float
    ) -> Reply:
        self.touched = self.reusable = False
        complete = self._send(_request(method, target, {"Host": self._host, **fields}, body), deadline)
        version, status, reason, got = self._head(deadline)
        while 100 <= status < 200:
            version, status, reason, got = self._head(deadline)
        content, whole = self._body(status, got, deadline)
        stays = version == "HTTP/1.1" and "close" not in got.get("connection", "").lower()
        self.reusable = complete and whole and stays and not self._unread
        return Reply(status, reason, got, content)

    def _send(self, data: bytes, deadline: float) -> bool:
        rest = memoryview(data)
        try:
            while rest:
                self._sock.settimeout(left(deadline))
                count = self._sock.send(rest)
                self.touched = True
                rest = rest[count:]
        except ConnectionError:
            if not self.touched:
                raise
            # The server may have refused the body and closed before it read all of it. Its reply can still be read.
        return not rest

    def _head(self, deadline: float) -> tuple[str, int, str, dict[str, str]]:
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if len(self._unread) > MAX_HEAD or not b"HTTP/1.".startswith(self._unread[:7]):
                raise BadReply("the reply is not HTTP/1.1")
            self._fill(deadline)
        first, *lines = self._take(end + 4, deadline).decode("latin-1").rstrip("\r\n").split("\r\n")
        version, _, rest = first.partition(" ")
        code, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not code.isdigit():
            raise BadReply("the reply is not HTTP/1.1")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return version, int(code), reason, fields

    def _body(self, status: int, fields: Mapping[str, str], deadline: float) -> tuple[bytes, bool]:
        """The body, and True unless only the end of the connection marked the body's end."""
        if status in (204, 304):
            return b"", True
        if "transfer-encoding" in fields:
            return self._chunks(deadline), True
        if "content-length" in fields:
            return self._take(_length(fields["content-length"], 10), deadline), True
        try:
            while len(self._unread) <= MAX_BODY:
                self._fill(deadline)
        except ConnectionError:
            return self._take(len(self._unread), deadline), False
        raise BadReply("the reply is too large")

    def _chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while size := _length(self._line(deadline).partition(";")[0].strip(), 16):
            if len(body) + size > MAX_BODY:
                raise BadReply("the reply is too large")
            body += self._take(size, deadline)
            self._line(deadline)
        while self._line(deadline):
            pass  # trailers
        return bytes(body)

    def _line(self, deadline: float) -> str:
        while (end := self._unread.find(b"\r\n")) < 0:
            if len(self._unread) > MAX_HEAD:
                raise BadReply("the reply is not HTTP/1.1")
            self._fill(deadline)
        return self._take(end + 2, deadline)[:-2].decode("latin-1")

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._unread) < count:
            self._fill(deadline)
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def _fill(self, deadline: float) -> None:
        self._sock.settimeout(left(deadline))
        data = self._sock.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the connection was closed")
        self._unread += data


def _request(method: str, target: str, fields: Mapping[str, str], body: Optional[bytes]) -> bytes:
    for name, value in fields.items():
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"header {name} must be one line")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")


def _length(digits: str, base: int) -> int:
    try:
        length = int(digits, base)
    except ValueError:
        raise BadReply("the reply is not HTTP/1.1") from None
    if not 0 <= length <= MAX_BODY:
        raise BadReply("the reply is too large")
    return length
