"""One connection: replies in every form that HTTP/1.1 allows, and some that it does not."""

import random
import socket
import threading
import time
import unittest
from unittest import mock

from hearth import _http
from hearth._http import BadReply, Connection

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connections(unittest.TestCase):
    def connect(self):
        left, right = socket.socketpair()
        self.addCleanup(left.close)
        self.addCleanup(right.close)
        return Connection(left, "localhost"), right

    def exchange(self, reply, end=False, body=None):
        connection, peer = self.connect()
        peer.sendall(reply)
        if end:
            peer.shutdown(socket.SHUT_WR)
        return connection, connection.exchange("GET", "/x", {"A": "b"}, body, time.monotonic() + 5)

    def test_what_is_sent(self):
        connection, peer = self.connect()
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.exchange("PUT", "/a//../%2F?x", {"A": "b"}, b"{}", time.monotonic() + 5)
        self.assertEqual(
            b"PUT /a//../%2F?x HTTP/1.1\r\nHost: localhost\r\nA: b\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            peer.recv(4096),
        )

    def test_replies(self):
        for name, reply, end, expected in (
            ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False, (200, b"hi", True)),
            ("empty", b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", False, (200, b"", True)),
            ("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", False, (200, b"hi", True)),
            ("204", b"HTTP/1.1 204 No Content\r\n\r\n", False, (204, b"", True)),
            ("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", False, (304, b"", True)),
            ("chunks", CHUNKED + b"1;x=y\r\nh\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", False, (200, b"h0123456789", True)),
            ("chunks and a length", CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n", False, (200, b"hi", True)),
            ("to the end", b"HTTP/1.1 200 OK\r\n\r\nhi", True, (200, b"hi", False)),
            ("close", b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi", False, (200, b"hi", False)),
            ("1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", False, (200, b"hi", False)),
            ("100 first", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", False, (204, b"", True)),
            ("more than asked", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK", False, (200, b"hi", False)),
        ):
            with self.subTest(name):
                connection, got = self.exchange(reply, end)
                self.assertEqual(expected, (got.status, got.body, connection.reusable))

    def test_headers(self):
        _, got = self.exchange(b"HTTP/1.1 200 OK\r\nSERVER:  hearth \r\nX: 1\r\nx: 2\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual({"server": "hearth", "x": "1, 2", "content-length": "0"}, got.fields)

    def test_any_cut_of_a_reply_reads_the_same(self):
        reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        for cut in range(1, len(reply)):
            connection, peer = self.connect()
            peer.sendall(reply[:cut])
            sender = threading.Timer(0.001, peer.sendall, (reply[cut:],))
            sender.start()
            got = connection.exchange("GET", "/", {}, None, time.monotonic() + 5)
            sender.join()
            self.assertEqual((b"hello world", True), (got.body, connection.reusable), cut)

    def test_nonsense(self):
        for reply in (
            b"nonsense",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 twohundred OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        ):
            with self.subTest(reply), self.assertRaises(BadReply):
                self.exchange(reply)

    def test_endless_heads_are_refused(self):
        for reply in (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (_http.MAX_HEAD // 3),
            CHUNKED + b"0" * (_http.MAX_HEAD * 2),
        ):
            connection, peer = self.connect()
            writer = threading.Thread(target=self.flood, args=(peer, reply))
            writer.start()
            with self.assertRaises(BadReply):
                connection.exchange("GET", "/", {}, None, time.monotonic() + 5)
            connection.close()
            writer.join()

    def test_a_body_may_have_so_many_bytes_and_no_more(self):
        ok = b"HTTP/1.1 200 OK\r\n"
        with mock.patch.object(_http, "MAX_BODY", 10):
            for name, framed in (
                ("length", lambda body: ok + b"Content-Length: %d\r\n\r\n" % len(body) + body),
                ("chunks", lambda body: CHUNKED + b"6\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (body[:6], len(body) - 6, body[6:])),
                ("to the end", lambda body: ok + b"\r\n" + body),
            ):
                with self.subTest(name):
                    self.assertEqual(b"0123456789", self.exchange(framed(b"0123456789"), end=True)[1].body)
                    with self.assertRaisesRegex(BadReply, "too large"):
                        self.exchange(framed(b"0123456789a"), end=True)

    @staticmethod
    def flood(peer, data):
        try:
            peer.sendall(data)
        except OSError:
            pass

    def test_random_bytes_never_do_more_than_fail(self):
        chance = random.Random(7)
        parts = [b"HTTP/1.1 ", b"200 OK", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"3"]
        parts += [b"Transfer-Encoding: chunked", b"ff", b"\xff\0", b":", b" "]
        outcomes = set()
        for _ in range(500):
            reply = b"HTTP/1.1 " * chance.randint(0, 1) + b"".join(chance.choices(parts, k=chance.randint(0, 12)))
            try:
                self.exchange(reply, end=True)
                outcomes.add("read")
            except (BadReply, ConnectionError) as problem:
                outcomes.add(type(problem).__name__)
        self.assertEqual({"BadReply", "ConnectionResetError"}, outcomes - {"read"})

    def test_a_break_is_a_connection_error(self):
        for reply in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"):
            with self.subTest(reply), self.assertRaises(ConnectionError):
                self.exchange(reply, end=True)

    def test_an_early_refusal_of_a_large_body_is_read(self):
        """The server answers 413 and hangs up while the body is still on its way."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def refuse():
            peer, _ = listener.accept()
            with peer:
                peer.recv(1)
                peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

        server = threading.Thread(target=refuse)
        server.start()
        sock = socket.create_connection(listener.getsockname())
        self.addCleanup(sock.close)
        connection = Connection(sock, "localhost")
        got = connection.exchange("POST", "/", {}, b"x" * (16 << 20), time.monotonic() + 5)
        server.join()
        self.assertEqual((413, b"no", False), (got.status, got.body, connection.reusable))

    def test_knows_whether_it_is_open(self):
        connection, peer = self.connect()
        self.assertTrue(connection.is_open())
        peer.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertFalse(connection.is_open())
        connection, peer = self.connect()
        peer.close()
        self.assertFalse(connection.is_open())
        connection.close()
        self.assertFalse(connection.is_open())
