"""Shows what running calls side by side saves: python3 test_parallel_performance.py

The first test needs nothing: its calls only wait. The second one needs a Hearth that serves on this machine, and Weaviate behind it. It
reads the histories of chats that do not exist, and writes nothing.
"""

import os
import random
import statistics
import sys
import time
import unittest

try:
    import hearth
except ImportError:  # neither installed nor on PYTHONPATH: take the one of this repository
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python"))
    import hearth

CALLS = 10
WORKERS = 5
WAIT = 0.05  # seconds: about what a call to a server in another region waits
ROUNDS = 3
LEAST = 2.0  # times as fast; with 10 calls and 5 workers it can be 5 at most, and a busy machine takes some of that


def measured(run):
    """The median of what ROUNDS runs take, in milliseconds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def show(what, ms, base):
    print(f"{what:<52}{ms:9.1f} ms{base / ms:7.1f} times as fast")


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
        client = hearth.default_client()
        try:
            client.healthz()
        except hearth.HearthError:
            print("\nNo Hearth serves here, so histories and batch() are not measured. README.md says how to start one.")
            return

        def chats():  # new ones each time: none is in the cache
            return [str(random.randrange(10**12, 10**15)) for _ in range(CALLS)]

        def history(chat):
            return client.history(chat, 10)

        def batch():
            requests = [{"method": "GET", "path": hearth.Client.chat_path(c, "history") + "?num_messages=10"} for c in chats()]
            for reply in client.batch(requests, max_parallel=WORKERS):
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


if __name__ == "__main__":
    unittest.main()
