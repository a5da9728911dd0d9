"""Tasks side by side: results, failures, time limits, and what hangs."""

import contextvars
import queue
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

import hearth
from hearth import HearthError, ParallelExecutor, executor

from .stand_in import wrong


def fail():
    raise ValueError("no")


class Executor(unittest.TestCase):
    def setUp(self):
        self.over = threading.Event()
        self.addCleanup(self.over.set)

    def hang(self):
        self.over.wait(30)
        return "late"

    def threads(self):
        return [thread for thread in threading.enumerate() if thread.name == "hearth-task"]

    def let_go(self):
        self.over.set()
        for thread in self.threads():
            thread.join(10)
        self.assertEqual([], self.threads())

    def test_a_list_gives_a_list_and_a_dict_a_dict(self):
        runner = ParallelExecutor()
        squares = [lambda n=n: n * n for n in range(20)]
        self.assertEqual([n * n for n in range(20)], runner.execute(squares))
        self.assertEqual([0, 1], runner.execute(squares[:2]))
        self.assertEqual((0, 1), tuple(runner.execute(task for task in squares[:2])))
        self.assertEqual({"b": 1, "a": 0}, runner.execute({"b": squares[1], "a": squares[0]}))
        self.assertEqual(["b", "a"], list(runner.execute({"b": squares[1], "a": squares[0]})))
        self.assertEqual([0, 1], runner.execute_with_timeout(squares[:2], timeout=10))
        self.assertEqual({"a": 0}, runner.execute_with_timeout({"a": squares[0]}))
        self.assertEqual({}, runner.errors)

    def test_a_task_may_be_a_function_and_its_arguments(self):
        runner = ParallelExecutor()
        self.assertEqual([3, 5, 7], runner.execute([(max, 1, 3), lambda: 5, (int, "7")]))
        self.assertEqual({"a": 3, "b": 5}, runner.execute({"a": (max, 1, 3), "b": lambda: 5}))
        self.assertEqual([3], runner.execute_with_timeout([(max, 1, 3)], 10))
        with self.assertLogs("hearth", "ERROR"):
            self.assertEqual([None, None, None, 1], runner.execute(wrong((), (7, 8), "no function", lambda: 1)))
        self.assertEqual([0, 1, 2], sorted(runner.errors))

    def test_nothing_to_do(self):
        runner = ParallelExecutor()
        self.assertEqual([], runner.execute([]))
        self.assertEqual({}, runner.execute({}))
        self.assertEqual([], runner.execute_with_timeout([], 0))
        self.assertEqual([], runner.execute_batch(str, [], 3))

    def test_a_task_that_fails_gives_none(self):
        runner = ParallelExecutor()
        with self.assertLogs("hearth", "ERROR") as logs:
            self.assertEqual([1, None, 3], runner.execute([lambda: 1, fail, lambda: 3]))
        self.assertEqual([1], list(runner.errors))
        self.assertIsInstance(runner.errors[1], ValueError)
        self.assertIn("ValueError('no')", logs.output[0])
        with self.assertLogs("hearth", "ERROR"):
            self.assertEqual({"a": None, "b": 2}, runner.execute({"a": fail, "b": lambda: 2}))
        self.assertEqual(["a"], list(runner.errors))
        self.assertEqual([{}], runner.execute([lambda: dict(runner.errors)]), "a call begins without the errors of the last one")
        with self.assertLogs("hearth", "ERROR"):
            runner.execute([fail])
        runner.execute([lambda: 1])
        self.assertEqual({}, runner.errors)

    def test_also_one_that_wants_to_exit(self):
        runner = ParallelExecutor(max_workers=1)
        with self.assertLogs("hearth", "ERROR"):
            self.assertEqual([None, 2], runner.execute([sys.exit, lambda: 2]))
        self.assertIsInstance(runner.errors[0], SystemExit)

    def test_runs_side_by_side_but_not_more_than_allowed(self):
        together = threading.Barrier(3)
        self.assertEqual([1, 1, 1], ParallelExecutor(3).execute([lambda: together.wait(10) and 1 or 1] * 3))

        lock, running, peak = threading.Lock(), [0], [0]

        def task():
            with lock:
                running[0] += 1
                peak[0] = max(peak[0], running[0])
            time.sleep(0.002)
            with lock:
                running[0] -= 1

        ParallelExecutor(3).execute([task] * 30)
        self.assertEqual(3, peak[0])

    def test_one_deadline_for_all(self):
        runner = ParallelExecutor(2)
        start = time.monotonic()
        with self.assertLogs("hearth", "ERROR"):
            result = runner.execute_with_timeout({"quick": lambda: 1, "a": self.hang, "b": self.hang, "never": lambda: 2}, 0.1)
        took = time.monotonic() - start
        self.assertEqual({"quick": 1, "a": None, "b": None, "never": None}, result)
        self.assertEqual({"a", "b", "never"}, set(runner.errors))
        for error in runner.errors.values():
            self.assertIsInstance(error, TimeoutError)
        self.assertTrue(0.1 <= took < 5, took)
        self.let_go()
        self.assertIsNone(result["a"], "a result that came too late was still put in")

    def test_the_deadline_is_the_calls_and_not_each_results(self):
        """Three tasks that end at 0.8, 1.6 and 2.4 of the timeout."""
        clock = mock.Mock()
        clock.monotonic.return_value = 100.0

        class Results(queue.Queue):
            def get(self, block=True, timeout=None):
                result = super().get(timeout=10)
                if timeout is not None and timeout < 8:
                    raise queue.Empty
                clock.monotonic.return_value += 8
                return result

        with mock.patch.multiple(executor, Queue=Results, time=clock), self.assertLogs("hearth", "ERROR"):
            runner = ParallelExecutor(1)
            self.assertEqual([1, None, None], runner.execute_with_timeout([lambda: 1, lambda: 2, lambda: 3], 10))
        self.assertEqual({1, 2}, set(runner.errors))

    def test_what_has_not_begun_in_time_never_does(self):
        begun = []
        with self.assertLogs("hearth", "ERROR"):
            ParallelExecutor(1).execute_with_timeout([self.hang, lambda: begun.append(1)], 0.05)
        self.let_go()
        self.assertEqual([], begun)

    def test_tasks_that_keep_hanging_do_not_pile_up(self):
        with mock.patch.object(executor, "_slots", threading.BoundedSemaphore(4)):
            runner = ParallelExecutor(3)
            with self.assertLogs("hearth", "ERROR"):
                for _ in range(6):
                    ParallelExecutor(3).execute_with_timeout([self.hang, self.hang], 0.02)
                self.assertEqual(4, len(self.threads()))
                self.assertEqual([None], runner.execute_with_timeout([lambda: 1], 0.02))
            self.assertIsInstance(runner.errors[0], TimeoutError)
            self.assertEqual([1, 2], runner.execute([lambda: 1, lambda: 2]), "with no thread left, the caller does it")
            self.let_go()
            self.assertEqual([1], runner.execute_with_timeout([lambda: 1], 10))

    def test_all_executors_together_have_128_threads_at_most(self):
        with mock.patch.object(executor, "_slots", threading.BoundedSemaphore(executor.MAX_THREADS)):
            for _ in range(2):
                with self.assertLogs("hearth", "ERROR"):
                    ParallelExecutor(100).execute_with_timeout([self.hang] * 100, 0.02)
            self.assertEqual(128, len(self.threads()))
            self.let_go()

    def test_two_tasks_start_two_threads_at_most(self):
        with mock.patch.object(executor, "_start", wraps=executor._start) as start:
            ParallelExecutor(5).execute([lambda: 1] * 2)
        self.assertEqual(2, start.call_args[0][0])

    def test_a_batch_has_no_deadline(self):
        with mock.patch.object(executor, "_run", return_value=({0: 1}, {})) as run:
            self.assertEqual([1], ParallelExecutor(3).execute_batch(str, [1], 1))
        self.assertEqual((3, None), run.call_args[0][1:])

    def test_a_deadline_that_is_over_at_once_does_not_block(self):
        runner, ended = ParallelExecutor(1), threading.Event()

        def call():
            with mock.patch.object(executor, "log_quietly"), mock.patch.object(executor, "_start", return_value=1):
                for turn in range(20000):
                    runner.execute_with_timeout([self.hang], (turn % 4) * 1e-6)
            ended.set()

        threading.Thread(target=call, daemon=True).start()
        self.assertTrue(ended.wait(120))

    def test_a_task_waits_for_a_thread_until_the_deadline(self):
        with mock.patch.object(executor, "_slots", threading.BoundedSemaphore(1)):
            runner = ParallelExecutor()
            with self.assertLogs("hearth", "ERROR"):
                runner.execute_with_timeout([self.hang], 0.02)
            threading.Timer(0.02, self.over.set).start()
            self.assertEqual([1], runner.execute_with_timeout([lambda: 1], 10))

    def test_when_the_system_has_no_threads(self):
        with mock.patch.object(executor, "_slots", threading.BoundedSemaphore(1)):
            with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
                self.assertEqual([1, 2], ParallelExecutor().execute([lambda: 1, lambda: 2]))
            self.assertEqual([1, 2], ParallelExecutor().execute_with_timeout([lambda: 1, lambda: 2], 10))

    def test_a_task_may_use_its_own_executor(self):
        for slots in (executor.MAX_THREADS, 2):
            with mock.patch.object(executor, "_slots", threading.BoundedSemaphore(slots)):
                runner = ParallelExecutor(2)
                leaf = lambda: runner.execute([lambda: 1] * 3)
                branch = lambda: runner.execute([leaf] * 3)
                outcome = []
                thread = threading.Thread(target=lambda: outcome.append(runner.execute([branch] * 3)), daemon=True)
                thread.start()
                thread.join(20)
                self.assertEqual([[[[1] * 3] * 3] * 3], outcome)

    def test_many_threads_may_use_one_executor(self):
        runner, outcomes = ParallelExecutor(4), []
        use = lambda n: outcomes.append((n, runner.execute([lambda: n] * 5)))
        threads = [threading.Thread(target=use, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([(n, [n] * 5) for n in range(10)], sorted(outcomes))

    def test_tasks_see_the_callers_context_and_leave_it_alone(self):
        var = contextvars.ContextVar("var")
        var.set("caller")

        def task():
            seen = var.get()
            var.set("task")
            return seen

        self.assertEqual(["caller"] * 4, ParallelExecutor(2).execute([task] * 4))
        self.assertEqual("caller", var.get())

    def test_batches(self):
        runner, together = ParallelExecutor(5), threading.Barrier(2)

        def double(n):
            together.wait(10)  # only ever two at a time, so the batches are of two
            return n * 2

        self.assertEqual([0, 2, 4, 6], runner.execute_batch(double, range(4), 2))
        with self.assertLogs("hearth", "ERROR"):
            self.assertEqual([1.0, None, 0.5, None, 0.25], runner.execute_batch(lambda n: 1 / n, [1, 0, 2, 0, 4], batch_size=2))
        self.assertEqual({1, 3}, set(runner.errors))
        self.assertEqual(["1", "2"], runner.execute_batch(str, iter([1, 2]), 10))
        (none,) = wrong(None)
        with self.assertLogs("hearth", "ERROR"):
            self.assertEqual([None, None], runner.execute_batch(none, [1, 2], 10))
        self.assertEqual([TypeError, TypeError], [type(problem) for problem in runner.errors.values()])

    def test_arguments(self):
        for bad in wrong(0, -1, 1.5, "3", None, True):
            with self.subTest(bad), self.assertRaises(ValueError):
                ParallelExecutor(bad)
            with self.subTest(bad), self.assertRaises(ValueError):
                ParallelExecutor().execute_batch(str, [1], bad)
        ParallelExecutor(max_workers=1)
        for timeout in wrong("soon", float("nan"), [], object()):
            with self.subTest(timeout), self.assertRaisesRegex(HearthError, "timeout must be a number"):
                ParallelExecutor().execute_with_timeout([lambda: 1], timeout)
        for call in (lambda r: r.execute(None), lambda r: r.execute(7)):
            with self.assertRaisesRegex(HearthError, "tasks must be a list"):
                call(ParallelExecutor())
        (none,) = wrong(None)
        with self.assertRaisesRegex(HearthError, "items must be a list"):
            ParallelExecutor().execute_batch(str, none, 1)
        self.assertEqual([1], ParallelExecutor().execute_with_timeout([lambda: 1], float("inf")))

    def test_no_thread_is_left_after_a_normal_call(self):
        ParallelExecutor(5).execute([lambda: 1] * 20)
        for thread in self.threads():
            thread.join(10)
        self.assertEqual([], self.threads())

    def test_a_task_that_hangs_does_not_hold_up_the_interpreters_exit(self):
        code = (
            "import threading; from hearth import ParallelExecutor\n"
            "print(ParallelExecutor().execute_with_timeout([threading.Event().wait, lambda: 1], 0.05))"
        )
        here = Path(hearth.__file__).parent.parent
        run = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=20)
        self.assertEqual((0, "[None, 1]"), (run.returncode, run.stdout.strip()), run.stderr)
