"""What is measured, and that measuring changes nothing."""

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys
import unittest
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from unittest import mock

import hearth
from hearth import ParallelExecutor, _measurement, log_performance_data, parallel_preprocessing, time_operation, time_operation_with_metrics

from .stand_in import Answer, Stdout, TestCase, printed


class Timing(unittest.TestCase):
    def test_a_function(self):
        @time_operation
        def add(a, b=1):
            """Adds."""
            return a + b

        @time_operation_with_metrics("sum")
        def total(*numbers):
            return sum(numbers)

        results = []
        lines = printed(lambda: results.extend([add(1, b=2), total(1, 2, 3)]))
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
        self.assertEqual(["named", "str"], [line["operation"] for line in printed(lambda: (named(), unnamed()))])

    def test_a_method(self):
        class Thing:
            @time_operation
            def name(self):
                return type(self).__name__

        results = []
        printed(lambda: results.append(Thing().name()))
        self.assertEqual(["Thing"], results)

    def test_a_function_that_raises(self):
        @time_operation
        def fail():
            raise KeyError("x")

        def call():
            with self.assertRaises(KeyError):
                fail()

        (line,) = printed(call)
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
        (line,) = printed(lambda: results.append(asyncio.run(wait(7))))
        self.assertEqual([7], results)
        self.assertGreaterEqual(line["duration_ms"], 19)

        def call():
            with self.assertRaises(ValueError):
                asyncio.run(wait(None))

        (line,) = printed(call)
        self.assertEqual("ValueError", line["error"])

        async def several():
            return await asyncio.gather(*(wait(n) for n in range(3)))

        self.assertEqual(3, len(printed(lambda: results.append(asyncio.run(several())))))
        self.assertEqual([0, 1, 2], results[-1])
        partial = time_operation_with_metrics("partial")(functools.partial(wait, 8))
        lines = printed(lambda: results.append(asyncio.run(partial())))
        self.assertEqual((8, ["wait", "partial"]), (results[-1], [line["operation"] for line in lines]))

    def test_one_operation_is_counted_once(self):
        inner = time_operation_with_metrics("same")(lambda: 1)
        outer = time_operation_with_metrics("same")(lambda: inner() + inner())
        other = time_operation_with_metrics("other")(lambda: inner())
        self.assertEqual(["same"], [line["operation"] for line in printed(outer)])
        self.assertEqual(["same", "other"], [line["operation"] for line in printed(other)])
        self.assertEqual(2, len(printed(lambda: (inner(), inner()))))
        self.assertEqual(4, len(printed(lambda: ParallelExecutor(2).execute([inner] * 4))))

    def test_log_performance_data(self):
        (line,) = printed(lambda: log_performance_data("op", 1.23456, chat="ä", what={1}))
        self.assertEqual({"operation": "op", "duration_ms": 1.235, "chat": "ä", "what": "{1}"}, line)
        self.assertEqual(1, len(printed(lambda: log_performance_data(operation="op", duration_ms=1))))


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def cycle():
    value = {}
    value["self"] = value
    return value


class NoMapping(dict):
    def items(self):
        raise RuntimeError("no")


class WithoutContext:
    """Like a proxy of a web framework's request outside of one."""

    def __getattr__(self, name):
        raise RuntimeError("no")


class Nameless(type):
    def __getattribute__(cls, name):
        if name == "__name__":
            raise RuntimeError("no")
        return super().__getattribute__(name)


class NamelessError(Exception, metaclass=Nameless):
    pass


