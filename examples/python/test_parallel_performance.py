"""Shows what running calls side by side saves: python3 test_parallel_performance.py

The first test needs nothing: its calls only wait. The others need a Hearth that serves on this machine, and Weaviate behind it. They
ask about chats that do not exist, and write nothing.
"""

import contextlib
import io
import os
import random
import statistics
import sys
import time
import unittest
import uuid

try:
    import hearth
except ImportError:  # neither installed nor on PYTHONPATH: take the one of this repository
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python"))
    import hearth

CALLS = 10
WORKERS = 5
WAIT = 0.05  # seconds: about what a call to a server in another region waits
ROUNDS = 3
TURNS = 9
LEAST = 2.0  # times as fast; with 10 calls and 5 workers it can be 5 at most, and a busy machine takes some of that


def measured(run, rounds=ROUNDS):
    """The median of what the runs take, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def show(what, ms, base):
    print(f"{what:<52}{ms:9.1f} ms{base / ms:7.1f} times as fast")


def new_chat(as_number):
    """The id of a chat that does not exist, so that nothing of it is in the cache. Some classes take only whole numbers."""
    return str(random.randrange(10**12, 10**15)) if as_number else str(uuid.uuid4())


def serving():
    """A client, or None if no Hearth serves here; and whether the ids of chats are whole numbers."""
    client = hearth.default_client()
    try:
        client.healthz()
    except hearth.HearthError:
        print("\nNo Hearth serves here, so its calls are not measured. README.md says how to start one.")
        return None, False
    try:
        client.mute(new_chat(False))
    except hearth.HearthError as problem:
        if problem.field != "chat_id":
            raise
        return client, True
    return client, False


class ParallelPerformance(unittest.TestCase):
    def test_the_executor_is_faster_than_one_call_after_another(self):
        executor = hearth.ParallelExecutor(max_workers=WORKERS)

        def call(number):
            time.sleep(WAIT)  # stands for a call that waits for a server
            return number

        numbers = list(range(CALLS))
        print(f"\n{CALLS} calls that wait {WAIT * 1000:.0f} ms each, median of {ROUNDS} rounds:")
        one_by_one = measured(lambda: [call(n) for n in numbers])
        show("one after another", one_by_one, one_by_one)

        def in_parallel():
            self.assertEqual(executor.execute([(call, n) for n in numbers]), numbers)

        parallel = measured(in_parallel)
        show(f"ParallelExecutor(max_workers={WORKERS})", parallel, one_by_one)
        self.assertGreater(one_by_one / parallel, LEAST)

    def test_a_batch_is_one_request(self):
        client, as_number = serving()
        if client is None:
            return

        def chats():
            return [new_chat(as_number) for _ in range(CALLS)]

        def history(chat):
            return client.history(chat, 10)

        def batch():
            paths = [hearth.Client.chat_path(c, "history") + "?num_messages=10" for c in chats()]
            for reply in client.batch(({"method": "GET", "path": path} for path in paths), max_parallel=WORKERS):
                self.assertEqual(reply["status"], 200, reply)

        def in_parallel():
            executor = hearth.ParallelExecutor(max_workers=WORKERS)
            executor.execute([(history, c) for c in chats()])
            self.assertEqual(executor.errors, {})

        print(f"\nHistories of {CALLS} chats through Hearth, none of them held, median of {ROUNDS} rounds:")
        one_by_one = measured(lambda: [history(c) for c in chats()])
        show("one after another", one_by_one, one_by_one)
        show(f"ParallelExecutor(max_workers={WORKERS})", measured(in_parallel), one_by_one)
        show(f"batch(max_parallel={WORKERS}), one request", measured(batch), one_by_one)

    def test_a_turn_in_one_call(self):
        client, as_number = serving()
        if client is None:
            return

        def preprocess(chat):
            self.assertNotIn("errors", hearth.parallel_preprocessing(chat, "Hi", "chat"))

        def relevant(chat):
            hearth.get_relevant_messages_parallel(chat, "Hi")

        def together(chat):
            executor = hearth.ParallelExecutor()
            executor.execute([(hearth.get_message_history_parallel, chat), (preprocess, chat)])
            self.assertEqual(executor.errors, {})

        def one_call(chat):
            self.assertNotIn("errors", client.preprocess(chat, "Hi", "chat", num_messages=10))

        def one_after_another(*calls):
            return lambda chat: [call(chat) for call in calls]

        ways = {
            "history, relevant, preprocess": one_after_another(hearth.get_message_history_parallel, relevant, preprocess),
            "history, preprocess": one_after_another(hearth.get_message_history_parallel, preprocess),
            "relevant, preprocess": one_after_another(relevant, preprocess),
            "preprocess, relevant": one_after_another(preprocess, relevant),
            "history and preprocess in one execute": together,
            "client.preprocess(num_messages=10)": one_call,
        }
        took = {}
        for way, run in ways.items():
            with contextlib.redirect_stdout(io.StringIO()):  # without the lines with timings
                took[way] = measured(lambda run=run: run(new_chat(as_number)), TURNS)
        print(f"\nOne turn of a chat of which nothing is held, median of {TURNS} rounds:")
        for way, ms in took.items():
            show(way, ms, took["history, relevant, preprocess"])


if __name__ == "__main__":
    unittest.main()
