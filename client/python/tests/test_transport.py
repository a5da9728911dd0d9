"""Where requests go, with which token, over which connection, and how often."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

import hearth
from hearth import HearthError, _address, _http, _transport

from .stand_in import DROP, Answer, Raw, TestCase

# printf hearth | openssl dgst -sha256 -hmac "a session token/with+signs=" (and "container-token")
SESSION, SESSION_HMAC = "a session token/with+signs=", "a1c0c75c8490dc64b70898d2a0c1facbd9acc7087fb0e65c6645aa3fd3378b0a"
CONTAINER, CONTAINER_HMAC = "container-token", "b4878e8d4aa7a8ba9836b9f156dfa427778fd68e87a77bd22ea9b6b6b1573e11"


class Token(TestCase):
    def sent(self, **env):
        os.environ.update(env)
        self.client().mute("c")
        return self.hearth.seen[-1].headers.get("x-hearth-token")

    def test_none_outside_lambda(self):
        self.assertIsNone(self.sent())
        self.assertIsNone(self.sent(AWS_SESSION_TOKEN=SESSION))

    def test_as_it_stands(self):
        self.assertEqual("as it stands ä".encode().decode("latin-1"), self.sent(HEARTH_TOKEN="as it stands ä"))

    def test_white_space_around_it_is_dropped_as_the_sidecar_does(self):
        for token in (" mine", "mine\n", "\tmine\r\n", "mine\u00a0"):
            self.assertEqual("mine", self.sent(HEARTH_TOKEN=token), token)
        self.assertEqual("mine", self.sent(HEARTH_ADDR=f" {self.hearth.addr}\n", HEARTH_SOCKET=" "))

    def test_one_that_no_header_can_carry(self):
        for token in ("mi\nne", "\x7f", "mi\x85ne"):
            os.environ["HEARTH_TOKEN"] = token
            with self.subTest(token), self.assertRaisesRegex(HearthError, "^Bad configuration: HEARTH_TOKEN"):
                self.client()
        self.assertEqual(0, self.hearth.opened)

    def test_of_the_session(self):
        env = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER}
        self.assertEqual(SESSION_HMAC, self.sent(AWS_SESSION_TOKEN=SESSION, **env))
        seen = self.hearth.seen[-1]
        self.assertNotIn(SESSION, str(seen))

    def test_of_the_container(self):
        env = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_SESSION_TOKEN": ""}
        self.assertEqual(CONTAINER_HMAC, self.sent(AWS_CONTAINER_AUTHORIZATION_TOKEN=CONTAINER, **env))

    def test_the_given_one_wins(self):
        env = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_SESSION_TOKEN": SESSION}
        self.assertEqual("mine", self.sent(HEARTH_TOKEN="mine", **env))

    def in_a_process_of_its_own(self, code, **env):
        """What a program prints that has this environment from its start."""
        run = subprocess.run(
            [sys.executable, "-S", "-c", "import os\n" + code],
            cwd=Path(hearth.__file__).parent.parent, env={**os.environ, **env}, capture_output=True, text=True, timeout=20,
        )
        self.assertEqual("", run.stderr)
        return run.stdout.strip()

    def test_of_the_credential_that_was_there_at_import(self):
        """The handler takes on another role, or hides what it was given, and makes its client after that."""
        lambda_has = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
        ask = "hearth.Client(); print(hearth._address.token(os.environ), hearth._address.addresses(os.environ)[0])"
        for change in ("os.environ['AWS_SESSION_TOKEN'] = 'of another role'", "os.environ.clear()"):
            for name, secret, expected in (
                ("AWS_SESSION_TOKEN", SESSION, SESSION_HMAC),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER, CONTAINER_HMAC),
            ):
                with self.subTest(change, name=name):
                    said = self.in_a_process_of_its_own(f"import hearth\n{change}\n{ask}", **lambda_has, **{name: secret})
                    self.assertEqual(f"{expected} /tmp/hearth.sock", said)

    def test_of_the_credential_of_now_where_the_import_was_elsewhere(self):
        code = f"import hearth\nos.environ.update(AWS_LAMBDA_RUNTIME_API='x', AWS_SESSION_TOKEN={SESSION!r})\n"
        said = self.in_a_process_of_its_own(code + "print(hearth._address.token(os.environ))", AWS_SESSION_TOKEN="developer's")
        self.assertEqual(SESSION_HMAC, said)

    def test_goes_only_to_hearth(self):
        os.environ["HEARTH_TOKEN"] = "s3cret"
        for server in ("nginx", "Hearthlike", "", "hearth, nginx"):
            other = self.stand_in(server=server)
            os.environ["HEARTH_ADDR"] = other.addr
            with self.subTest(server), self.assertRaisesRegex(HearthError, "does not answer as Hearth") as caught:
                self.client().history("secret chat")
            self.assertEqual((0, True), (caught.exception.status, caught.exception.retryable))
            self.assertEqual([], other.seen)
            self.assertEqual(["/healthz"], [seen.target for seen in other.greetings])
            self.assertNotIn("s3cret", str(other.greetings))

    def test_goes_only_to_who_speaks_http(self):
        os.environ["HEARTH_TOKEN"] = "s3cret"
        for greeting in (
            b"+PONG\r\n",
            b"HTTP/1.1 huh\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nServer: hearth\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nServer: hearth\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            b"",
        ):
            with self.subTest(greeting), socket.create_server(("127.0.0.1", 0)) as listener:
                os.environ["HEARTH_ADDR"] = "127.0.0.1:%d" % listener.getsockname()[1]
                heard = []

                def speak():
                    sock, _ = listener.accept()
                    with sock:
                        heard.append(sock.recv(65536))
                        sock.sendall(greeting)
                        sock.shutdown(socket.SHUT_WR)
                        heard.append(sock.recv(65536))

                thread = threading.Thread(target=speak)
                thread.start()
                with self.assertRaisesRegex(HearthError, "does not answer as Hearth"):
                    self.client().history("c")
                thread.join()
                self.assertTrue(heard[0].startswith(b"GET /healthz HTTP/1.1\r\n"))
                self.assertNotIn(b"s3cret", heard[0])
                self.assertEqual(b"", heard[1])

    def test_a_port_that_says_nothing_is_given_up_soon(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            os.environ["HEARTH_ADDR"] = "127.0.0.1:%d" % listener.getsockname()[1]
            start = time.monotonic()
            with self.assertRaisesRegex(HearthError, "timed out"):
                self.client(connect_timeout=0.1).history("c")
            self.assertLess(time.monotonic() - start, 5)

    def test_every_new_connection_is_greeted_once(self):
        client = self.client()
        client.mute("c")
        client.mute("c")
        self.hearth.hang_up()
        client.mute("c")
        self.assertEqual((3, 2, 2), (len(self.hearth.seen), len(self.hearth.greetings), self.hearth.opened))


class Places(TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "hearth.sock")

    def in_lambda(self):
        os.environ["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9001"
        os.environ["AWS_SESSION_TOKEN"] = SESSION

    def test_the_socket_that_is_named(self):
        self.path = os.path.join(self.directory, "other.sock")
        os.environ["HEARTH_SOCKET"] = self.path
        on_socket = self.stand_in(path=self.path)
        self.client().mute("c")
        (seen,) = on_socket.seen
        self.assertEqual(("/v1/chats/c/mute", "localhost"), (seen.target, seen.headers["host"]))
        self.assertEqual(0, self.hearth.opened)

    def test_tcp_when_the_socket_that_is_named_is_not_there(self):
        os.environ["HEARTH_SOCKET"] = self.path
        self.client().mute("c")
        self.assertEqual((1, 1), (len(self.hearth.greetings), len(self.hearth.seen)))

    def test_tcp_when_the_socket_that_is_named_is_dead(self):
        os.environ["HEARTH_SOCKET"] = self.path
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path)
        self.client().mute("c")
        self.assertEqual(1, len(self.hearth.seen))

    def test_tcp_when_the_socket_that_is_named_is_none(self):
        file = os.path.join(self.directory, "file")
        with open(file, "w"):
            pass
        for path in (file, os.path.join(file, "s"), os.path.join(self.directory, "x" * 108)):
            with self.subTest(path):
                os.environ.update(HEARTH_SOCKET=path, HEARTH_ADDR=self.hearth.addr)
                self.client().mute("c")
                os.environ["HEARTH_ADDR"] = self.closed_port()
                self.assert_names_both(path, os.environ["HEARTH_ADDR"])

    def test_not_tcp_when_the_socket_is_busy(self):
        os.environ["HEARTH_SOCKET"] = self.path
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as queued:
            listener.bind(self.path)
            listener.listen(0)
            queued.connect(self.path)
            with self.assertRaisesRegex(HearthError, "cannot be reached"):
                self.client(connect_timeout=0.1).mute("c")
        self.assertEqual(0, self.hearth.opened)

    def test_the_default_address_where_none_is_given(self):
        del os.environ["HEARTH_ADDR"]
        os.environ["HEARTH_SOCKET"] = self.path
        self.patch(mock.patch.object(_address, "DEFAULT_ADDR", self.hearth.addr))
        self.client().mute("c")
        self.assertEqual(1, len(self.hearth.seen))

    def test_an_address_where_nobody_can_be_found_is_left_out(self):
        on_socket = self.stand_in(path=self.path)
        for addr in ("127.0.0.1:0", "nonsense", "10.0.0.1:2774"):
            with self.subTest(addr):
                os.environ.update(HEARTH_SOCKET=self.path, HEARTH_ADDR=addr)
                on_socket.seen.clear()
                self.client().mute("c")
                self.assertEqual(1, len(on_socket.seen))
                os.environ["HEARTH_SOCKET"] = self.path + "-of-nobody"
                self.assert_names_both(self.path + "-of-nobody", addr)

    def test_says_both_when_both_are_dead(self):
        os.environ.update(HEARTH_SOCKET=self.path, HEARTH_ADDR=self.closed_port())
        self.assert_names_both(self.path, os.environ["HEARTH_ADDR"])

    def test_says_both_when_who_listens_is_not_hearth(self):
        other = self.stand_in(server="nginx")
        os.environ.update(HEARTH_SOCKET=self.path, HEARTH_ADDR=other.addr, HEARTH_TOKEN="s3cret")
        self.assert_names_both(self.path, other.addr)
        self.assertEqual([], other.seen)
        self.assertNotIn("s3cret", str(other.greetings))

    def assert_names_both(self, path, addr):
        with self.assertRaises(HearthError) as caught:
            self.client().mute("c")
        self.assertEqual((0, True), (caught.exception.status, caught.exception.retryable))
        self.assertIn(path, str(caught.exception))
        self.assertIn(addr, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_the_usual_socket_in_lambda(self):
        self.in_lambda()
        on_socket = self.stand_in(path=self.path)
        self.client().mute("c")
        self.assertEqual([SESSION_HMAC], [seen.headers["x-hearth-token"] for seen in on_socket.seen])
        self.assertEqual(0, self.hearth.opened)

    def test_not_the_usual_socket_elsewhere(self):
        on_socket = self.stand_in(path=self.path)
        self.client().mute("c")
        self.assertEqual((0, 1), (on_socket.opened, len(self.hearth.seen)))

    def test_tcp_when_the_usual_socket_is_not_there(self):
        self.in_lambda()
        self.client().mute("c")
        (seen,) = self.hearth.seen
        self.assertEqual(self.hearth.addr, seen.headers["host"])
        self.assertEqual(SESSION_HMAC, seen.headers["x-hearth-token"])

    def test_tcp_when_the_usual_socket_is_dead(self):
        self.in_lambda()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path)
        self.client().mute("c")
        self.assertEqual(1, len(self.hearth.seen))

    def test_says_where_it_looked(self):
        self.in_lambda()
        os.environ["HEARTH_ADDR"] = self.closed_port()
        with self.assertRaises(HearthError) as caught:
            self.client().mute("c")
        self.assertIn(self.path, str(caught.exception))
        self.assertIn(os.environ["HEARTH_ADDR"], str(caught.exception))


NOBODY = 65534


@unittest.skipUnless(sys.platform == "linux", "only Linux tells whose process listens")
class Owners(TestCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o777)
        self.path = os.path.join(self.directory, "theirs.sock")
        os.environ.update(HEARTH_SOCKET=self.path, HEARTH_TOKEN="s3cret")

    def listen_as_nobody(self):
        """A process of another user takes the path. What it hears comes out of the pipe that is returned."""
        if os.geteuid() != 0:
            self.skipTest("only root can start a process of another user")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(self.path)
                os.chmod(self.path, 0o666)
                listener.listen(8)
                os.write(writing, b"listens\n")
                while True:
                    with listener.accept()[0] as peer:
                        while heard := peer.recv(65536):
                            os.write(writing, heard)
                    os.write(writing, b"end\n")
            finally:
                os._exit(1)
        os.close(writing)
        pipe = os.fdopen(reading, "rb")
        self.addCleanup(pipe.close)
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assertEqual(b"listens\n", pipe.readline())
        return pipe

    def test_another_users_process_is_told_nothing(self):
        pipe = self.listen_as_nobody()
        os.environ["HEARTH_ADDR"] = self.closed_port()
        for call in (lambda c: c.mute("secret"), lambda c: c.append("c", {"role": "user"}), lambda c: c.odoo_call("m", "x")):
            with self.assertRaisesRegex(HearthError, f"user {NOBODY}.*root") as caught:
                call(self.client(timeout=2))
            self.assertIn(self.path, str(caught.exception))
            self.assertIn(os.environ["HEARTH_ADDR"], str(caught.exception))
            self.assertEqual(b"end\n", pipe.readline())

    def test_tcp_stands_in_for_it(self):
        pipe = self.listen_as_nobody()
        self.client(timeout=2).mute("c")
        self.assertEqual(["s3cret"], [seen.headers["x-hearth-token"] for seen in self.hearth.seen])
        self.assertEqual(b"end\n", pipe.readline())

    def test_also_when_it_takes_the_path_over(self):
        os.environ["HEARTH_ADDR"] = self.closed_port()
        ours, client = self.stand_in(path=self.path), self.client(timeout=2)
        client.mute("c")
        ours.hang_up()
        os.unlink(self.path)
        pipe = self.listen_as_nobody()
        with self.assertRaisesRegex(HearthError, f"user {NOBODY}"):
            client.mute("c")
        self.assertEqual(b"end\n", pipe.readline())

    def test_roots_process_is_used_and_our_own(self):
        """Here root's serves, and the client is a child of another user."""
        ours = self.stand_in(path=self.path)
        os.chmod(self.path, 0o666)
        if os.geteuid() != 0:
            return self.assertEqual({}, self.client(timeout=2).mute("c"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(10)
                os.setuid(NOBODY)
                client = hearth.Client()
                code = 0 if client.mute("c") == {} else 2
                client.close()
            finally:
                os._exit(code)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.client(timeout=2).mute("c")
        self.assertEqual(2, len(ours.seen))

    def test_whose_may_be_used(self):
        """As the kernel would tell it of processes of every kind."""
        for owner, own, fine in ((0, 1000, True), (1000, 1000, True), (1001, 1000, False), (1000, 0, False), (NOBODY, 1000, False)):
            sock = mock.Mock()
            sock.getsockopt.return_value = b"".join(n.to_bytes(4, sys.byteorder) for n in (7, owner, 0))
            with self.subTest(owner=owner, own=own), mock.patch("os.geteuid", return_value=own):
                if fine:
                    _transport._check_owner(sock)
                else:
                    with self.assertRaises(PermissionError):
                        _transport._check_owner(sock)


def in_threads(count, call):
    """Makes a call in so many threads at once, and waits for all of them."""
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Repetition(TestCase):
    safe = {
        "history": lambda c: c.history("c"),
        "relevant": lambda c: c.relevant("c", "t"),
        "mute": lambda c: c.mute("c"),
        "set_mute": lambda c: c.set_mute("c", True),
        "append": lambda c: c.append("c", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
        "preprocess": lambda c: c.preprocess("c", "t", "r"),
    }

    def setUp(self):
        super().setUp()
        self.hearth.default = Answer({"relevant_messages": [], "ids": [], "result": 1})

    def test_a_call_that_is_safe_is_made_once_more(self):
        for name, call in self.safe.items():
            with self.subTest(name):
                client = self.client()
                client.healthz()
                self.hearth.seen.clear()
                self.hearth.answers.append(DROP)
                call(client)
                first, second = self.hearth.seen
                self.assertEqual((first.method, first.target, first.body), (second.method, second.target, second.body))
                self.assertNotEqual(first.connection, second.connection)

    def test_also_when_the_reply_broke_off(self):
        self.hearth.answers.append(Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
        self.client().mute("c")
        self.assertEqual(2, len(self.hearth.seen))

    def test_but_not_twice_more(self):
        for name, call in self.safe.items():
            self.hearth.seen.clear()
            self.hearth.answers += [DROP, DROP]
            with self.subTest(name), self.assertRaisesRegex(HearthError, "Connection lost") as caught:
                call(self.client())
            self.assertEqual((0, True), (caught.exception.status, caught.exception.retryable))
            self.assertEqual(2, len(self.hearth.seen))

    def test_odoo_is_never_called_twice(self):
        client = self.client()
        client.healthz()
        for answer in (DROP, Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")):
            self.hearth.seen.clear()
            self.hearth.answers.append(answer)
            with self.assertRaisesRegex(HearthError, "whether the call took effect is not known") as caught:
                client.odoo_call("res.partner", "write", [[1], {"name": "x"}])
            self.assertFalse(caught.exception.retryable)
            self.assertEqual(1, len(self.hearth.seen))

    def test_odoo_is_called_when_nothing_had_been_sent(self):
        client = self.client()
        client.healthz()
        self.hearth.hang_up()
        self.hearth.seen.clear()
        self.assertEqual(1, client.odoo_call("res.partner", "write", [[1], {"name": "x"}]))
        self.assertEqual(1, len(self.hearth.seen))

        # The server hangs up after the connection was looked at, so that only sending finds out.
        (connection,) = client._transport._idle
        connection.is_open = lambda: True
        connection._sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(1, client.odoo_call("res.partner", "write", [[1], {"name": "x"}]))
        self.assertEqual(2, len(self.hearth.seen))

    def test_the_second_try_goes_over_a_connection_of_its_own(self):
        client, both = self.client(), threading.Barrier(2)

        def meet(seen):
            both.wait(10)
            return Answer()

        self.hearth.answers += [meet, meet]
        in_threads(2, lambda: client.mute("c"))
        self.assertEqual(2, len(client._transport._idle))
        self.hearth.answers.append(DROP)
        client.mute("c")
        *earlier, last = (seen.connection for seen in self.hearth.seen)
        self.assertEqual(3, len(earlier))
        self.assertNotIn(last, earlier)

    def test_an_error_is_an_answer(self):
        self.hearth.answers.append(Answer({"retryable": True}, 503))
        with self.assertRaises(HearthError):
            self.client().mute("c")
        self.assertEqual(1, len(self.hearth.seen))

    def test_a_connection_that_was_hung_up_on_costs_nothing(self):
        client = self.client()
        for _ in range(3):
            client.mute("c")
            self.hearth.hang_up()
        client.mute("c")
        self.assertEqual(4, len(self.hearth.seen))


class Timeouts(TestCase):
    def hang(self):
        over = threading.Event()
        self.addCleanup(over.set)

        def wait(seen):
            over.wait(10)
            return DROP

        self.hearth.default = wait

    def test_of_the_client_and_of_the_call(self):
        for arguments, call in (
            ({"timeout": 0.1}, lambda c: c.mute("c")),
            ({}, lambda c: c.mute("c", timeout=0.1)),
        ):
            client = self.client(**arguments)
            self.hearth.default = Answer()
            client.mute("warm", timeout=10)
            self.hang()
            self.hearth.seen.clear()
            start = time.monotonic()
            with self.assertRaisesRegex(HearthError, "No reply in time.*0.1 s") as caught:
                call(client)
            self.assertLess(time.monotonic() - start, 5)
            self.assertEqual((0, True), (caught.exception.status, caught.exception.retryable))
            self.assertEqual(1, len(self.hearth.seen), "a call that timed out was made again")

    def test_of_the_call_bounds_the_search_for_hearth_too(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            os.environ["HEARTH_ADDR"] = "127.0.0.1:%d" % silent.getsockname()[1]
            start = time.monotonic()
            with self.assertRaisesRegex(HearthError, "timed out"):
                self.client(connect_timeout=60).mute("c", timeout=0.1)
            self.assertLess(time.monotonic() - start, 10)

    def test_hold_from_the_callers_call_on(self):
        """Neither the wait for a slot nor a second try begins anew."""
        clock = mock.Mock()
        clock.monotonic.return_value = 100.0
        deadlines = []

        class Slots:
            def acquire(self, timeout):
                clock.monotonic.return_value += 3
                return True

            def release(self):
                pass

        def exchange(connection, method, target, fields, body, deadline):
            deadlines.append(deadline)
            clock.monotonic.return_value += 3
            if len(deadlines) == 1:
                raise ConnectionResetError
            return _http.Reply(200, "OK", {}, b"{}")

        def dial(deadline):
            deadlines.append(deadline)
            return mock.Mock(touched=True)

        transport = _transport.Transport([], None, 1.0, 1)
        replaced = {"_slots": Slots(), "_exchange": exchange, "_dial": dial, "_take": lambda: mock.Mock(touched=True)}
        with mock.patch.object(_transport, "time", clock), mock.patch.multiple(transport, **replaced):
            transport.request("GET", "/", {}, None, 10.0, True)
        self.assertEqual([110.0] * 3, deadlines)

    def test_hold_for_a_request_that_nobody_reads(self):
        left, right = socket.socketpair()
        self.addCleanup(right.close)
        outcome = []

        def send():
            try:
                connection = _http.Connection(left, "localhost")
                connection.exchange("POST", "/", {}, bytes(64 << 20), time.monotonic() + 0.1)
            except OSError as problem:
                outcome.append(type(problem))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        sender.join(10)
        self.assertEqual([socket.timeout], outcome)
        left.close()

    def test_hold_for_a_reply_that_comes_drop_by_drop(self):
        left, right = socket.socketpair()
        self.addCleanup(left.close)
        over = threading.Event()

        def drip():
            with right:
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b" " * 9999:
                    if over.wait(0.02):
                        return
                    right.send(bytes([byte]))

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        with self.assertRaises(socket.timeout):
            _http.Connection(left, "localhost").exchange("GET", "/", {}, None, start + 0.2)
        self.assertLess(time.monotonic() - start, 5)
        over.set()
        thread.join()

    def test_the_late_reply_is_not_taken_for_the_next(self):
        go = threading.Event()

        def late(seen):
            go.wait(10)
            return Answer({"late": True})

        self.hearth.answers.append(late)
        client = self.client()
        with self.assertRaises(HearthError):
            client.mute("c", timeout=0.1)
        go.set()
        self.assertEqual({}, client.mute("c"))


class Pool(TestCase):
    def test_one_connection_for_calls_one_after_another(self):
        client = self.client()
        for _ in range(10):
            client.mute("c")
        self.assertEqual(1, self.hearth.opened)

    def test_a_request_over_tcp_is_not_held_back_for_an_acknowledgement(self):
        client = self.client()
        client.mute("c")
        (connection,) = client._transport._idle
        self.assertTrue(connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_has_16_connections_by_default(self):
        client, sixteen = self.client(), threading.Barrier(16)

        def meet(seen):
            sixteen.wait(20)
            return Answer()

        self.hearth.default = meet
        in_threads(64, lambda: client.mute("c"))
        self.assertEqual((16, 64), (self.hearth.opened, len(self.hearth.seen)))

    def test_many_threads(self):
        """Each gets its own reply, over no more connections than allowed."""
        self.hearth.default = lambda seen: Answer({"target": seen.target})
        client = self.client(max_connections=4)
        start, wrong = threading.Barrier(24), []

        def ask(number):
            start.wait()
            for turn in range(20):
                chat = f"{number}-{turn}"
                if client.mute(chat) != {"target": f"/v1/chats/{chat}/mute"}:
                    wrong.append(chat)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)
        self.assertEqual(480, len(self.hearth.seen))
        self.assertLessEqual(self.hearth.opened, 4)
        self.assertEqual(self.hearth.opened, len(client._transport._idle))

    def test_waits_no_longer_than_the_timeout_for_a_connection(self):
        arrived, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def hold(seen):
            arrived.set()
            go.wait(10)
            return Answer()

        self.hearth.answers.append(hold)
        client = self.client(max_connections=1)
        holder = threading.Thread(target=client.mute, args=("c",))
        holder.start()
        arrived.wait(10)
        with self.assertRaisesRegex(HearthError, "Busy") as caught:
            client.mute("c", timeout=0.05)
        self.assertTrue(caught.exception.retryable)
        go.set()
        holder.join()
        client.mute("c")
        self.assertEqual(1, self.hearth.opened)

    def test_a_slot_comes_back_after_every_failure(self):
        client = self.client(max_connections=1)
        for answers in ([DROP, DROP], [Raw(b"nonsense\r\n\r\n")], [Answer({}, 500)], [Answer(b"{")]):
            self.hearth.answers += answers
            with self.assertRaises(HearthError):
                client.mute("c")
        with mock.patch("hearth._http._request", side_effect=MemoryError), self.assertRaises(MemoryError):
            client.mute("c")
        client.mute("c", timeout=1)

    def test_the_warmest_connection_is_used_first(self):
        client = self.client()
        together = threading.Barrier(3)

        def meet(seen):
            together.wait(10)
            return Answer()

        self.hearth.answers += [meet, meet, meet]
        threads = [threading.Thread(target=client.mute, args=("c",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(3, self.hearth.opened)
        for _ in range(5):
            client.mute("c")
        self.assertEqual(1, len({seen.connection for seen in self.hearth.seen[3:]}))

    def test_what_is_idle_for_long_is_closed(self):
        client = self.client()
        together = threading.Barrier(3)

        def meet(seen):
            together.wait(10)
            return Answer()

        self.hearth.answers += [meet, meet, meet]
        threads = [threading.Thread(target=client.mute, args=("c",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.mute("c")
        first, second, used = client._transport._idle
        with mock.patch.object(_transport, "MAX_IDLE", 0.0):
            client.mute("c")
        self.assertEqual([used], client._transport._idle)
        self.assertEqual([-1, -1], [first._sock.fileno(), second._sock.fileno()])
        client.mute("c")
        self.assertEqual(3, self.hearth.opened)

    def test_close_closes_and_the_client_goes_on(self):
        client = self.client()
        client.mute("c")
        (connection,) = client._transport._idle
        client.close()
        self.assertEqual(-1, connection._sock.fileno())
        client.mute("c")
        self.assertEqual(2, self.hearth.opened)


class Fork(TestCase):
    def in_child(self, function):
        """What function says in a child process."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            try:
                os.write(writing, repr(function()).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said

    def test_the_child_has_connections_of_its_own(self):
        client, shared = self.client(), hearth.default_client()
        client.mute("parent")
        shared.mute("parent")

        # A lock that another thread holds at the time of the fork is never released in the child.
        with client._transport._lock, hearth.parallel._making:
            client._transport._slots.acquire()
            said = self.in_child(lambda: (client.mute("child"), hearth.default_client() is shared))
            client._transport._slots.release()
        self.assertEqual("({}, False)", said)
        client.mute("parent")
        shared.mute("parent")
        one, two, child, again_one, again_two = (seen.connection for seen in self.hearth.seen)
        self.assertEqual((one, two), (again_one, again_two))
        self.assertNotIn(child, (one, two))

    def test_an_executor_works_in_the_child(self):
        executor = hearth.ParallelExecutor()
        executor.execute([lambda: 1])
        taken = [hearth.executor._slots.acquire(timeout=0) for _ in range(hearth.executor.MAX_THREADS)]
        try:
            said = self.in_child(lambda: executor.execute_with_timeout([lambda: 1, lambda: 2], 5))
        finally:
            for _ in filter(None, taken):
                hearth.executor._slots.release()
        self.assertEqual("[1, 2]", said)
