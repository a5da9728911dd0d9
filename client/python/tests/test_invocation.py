"""How much time an invocation has left, and what the client makes of it."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import hearth
from hearth import HearthError, ParallelExecutor, _invocation, parallel_preprocessing, time_operation, time_operation_with_metrics
from hearth._invocation import seconds_left

from .stand_in import DROP, Answer, TestCase


class Context:
    """Lambda's context, with so many milliseconds left."""

    def __init__(self, left: Any = 3000):
        self.left = left

    def get_remaining_time_in_millis(self) -> Any:
        return self.left


class Raises:
    def __getattr__(self, name):
        raise RuntimeError(name)


class InvocationTest(TestCase):
    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(_invocation, "_latest", None))
        token = _invocation._own.set(None)
        self.addCleanup(_invocation._own.reset, token)
        self.hearth.default = Answer({"dropped": 0})

    def told(self, call=lambda client: client.drop_cache(), **arguments):
        """What the sidecar is told by a call."""
        call(self.client(**arguments))
        return self.hearth.seen[-1].headers.get("x-hearth-timeout-ms")

    def test_the_sidecar_is_told_what_is_left(self):
        self.assertIsNone(self.told())
        with hearth.invocation(Context(3000)):
            self.assertEqual("3000", self.told())
            with hearth.invocation(Context(200.5)):
                self.assertEqual("200", self.told())
            self.assertEqual("3000", self.told())
            for call in (
                lambda client: client.mute("c"),
                lambda client: client.set_mute("c", True),
                lambda client: client.healthz(),
                lambda client: client.preprocess("c", "t", "r"),
                lambda client: client.preprocess("c", "t", "r", timeout_ms=9000),
            ):
                self.assertEqual("3000", self.told(call))
        self.assertIsNone(self.told())

    def test_a_plain_call_holds_until_the_next_one(self):
        hearth.invocation(Context(3000))
        self.assertEqual("3000", self.told())
        hearth.invocation(Context(2000))
        self.assertEqual("2000", self.told())

    def test_a_stub_of_another_server_is_not_asked(self):
        asked = []

        class Stub:  # as of xmlrpc.client: every name is a call over the network
            def __getattr__(self, name):
                return lambda *_: asked.append(name) or 3000

        @time_operation
        def search(_):
            return self.told()

        self.assertIsNone(search(Stub()))
        self.assertEqual([], asked)
        double = mock.MagicMock()
        double.get_remaining_time_in_millis.return_value = 2000
        self.assertEqual("2000", search(double))

    def test_a_timeout_bounds_it_too(self):
        mute = lambda client: client.mute("c", timeout=1)
        self.assertEqual("1000", self.told(mute))
        self.assertEqual("5000", self.told(timeout=5))
        self.assertEqual("1000", self.told(mute, timeout=5))
        with hearth.invocation(Context(3000)):
            self.assertEqual("1000", self.told(mute))
            self.assertEqual("3000", self.told(timeout=5))
        with hearth.invocation(Context(500)):
            self.assertEqual("500", self.told(mute))
        self.assertIsNone(self.told(timeout=5000))  # more than there can be

    def test_a_call_that_is_made_again_tells_what_is_left_then(self):
        def hang_up(seen):
            time.sleep(0.2)
            return DROP

        for left, again in ((3000, range(1000, 2801)), (300, range(1, 101))):
            self.hearth.answers.append(hang_up)
            with hearth.invocation(Context(left)):
                self.told()
            first, second = (int(seen.headers["x-hearth-timeout-ms"]) for seen in self.hearth.seen[-2:])
            self.assertEqual(left, first)
            self.assertIn(second, again)

    def test_a_body_that_has_a_timeout_is_not_cut_short(self):
        self.assertIsNone(self.told(lambda client: client.preprocess("c", "t", "r", timeout_ms=300)))
        self.assertIsNone(self.told(lambda client: client.preprocess("c", "t", "r"), timeout=5))

    def test_a_deadline_that_cannot_be_is_ignored(self):
        for left in (0, -1, 900_001, 2**70, float("nan"), float("inf"), None, "3000", True, mock.MagicMock()):
            with hearth.invocation(Context(left)):
                self.assertIsNone(seconds_left(), left)
                self.assertIsNone(self.told(), left)
        with hearth.invocation(Context(900_000)):
            self.assertEqual("900000", self.told())

    def test_what_is_no_context_is_ignored(self):
        broken = SimpleNamespace(get_remaining_time_in_millis=lambda: 1 / 0)
        for context in (None, {}, "context", Raises(), mock.MagicMock(), SimpleNamespace(get_remaining_time_in_millis=3000), broken):
            with hearth.invocation(context):
                self.assertIsNone(seconds_left())
            with hearth.invocation(Context(3000)), hearth.invocation(context):
                self.assertIn(seconds_left(), (None, 3.0))

    def test_a_former_invocations_context_is_ignored(self):
        former = Context(3000)
        hearth.invocation(former)
        former.left = 0
        self.assertIsNone(self.told())
        with hearth.invocation(Context(1000)):
            self.assertEqual("1000", self.told())

    def test_the_decorators_take_it_from_the_handler(self):
        handlers = [
            time_operation_with_metrics("lambda_handler_total")(lambda event, context: self.told()),
            time_operation(lambda event, context: self.told()),
        ]

        class Bot:
            @time_operation("bot")
            def handle(this, event, context):
                return self.told()

        handlers.append(Bot().handle)
        for handler in handlers:
            self.assertEqual("3000", handler({}, Context(3000)))
            self.assertEqual("2000", handler({}, context=Context(2000)))
            self.assertIsNone(handler({}, None))
            self.assertIsNone(seconds_left())

    def test_an_async_handler_and_its_tasks_have_it(self):
        @time_operation_with_metrics("async_handler")
        async def handler(event, context):
            async def task():
                await asyncio.sleep(0)
                return seconds_left()

            return await asyncio.gather(task(), task())

        self.assertEqual([3.0, 3.0], asyncio.run(handler({}, Context(3000))))
        self.assertIsNone(seconds_left())

    def test_tasks_of_the_executor_have_their_own_and_other_threads_the_latest(self):
        with hearth.invocation(Context(3000)):
            with hearth.invocation(Context(2000)):
                self.assertEqual([2.0, 2.0], ParallelExecutor().execute([seconds_left, seconds_left]))
                self.assertEqual(2.0, self.in_a_thread())
            self.assertEqual(3.0, self.in_a_thread())
        self.assertIsNone(self.in_a_thread())

    def in_a_thread(self):
        got = []
        thread = threading.Thread(target=lambda: got.append(seconds_left()))
        thread.start()
        thread.join()
        return got[0]

    def test_a_handler_that_raises_leaves_nothing_behind(self):
        @time_operation
        def handler(event, context):
            raise KeyError

        with self.assertRaises(KeyError):
            handler({}, Context())
        self.assertIsNone(seconds_left())
        self.assertIsNone(self.in_a_thread())

    def test_a_call_ends_a_moment_before_its_invocation(self):
        with mock.patch("hearth._transport.Transport.request", side_effect=HearthError(0, "stop")) as request:
            for left, patience in ((3000, 2.9), (1000, 0.95), (60_000, 30)):
                with hearth.invocation(Context(left)), self.assertRaises(HearthError):
                    self.client().healthz()
                self.assertAlmostEqual(patience, request.call_args[0][4])

    def test_beside_a_sidecar_that_says_nothing_a_handler_ends_in_time(self):
        end = threading.Event()
        self.addCleanup(end.set)
        self.hearth.default = lambda seen: Answer() if end.wait(30) else Answer()

        class Real(Context):
            deadline = time.monotonic() + 0.5

            def get_remaining_time_in_millis(self):
                return max(0, (self.deadline - time.monotonic()) * 1000)

        @time_operation_with_metrics("lambda_handler_total")
        def handler(event, context):
            return parallel_preprocessing("c", "t", "r")

        start = time.monotonic()
        self.assertEqual(["errors"], list(handler({}, Real())))
        self.assertLess(time.monotonic() - start, 10)  # far less than 30 s