class AnythingAtAll(unittest.TestCase):
    """A measurement never makes a handler fail, whatever it is given; what goes out is JSON."""

    odd = [
        None, "", "op", 0, -1, True, float("nan"), float("inf"), -float("inf"), 10**5000, 10**400, b"\xff", {1}, frozenset(),
        ("a", 1), [float("nan")], {(1, 2): 3}, {None: 1, "a": Unprintable()}, {Unprintable(): 1}, Unprintable(), object(),
        cycle(), nested(100_000), "half an emoji \ud83d", {"\ud83d": "\ud83d"}, "a\nb\u2028c", Decimal("NaN"), Decimal("1.5"),
        datetime(2026, 1, 1), lambda: 1, int, NoMapping(a=1), mock.MagicMock(), iter([1]), 1j, WithoutContext(),
    ]

    def logged(self, *arguments, **fields):
        return printed(lambda: self.assertIsNone(log_performance_data(*arguments, **fields)))

    def test_whatever_it_is_given(self):
        for value in self.odd:
            with self.subTest(type(value)):
                for line in self.logged(value, value) + self.logged("op", 1, field=value) + self.logged("op", 1, {"a": [value]}):
                    self.assertIsInstance(line["operation"], str)
                    self.assertIsInstance(line["duration_ms"], (float, type(None)))
                (line,) = self.logged("op", value)
                (line,) = self.logged(value, 1.5)
                self.assertEqual(1.5, line["duration_ms"])
                (line,) = self.logged("op", 1.5, field=value)
                self.assertEqual(("op", 1.5), (line["operation"], line["duration_ms"]))
                self.assertIn("field", line)
                self.logged("op", 1, value, value, **{"operation": value, "more": value})

    def test_no_number_is_null(self):
        for value in (None, float("nan"), float("inf"), 10**400, "soon", [], {}, Unprintable()):
            self.assertEqual([{"operation": "op", "duration_ms": None}], self.logged("op", value))
        self.assertEqual(1.235, self.logged("op", Decimal("1.23456"))[0]["duration_ms"])

    def test_odd_fields_go_out_as_text(self):
        (line,) = self.logged("op", 1, a={(1, 2): 3}, b=float("nan"), c=b"x", d={"e": {4}}, f="\ud83d", g=Unprintable())
        self.assertEqual(
            {"a": "{(1, 2): 3}", "b": "nan", "c": "b'x'", "d": {"e": "{4}"}, "f": "?", "g": "<Unprintable>"},
            {name: line[name] for name in "abcdfg"},
        )

    def test_a_dict_that_comes_third_holds_fields(self):
        fields = {"chat": "c", ("a", 1): 2, None: 3, "operation": "other", "duration_ms": 9}
        (line,) = self.logged("op", 1, fields, count=4)
        self.assertEqual({"operation": "op", "duration_ms": 1.0, "chat": "c", "('a', 1)": 2, "None": 3, "count": 4}, line)
        self.assertEqual(5, len(fields))
        self.assertEqual([{"operation": "op", "duration_ms": 1.0}], self.logged("op", 1, None))
        self.assertEqual([{"operation": "op", "duration_ms": 1.0}], self.logged("op", 1, NoMapping(a=1)))
        self.assertEqual([{"operation": "None", "duration_ms": None}], self.logged())
        self.assertEqual([{"operation": "op", "duration_ms": 1.0}], self.logged("op", 1, operation="twice"))

    def test_wherever_the_line_goes(self):
        code = """if True:
            import io, logging, os, sys, hearth
            class Raises(logging.Handler):
                def emit(self, record): raise RuntimeError("no")
            def closed():
                stream = io.StringIO()
                stream.close()
                return stream
            def broken():
                reading, writing = os.pipe()
                os.close(reading)
                return os.fdopen(writing, "w", buffering=1)
            logging.getLogger("hearth").setLevel(logging.INFO)
            @hearth.time_operation
            def work(): return 7
            for make in (closed, broken, io.BytesIO, lambda: None):
                logging.getLogger("hearth").handlers = [logging.StreamHandler(make()), Raises()]
                sys.stdout, sys.stderr = make(), make()
                hearth.log_performance_data("op", 1)
                assert work() == 7
                executor = hearth.ParallelExecutor()
                assert executor.execute([lambda: 1 / 0, work]) == [None, 7]
                os.environ["HEARTH_ADDR"] = "127.0.0.1:1"
                assert "mute_status" in hearth.parallel_preprocessing("c", "t", "r")["errors"]
            os._exit(0)
        """
        here = Path(hearth.__file__).parent.parent
        run = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=20)
        self.assertEqual((0, ""), (run.returncode, run.stderr))

    def test_decorators_with_any_name(self):
        for name in self.odd:
            if callable(name):
                continue
            for decorate in (time_operation_with_metrics(name), time_operation(name)):
                with self.subTest(type(name)):
                    self.assertEqual(7, decorate(lambda: 7)())
        self.assertEqual(7, time_operation_with_metrics(lambda: 7)(), "the name and its brackets were left out")

    def test_decorators_of_what_is_no_plain_function(self):
        class Thing:
            @time_operation
            @staticmethod
            def static(n):
                return n

            @time_operation_with_metrics("class")
            @classmethod
            def of_class(cls, n):
                return cls, n

            @time_operation
            @property
            def value(self):
                return 3

        self.assertEqual((1, (Thing, 2), 3), (Thing.static(1), Thing().of_class(2), Thing().value))
        lines = printed(lambda: (Thing.static(1), Thing.of_class(2)))
        self.assertEqual(["static", "class"], [line["operation"] for line in lines])

    def test_what_is_raised_passes_through_untouched(self):
        for problem in (
            ValueError("x"), StopIteration(3), GeneratorExit(), KeyboardInterrupt(), SystemExit(2), BaseException(), NamelessError(),
        ):

            @time_operation
            def fail():
                raise problem

            with self.subTest(type(problem)), self.assertRaises(type(problem)) as caught:
                fail()
            self.assertIs(problem, caught.exception)
            self.assertIsNone(caught.exception.__cause__)
            self.assertIsNone(caught.exception.__context__)


