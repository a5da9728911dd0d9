"""What of the measurements goes to the sidecar, and what the lines say about its replies."""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Optional
from unittest import mock

import hearth
from hearth import (
    HearthError,
    ParallelExecutor,
    _invocation,
    _report,
    client,
    default_client,
    get_message_history_parallel,
    log_performance_data,
    parallel_preprocessing,
    time_operation,
    time_operation_with_metrics,
)

from .stand_in import DROP, Answer, Stdout, TestCase, lines_of, printed, problem


class Context:
    """Lambda's context."""

    def __init__(self, request_id: Optional[str] = "r1"):
        self.aws_request_id = request_id

    def get_remaining_time_in_millis(self):
        return 3000


HISTORY = {name: [] for name in ("msg_history", "all_messages", "user_messages", "assistant_messages")}


class TimingsTest(TestCase):
    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(_invocation, "_latest", None))
        self.patch(mock.patch.multiple(_report, PATIENCE=10.0, _unsent=0, _next_line=0.0, _last_sent=None))
        self.hearth.default = Answer({})

    def sent(self):
        """The bodies of POST /v1/timings."""
        return [seen.json for seen in self.hearth.seen if (seen.method, seen.target) == ("POST", "/v1/timings")]

    def operations(self, body):
        return [timing["operation"] for timing in body["timings"]]


