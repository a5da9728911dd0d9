"""A sidecar that answers as it is told to and remembers what it was asked."""

import contextlib
import io
import json
import os
import re
import socket
import socketserver
import tempfile
import threading
import unittest
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Callable, NamedTuple, Union
from unittest import mock

import hearth
from hearth import _address, parallel


class Seen(NamedTuple):
    method: str
    target: str
    headers: dict
    body: bytes
    connection: int

    @property
    def json(self):
        return json.loads(self.body)


class Answer(NamedTuple):
    body: Union[dict, list, bytes] = {}
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


def wrong(*values: Any) -> Sequence[Any]:
    """Values that a type checker lets pass, although their types are wrong on purpose."""
    return values


class Raw(bytes):
    """These bytes and then the end of the connection; none at all for a connection that just drops."""


DROP = Raw()
Reply = Union[Answer, Raw, Callable[[Seen], Union[Answer, Raw]]]


def problem(status, title, **more):
    return Answer({"type": f"/errors/{status}", "title": title, "status": status, **more}, status, "application/problem+json")


class Stdout(io.TextIOWrapper):
    """Stands in for stdout, and remembers each write to it."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding)
        self.writes = []

    def write(self, text):
        self.writes.append(text)
        return super().write(text)


def printed(call, stdout=None):
    """The lines of JSON that a call prints, decoded. There is a line for people before each, and each line is one write."""
    stdout = stdout or Stdout()
    with contextlib.redirect_stdout(stdout):
        call()
    return lines_of(stdout)


def lines_of(stdout):
    text = stdout.buffer.getvalue().decode(stdout.encoding)
    for people, line in zip(stdout.writes[::2], stdout.writes[1::2]):
        assert people.startswith("[TIMING] ") and line.startswith("{"), (people, line)
    assert text.count("\n") == len(stdout.writes) and all(write.endswith("\n") for write in stdout.writes), stdout.writes

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in text.split("\n")[1::2]]
    for line in lines:
        assert line["level"] == "INFO" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"]), line
    return [{name: value for name, value in line.items() if name not in ("level", "timestamp")} for line in lines]


class StandIn:
    """Serves on TCP, or on a Unix socket if a path is given, until stop().

    answers holds the next replies, in order: an Answer, a Raw, or a function from what was Seen to one of them. When
    there are none left, default is the reply. What a new TCP connection asks first, GET /healthz, goes to greetings.
    """

    def __init__(self, path=None, server="hearth"):
        self.seen: list[Seen] = []
        self.greetings: list[Seen] = []
        self.answers: list[Reply] = []
        self.default: Reply = Answer()
        self.opened = self.peak = 0
        self._open = {}
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: with two, each reply waits 40 ms for an acknowledgement

            def setup(self):
                with stand_in._lock:
                    stand_in.opened += 1
                    self.number = stand_in.opened
                    stand_in._open[self.number] = self.request
                    stand_in.peak = max(stand_in.peak, len(stand_in._open))
                self.asked = 0
                super().setup()

            def finish(self):
                with stand_in._lock:
                    stand_in._open.pop(self.number, None)
                super().finish()

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, self.path, headers, body, self.number)
                self.asked += 1
                if path is None and self.asked == 1 and self.path == "/healthz":
                    stand_in.greetings.append(seen)
                    return self.reply(Answer({"status": "ok"}))
                with stand_in._lock:
                    stand_in.seen.append(seen)
                    answer = stand_in.answers.pop(0) if stand_in.answers else stand_in.default
                self.reply(answer(seen) if callable(answer) else answer)

            do_GET = do_POST = do_PUT = do_DELETE = serve

            def reply(self, answer):
                if isinstance(answer, Raw):
                    self.close_connection = True
                    self.wfile.write(answer)
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def version_string(self):
                return server

            def log_message(self, format, *args):
                pass

        class Server(socketserver.ThreadingMixIn, HTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_UNIX if path else socket.AF_INET

            def server_bind(self):
                socketserver.TCPServer.server_bind(self)

            def handle_error(self, request, client_address):
                pass

        self._server = Server(path or ("127.0.0.1", 0), Handler)
        self.addr = path or "127.0.0.1:%d" % self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def hang_up(self):
        """Ends every open connection, as a server does with what has been idle for long."""
        with self._lock:
            for sock in self._open.values():
                with contextlib.suppress(OSError):  # the client may have hung up first
                    sock.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TestCase(unittest.TestCase):
    """A test with an environment in which only HEARTH_ADDR is set, to a stand-in on TCP: self.hearth."""

    def setUp(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "AWS_", "_X_AMZN"))}
        self.patch(mock.patch.dict(os.environ, kept, clear=True))
        self.patch(mock.patch.dict(_address._AT_IMPORT, clear=True))
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.patch(mock.patch.object(_address, "DEFAULT_SOCKET_IN_LAMBDA", os.path.join(self.directory, "hearth.sock")))
        self.patch(mock.patch.object(parallel, "_client", None))
        self.addCleanup(self.forget_default_client)
        self.hearth = self.stand_in()
        os.environ["HEARTH_ADDR"] = self.hearth.addr

    def patch(self, patcher):
        self.addCleanup(patcher.stop)
        return patcher.start()

    def stand_in(self, **arguments):
        stand_in = StandIn(**arguments)
        self.addCleanup(stand_in.stop)
        return stand_in

    def client(self, **arguments):
        client = hearth.Client(**arguments)
        self.addCleanup(client.close)
        return client

    def forget_default_client(self):
        if parallel._client is not None:
            parallel._client.close()
        parallel._client = None

    def closed_port(self):
        """An address where nobody listens."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return "127.0.0.1:%d" % sock.getsockname()[1]