class Generators(unittest.TestCase):
    def test_a_generator_is_measured_to_its_end(self):
        @time_operation_with_metrics("steps")
        def steps(n):
            got = []
            for i in range(n):
                try:
                    got.append((yield i))
                except KeyError as problem:
                    got.append(problem)
            return got

        self.assertTrue(inspect.isgeneratorfunction(steps))
        problem = KeyError("x")

        def use():
            generator = steps(2)
            self.assertEqual(0, next(generator))
            self.assertEqual(1, generator.send("a"))
            with self.assertRaises(StopIteration) as end:
                generator.throw(problem)
            self.assertEqual(["a", problem], end.exception.value)

        (line,) = printed(use)
        self.assertEqual({"operation", "duration_ms"}, set(line))

    def test_generators_that_take_turns_or_are_left(self):
        @time_operation
        def numbers():
            yield 1
            yield 2

        one, other, left = numbers(), numbers(), numbers()
        next(left)

        def take_turns():
            self.assertEqual([(1, 1), (2, 2)], list(zip(one, other)))
            other.close()

        self.assertEqual(2, len(printed(take_turns)))
        (line,) = printed(left.close)
        self.assertNotIn("error", line)
        self.assertEqual(1, len(printed(lambda: list(numbers()))))

    def test_an_async_generator(self):
        @time_operation
        async def steps():
            try:
                got = yield 1
                yield got
                try:
                    yield 3
                except KeyError:
                    yield 4
            finally:
                ended.append(1)

        ended = []

        async def use():
            generator = steps()
            self.assertEqual([1, "a", 3], [await generator.__anext__(), await generator.asend("a"), await generator.__anext__()])
            self.assertEqual(4, await generator.athrow(KeyError("x")))
            with self.assertRaises(StopAsyncIteration):
                await generator.__anext__()
            async for _ in steps():
                pass
            early = steps()
            await early.__anext__()
            await early.aclose()

        self.assertTrue(inspect.isasyncgenfunction(steps))
        self.assertEqual(3, len(printed(lambda: asyncio.run(use()))))
        self.assertEqual(3, len(ended))

    def test_an_object_whose_call_is_async(self):
        class Slow:
            async def __call__(self):
                await asyncio.sleep(0.02)
                return 7

        slow = time_operation_with_metrics("slow")(Slow())
        (line,) = printed(lambda: self.assertEqual(7, asyncio.run(slow())))
        self.assertGreaterEqual(line["duration_ms"], 19)

    def test_a_coroutine_may_end_in_another_context(self):
        @time_operation
        async def wait():
            await asyncio.sleep(0)

        began = contextvars.copy_context()
        for _ in range(3):
            coroutine = wait()
            began.run(coroutine.send, None)
            contextvars.copy_context().run(coroutine.close)
        self.assertEqual(1, len(began.run(lambda: list(_measurement._around(_measurement._innermost.get())))), "they pile up")

    def test_what_began_within_an_operation_that_has_ended_is_measured(self):
        inner = time_operation("same")(lambda: None)
        left = []
        outer = time_operation("same")(lambda: left.append(contextvars.copy_context()))
        self.assertEqual(2, len(printed(lambda: (outer(), left[0].run(inner)))))

        @time_operation("other")
        async def goes_on():
            await asyncio.sleep(0)
            inner()

        @time_operation("same")
        async def starts():
            task = asyncio.ensure_future(goes_on())
            await asyncio.sleep(0)  # the task begins
            return task

        async def use():
            await (await starts())

        lines = printed(lambda: asyncio.run(use()))
        self.assertEqual(["same", "same", "other"], [line["operation"] for line in lines])


class Names(TestCase):
    def test_what_handlers_call_is_measured_under_the_name_that_dashboards_know(self):
        self.hearth.default = Answer({"mute_status": {"muted": False}, "relevant_messages": []})
        (line,) = printed(lambda: parallel_preprocessing("c", "t", "r"))
        self.assertEqual("parallel_preprocessing", line["operation"])
        self.assertNotIn("error", line)

    def test_a_preprocessing_that_got_nothing_is_marked_though_it_does_not_raise(self):
        self.hearth.default = Answer({"title": "Token missing or wrong", "status": 401}, 401)

        @time_operation_with_metrics("lambda_handler_total")
        def handler():
            return parallel_preprocessing("c", "t", "r")

        with self.assertLogs("hearth", "WARNING"):
            lines = printed(handler)
        self.assertEqual(
            [("parallel_preprocessing", "HearthError"), ("lambda_handler_total", None)],
            [(line["operation"], line.get("error")) for line in lines],
        )