class Sending(TimingsTest):
    def test_once_for_each_invocation_and_the_handler_is_the_last_of_them(self):
        @time_operation
        def step():
            pass

        @time_operation_with_metrics("lambda_handler_total")
        def handler(event, context):
            step()
            log_performance_data("other", 12.3456, error="no luck")
            with hearth.invocation(context):
                step()
            self.assertNotIn(context.aws_request_id, [body["request_id"] for body in self.sent()])
            if event == "fails":
                raise KeyError

        lines = printed(lambda: handler({}, Context()))
        (body,) = self.sent()
        self.assertEqual(["step", "other", "step", "lambda_handler_total"], self.operations(body))
        self.assertEqual("r1", body["request_id"])
        self.assertEqual({"operation": "other", "duration_ms": 12.346, "error": "no luck"}, body["timings"][1])
        self.assertEqual([line["duration_ms"] for line in lines], [timing["duration_ms"] for timing in body["timings"]])
        self.assertEqual({"r1"}, {line["request_id"] for line in lines})
        self.assertGreaterEqual(body["function_ms"], body["timings"][-1]["duration_ms"])
        with self.assertRaises(KeyError):
            printed(lambda: handler("fails", Context("r2")))
        self.assertEqual("KeyError", self.sent()[1]["timings"][-1]["error"])

    def test_an_async_handler_and_what_runs_beside_it(self):
        @time_operation
        async def step():
            await asyncio.sleep(0)

        @time_operation_with_metrics("handler")
        async def handler(event, context):
            await asyncio.gather(step(), step())

        printed(lambda: asyncio.run(handler({}, Context())))
        (body,) = self.sent()
        self.assertEqual(["step", "step", "handler"], self.operations(body))

    def test_threads_belong_to_an_invocation(self):
        step = time_operation("step")(lambda: None)

        @time_operation_with_metrics("handler")
        def handler(event, context):
            ParallelExecutor(4).execute([step] * 4)
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()

        lines = printed(lambda: handler({}, Context()))
        (body,) = self.sent()
        self.assertEqual(["step"] * 5 + ["handler"], self.operations(body))
        self.assertEqual({"r1"}, {line["request_id"] for line in lines})

    def test_invocations_at_the_same_time_do_not_mix(self):
        both = threading.Barrier(2)

        @time_operation_with_metrics("handler")
        def handler(event, context):
            both.wait(10)
            for _ in range(event):
                ParallelExecutor(2).execute([time_operation(context.aws_request_id)(lambda: None)] * 2)
            stray = threading.Thread(target=time_operation("stray")(lambda: None))
            stray.start()
            stray.join()
            both.wait(10)

        def run():
            threads = [threading.Thread(target=handler, args=(n, Context(f"r{n}"))) for n in (3, 5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        lines = printed(run)
        bodies = {body["request_id"]: self.operations(body) for body in self.sent()}
        self.assertEqual({f"r{n}": [f"r{n}"] * 2 * n + ["handler"] for n in (3, 5)}, bodies)
        self.assertEqual([None, None], [line.get("request_id") for line in lines if line["operation"] == "stray"])
        self.assertEqual(2 * 8 + 4, len(lines))

    def test_a_plain_call_tells_the_request_id_and_sends_nothing(self):
        token = _invocation._own.set(None)
        self.addCleanup(_invocation._own.reset, token)
        hearth.invocation(Context("plain"))
        (line,) = printed(time_operation("step")(lambda: None))
        self.assertEqual("plain", line["request_id"])
        self.assertEqual([], self.sent())

    def test_a_context_without_a_clock(self):
        handler = time_operation("handler")(lambda event, context: _invocation.seconds_left())
        (line,) = printed(lambda: self.assertIsNone(handler({}, SimpleNamespace(aws_request_id="x" * 200))))
        self.assertEqual("x" * 128, line["request_id"])
        self.assertEqual(["x" * 128], [body["request_id"] for body in self.sent()])

    def test_a_block_of_its_own(self):
        def handler():
            with hearth.invocation(Context()):
                time_operation("step")(lambda: None)()
            with hearth.invocation(Context("r2")):
                pass  # nothing was measured

        printed(handler)
        (body,) = self.sent()
        self.assertEqual(["step"], self.operations(body))

    def test_what_has_no_request_id_is_sent_once(self):
        for _ in range(2):
            self.hearth.answers.append(DROP)
            with self.assertLogs("hearth", "WARNING") if not self.sent() else mock.MagicMock():
                printed(lambda: time_operation("handler")(lambda event, context: None)({}, Context(None)))
        self.assertEqual([["handler"], ["handler"]], [self.operations(body) for body in self.sent()])
        self.assertNotIn("request_id", self.sent()[0])

    def test_a_hundred_at_most_and_the_rest_is_told(self):
        @time_operation_with_metrics("handler")
        def handler(event, context):
            for n in range(150):
                log_performance_data(n, n)

        with self.assertLogs("hearth", "WARNING") as logs:
            self.assertEqual(151, len(printed(lambda: handler({}, Context()))))
        (body,) = self.sent()
        self.assertEqual([*map(str, range(99)), "handler"], self.operations(body))
        self.assertIn("Hearth may lack 51 timings, which the log has: an invocation has more than 100", logs.output[0])

    def test_what_the_sidecar_would_refuse_is_not_sent(self):
        @time_operation_with_metrics("")
        def handler(event, context):
            for duration in (-1, float("nan"), float("inf"), None, "soon", 10**400):
                log_performance_data("op", duration)
            log_performance_data("x" * 1000, 1, error=True)
            log_performance_data("\ud83d", 0, error=ValueError("x" * 1000))

        self.assertEqual(9, len(printed(lambda: handler({}, Context()))))
        timings = self.sent()[0]["timings"]
        self.assertEqual(["x" * 128, "?", "unnamed"], [timing["operation"] for timing in timings])
        self.assertEqual([True, "x" * 200, None], [timing.get("error") for timing in timings])

    def test_a_sidecar_that_fails_is_logged_now_and_then(self):
        handler = time_operation("handler")(lambda event, context: 7)
        for answer in (problem(400, "A field is wrong"), problem(404, "No such call"), DROP, DROP, Answer(b"?", 500)):
            self.hearth.answers.append(answer)
        results = []
        with self.assertLogs("hearth", "WARNING") as logs:
            printed(lambda: results.extend(handler({}, Context(f"r{n}")) for n in range(4)))
        self.assertEqual([7] * 4, results)
        self.assertEqual(1, len(logs.output))
        self.assertIn("Hearth may lack 1 timings, which the log has: 400 A field is wrong", logs.output[0])
        with self.assertLogs("hearth", "WARNING") as logs, mock.patch.object(_report, "_next_line", 0.0):
            self.hearth.default = Answer(b"?", 500)
            printed(lambda: handler({}, Context("later")))
        self.assertIn("4 timings", logs.output[0])

    def test_a_sidecar_that_is_silent_or_gone(self):
        end = threading.Event()
        self.addCleanup(end.set)
        default_client().healthz()  # so that a connection is open, and 50 ms are for the answer alone
        self.hearth.default = lambda seen: Answer() if end.wait(30) else Answer()
        handler = time_operation("handler")(lambda event, context: 7)
        with self.assertLogs("hearth", "WARNING") as logs, mock.patch.object(_report, "PATIENCE", 0.05):
            printed(lambda: self.assertEqual(7, handler({}, Context())))
        self.assertIn("not answered within 0.05 s", logs.output[0])
        self.forget_default_client()
        for addr in (self.closed_port(), "not an address"):
            with mock.patch.dict(os.environ, HEARTH_ADDR=addr), mock.patch.object(_report, "_next_line", 0.0):
                with self.assertLogs("hearth", "WARNING") as logs:
                    printed(lambda: self.assertEqual(7, handler({}, Context("other"))))
                self.assertEqual(1, len(logs.output))

    def test_a_request_whose_timings_were_sent(self):
        handler = time_operation("handler")(lambda event, context: 7)
        with self.assertLogs("hearth", "WARNING") as logs:
            printed(lambda: (handler({}, Context()), handler({}, Context())))
        self.assertEqual(1, len(self.sent()))
        self.assertIn("were sent already", logs.output[0])

    def test_a_task_that_outlives_its_invocation(self):
        go, done = threading.Event(), threading.Event()

        def late():
            go.wait(10)
            time_operation("late")(lambda: None)()
            done.set()

        @time_operation_with_metrics("handler")
        def handler(event, context):
            ParallelExecutor().execute_with_timeout([late], 0.01)

        with self.assertLogs("hearth", "WARNING") as logs:
            stdout = Stdout()
            printed(lambda: handler({}, Context()), stdout)
            printed(lambda: (go.set(), done.wait(10)), stdout)
        self.assertEqual(["handler", "late"], [line["operation"] for line in lines_of(stdout)])
        self.assertEqual([["handler"]], [self.operations(body) for body in self.sent()])
        self.assertIn("late ended after its invocation", logs.output[-1])

    def test_a_child_of_a_fork_sends_nothing(self):
        code = """if True:
            import os, hearth, hearth._report
            hearth._report.PATIENCE = 10
            class Context:
                aws_request_id = "r1"
                def get_remaining_time_in_millis(self): return 3000
            step = hearth.time_operation("step")(lambda: None)
            @hearth.time_operation("handler")
            def handler(event, context):
                child = os.fork()
                step()
                return child
            child = handler({}, Context())
            if child:
                os._exit(os.waitpid(child, 0)[1])
            os._exit(0)
        """
        environment = {**os.environ, "PYTHONPATH": str(Path(hearth.__file__).parent.parent)}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=20)
        self.assertEqual((0, ""), (run.returncode, run.stderr))
        self.assertEqual([["step", "handler"]], [self.operations(body) for body in self.sent()])
        self.assertEqual(8, run.stdout.count("\n"))


class WhatIsKnown(TimingsTest):
    def history(self, cache_status, age=0):
        return Answer(HISTORY, headers={"Cache-Status": cache_status, "Age": str(age)})

    def test_where_a_reply_came_from(self):
        for status, age, verdict in (
            ("hearth; hit; ttl=12", 1, "hit"),
            ("hearth; hit; ttl=0", 0, "hit"),
            ("hearth; hit; ttl=-3", 5, "stale"),
            ("hearth; fwd=miss", 0, "miss"),
            ("hearth; fwd=miss; collapsed", 0, "miss"),
            ("hearth; fwd=request", 0, "miss"),
            ("hearth; fwd=stale", 0, "miss"),
            ("hearth; fwd=stale", 9, "stale"),
            ("other", 0, None),
        ):
            self.hearth.answers.append(self.history(status, age))
            (line,) = printed(lambda: get_message_history_parallel("c", 3))
            self.assertEqual(verdict, line.get("cache"), status)
            self.assertEqual(hashlib.sha256(b"c").hexdigest()[:16], line["chat"])

    def test_a_reply_that_took_long_to_load_is_not_stale(self):
        for age, verdict in ((1, "miss"), (2, "stale")):
            self.hearth.answers.append(self.history("hearth; fwd=stale", age))
            with mock.patch.object(client, "perf_counter", side_effect=[5.0, 6.2]):
                (line,) = printed(lambda: get_message_history_parallel("c", 3))
            self.assertEqual(verdict, line["cache"])

    def test_parts(self):
        cache = {"mute_status": "hit", "relevant_messages": "miss", "odoo_models": "stale", "odd": ["x"]}
        self.hearth.answers.append(Answer({"mute_status": {"muted": False}, "cache": cache}))
        (line,) = printed(lambda: parallel_preprocessing(42, "t", "r"))
        self.assertEqual({"mute_status": "hit", "relevant_messages": "miss", "odoo_models": "stale"}, line["cache"])
        self.assertEqual(hashlib.sha256(b"42").hexdigest()[:16], line["chat"])
        self.hearth.answers += [Answer({"mute_status": {}, "cache": []}), Answer({"mute_status": {}, "cache": {"mute_status": "hit"}})]
        lines = printed(lambda: [parallel_preprocessing(42, "t", "r") for _ in range(2)])
        self.assertEqual([None, {"mute_status": "hit"}], [line.get("cache") for line in lines])

    def test_a_handler_knows_what_its_calls_know(self):
        @time_operation_with_metrics("handler")
        def handler():
            ParallelExecutor().execute([lambda: get_message_history_parallel("c")])
            get_message_history_parallel("c")
            default_client().mute("c")
            default_client().append("c", {"role": "user", "content": "Hello"})

        mute = Answer({"muted": False}, headers={"Cache-Status": "hearth; fwd=miss"})
        self.hearth.answers += [self.history("hearth; hit; ttl=-1", 2), self.history("hearth; hit; ttl=1", 2), mute, Answer({"ids": ["1"]})]
        *_, line = printed(handler)
        self.assertEqual({"history": "stale", "mute_status": "miss"}, line["cache"])
        self.assertEqual(hashlib.sha256(b"c").hexdigest()[:16], line["chat"])
        self.hearth.default = self.history("hearth; hit; ttl=1")
        *_, line = printed(time_operation("two")(lambda: [get_message_history_parallel(chat) for chat in "ab"]))
        self.assertEqual((None, "hit"), (line.get("chat"), line["cache"]))

    def test_a_function_of_the_users_own_with_the_same_name_is_measured_once(self):
        self.hearth.default = self.history("hearth; hit; ttl=1")
        mine = time_operation_with_metrics("parallel_message_history")(lambda chat: get_message_history_parallel(chat))
        (line,) = printed(lambda: mine("c"))
        self.assertEqual(("parallel_message_history", "hit"), (line["operation"], line["cache"]))
        self.assertIn("chat", line)

    def test_a_call_that_fails(self):
        self.hearth.default = problem(502, "Weaviate refused")

        def fail():
            with self.assertRaises(HearthError):
                get_message_history_parallel("c")

        (line,) = printed(fail)
        self.assertEqual({"operation", "duration_ms", "chat", "error"}, set(line))
        self.assertEqual("HearthError", line["error"])

    def test_fields_of_the_users_own_come_first(self):
        def handler(event, context):
            log_performance_data("op", 1, level="ERROR", timestamp=0, request_id="mine", cache="warm", chat="c")

        line, _ = printed(lambda: time_operation(handler)({}, Context()))
        self.assertEqual(
            {"operation": "op", "duration_ms": 1.0, "request_id": "mine", "cache": "warm", "chat": "c"}, line
        )


class Lines(TestCase):
    def test_a_line_for_people(self):
        stdout = Stdout()
        printed(lambda: [log_performance_data(name, took) for name, took in (("op", 523.4), ("a\nb\x1b\u2028c", None), ("ä", 0))], stdout)
        self.assertEqual(["[TIMING] op: 0.523s\n", "[TIMING] a b  c: unknown\n", "[TIMING] ä: 0.000s\n"], stdout.writes[::2])

    def test_a_stream_that_is_not_of_utf_8(self):
        stdout = Stdout("ascii")
        with mock.patch.object(stdout, "writes", []) as writes:
            with mock.patch("sys.stdout", stdout):
                log_performance_data("ä", 1)
        self.assertEqual(["[TIMING] ?: 0.001s\n"], writes[1:2])
        stdout.seek(0)
        self.assertIn('"operation": "?"', stdout.read())

    def test_threads_do_not_cut_each_others_lines(self):
        code = "import hearth\nop = hearth.time_operation('op')(lambda: None)\nfor _ in range(50): hearth.ParallelExecutor(8).execute([op] * 8)"
        here = Path(hearth.__file__).parent.parent
        run = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=60)
        lines = run.stdout.splitlines()
        self.assertEqual((400, 400), (sum(line.startswith("[TIMING] op: ") for line in lines), sum(line[:1] + line[-1:] == "{}" for line in lines)))
