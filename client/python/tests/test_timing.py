"""What is measured, and that measuring changes nothing."""

import asyncio
import functools
import inspect
import json
import unittest

from hearth import ParallelExecutor, log_performance_data, parallel_preprocessing, time_operation, time_operation_with_metrics

from .stand_in import Answer, TestCase


class Timing(unittest.TestCase):
    def logged(self, call):
        """The lines of JSON that a call logs."""
        with self.assertLogs("hearth", "INFO") as logs:
            call()
        return [json.loads(record.getMessage()) for record in logs.records]

    def test_a_function(self):
        @time_operation
        def add(a, b=1):
            """Adds."""
            return a + b

        @time_operation_with_metrics("sum")
        def total(*numbers):
            return sum(numbers)

        results = []
        lines = self.logged(lambda: results.extend([add(1, b=2), total(1, 2, 3)]))
        self.assertEqual([3, 6], results)
        self.assertEqual(["add", "sum"], [line["operation"] for line in lines])
        for line in lines:
            self.assertEqual({"operation", "duration_ms"}, set(line))
            self.assertGreaterEqual(line["duration_ms"], 0)
        self.assertEqual(("add", "Adds."), (add.__name__, add.__doc__))
        self.assertTrue(callable(add.__wrapped__))

    def test_with_a_name_or_empty_brackets(self):
        named = time_operation("named")(lambda: 1)
        unnamed = time_operation()(str)
        self.assertEqual(["named", "str"], [line["operation"] for line in self.logged(lambda: (named(), unnamed()))])

    def test_a_method(self):
        class Thing:
            @time_operation
            def name(self):
                return type(self).__name__

        results = []
        self.logged(lambda: results.append(Thing().name()))
        self.assertEqual(["Thing"], results)

    def test_a_function_that_raises(self):
        @time_operation
        def fail():
            raise KeyError("x")

        def call():
            with self.assertRaises(KeyError):
                fail()

        (line,) = self.logged(call)
        self.assertEqual(("fail", "KeyError"), (line["operation"], line["error"]))

    def test_an_async_function(self):
        @time_operation_with_metrics("wait")
        async def wait(result):
            await asyncio.sleep(0.02)
            if result is None:
                raise ValueError
            return result

        self.assertTrue(inspect.iscoroutinefunction(wait))
        results = []
        (line,) = self.logged(lambda: results.append(asyncio.run(wait(7))))
        self.assertEqual([7], results)
        self.assertGreaterEqual(line["duration_ms"], 19)

        def call():
            with self.assertRaises(ValueError):
                asyncio.run(wait(None))

        (line,) = self.logged(call)
        self.assertEqual("ValueError", line["error"])

        async def several():
            return await asyncio.gather(*(wait(n) for n in range(3)))

        self.assertEqual(3, len(self.logged(lambda: results.append(asyncio.run(several())))))
        self.assertEqual([0, 1, 2], results[-1])
        partial = time_operation_with_metrics("partial")(functools.partial(wait, 8))
        lines = self.logged(lambda: results.append(asyncio.run(partial())))
        self.assertEqual((8, ["wait", "partial"]), (results[-1], [line["operation"] for line in lines]))

    def test_one_operation_is_counted_once(self):
        inner = time_operation_with_metrics("same")(lambda: 1)
        outer = time_operation_with_metrics("same")(lambda: inner() + inner())
        other = time_operation_with_metrics("other")(lambda: inner())
        self.assertEqual(["same"], [line["operation"] for line in self.logged(outer)])
        self.assertEqual(["same", "other"], [line["operation"] for line in self.logged(other)])
        self.assertEqual(2, len(self.logged(lambda: (inner(), inner()))))
        self.assertEqual(4, len(self.logged(lambda: ParallelExecutor(2).execute([inner] * 4))))

    def test_log_performance_data(self):
        (line,) = self.logged(lambda: log_performance_data("op", 1.23456, chat="ä", what={1}))
        self.assertEqual({"operation": "op", "duration_ms": 1.235, "chat": "ä", "what": "{1}"}, line)
        self.assertEqual(1, len(self.logged(lambda: log_performance_data(operation="op", duration_ms=1))))


class Names(TestCase):
    def test_what_handlers_call_is_measured_under_the_name_that_dashboards_know(self):
        self.hearth.default = Answer({"mute_status": {"muted": False}, "relevant_messages": []})
        with self.assertLogs("hearth", "INFO") as logs:
            parallel_preprocessing("c", "t", "r")
        self.assertEqual(["parallel_preprocessing"], [json.loads(record.getMessage())["operation"] for record in logs.records])
