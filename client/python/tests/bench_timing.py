"""Prints what measuring costs: python3 -m tests.bench_timing >/dev/null (from client/python; the results go to stderr).

With HEARTH_SOCKET or HEARTH_ADDR of a Hearth that runs, also what sending the timings of an invocation costs.
"""

import asyncio
import os
import statistics
import sys
import time

import hearth

CALLS, ROUNDS = 2000, 15


class Context:
    """Lambda's context, with a new request id each time."""

    def __init__(self):
        self.aws_request_id = os.urandom(16).hex()

    def get_remaining_time_in_millis(self):
        return 3000


def nothing(*_):
    pass


async def async_nothing(*_):
    pass


def microseconds(function):
    """For each call: the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            function()
        rounds.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(rounds)


def async_microseconds(function):
    async def calls():
        for _ in range(CALLS):
            await function()

    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        asyncio.run(calls())
        rounds.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(rounds)


def milliseconds_to_send():
    """What the end of an invocation of five operations takes longer than without a context."""
    step = hearth.time_operation("step")(nothing)

    @hearth.time_operation_with_metrics("lambda_handler_total")
    def handler(event, context):
        for _ in range(4):
            step()

    took = {True: [], False: []}
    for n in range(1000):
        context = Context() if n % 2 else None
        start = time.perf_counter()
        handler({}, context)
        took[n % 2 == 1].append((time.perf_counter() - start) * 1000)
    sent, printed = (sorted(took[key][50:]) for key in (True, False))
    return statistics.median(sent) - statistics.median(printed), sent[len(sent) * 99 // 100] - statistics.median(printed)


def main():
    say = lambda text: print(text, file=sys.stderr)
    plain = microseconds(hearth.time_operation("operation")(nothing)) - microseconds(nothing)
    say(f"a decorated call: {plain:.1f} µs")
    coroutine = async_microseconds(hearth.time_operation("operation")(async_nothing)) - async_microseconds(async_nothing)
    say(f"a decorated async call: {coroutine:.1f} µs")
    if os.environ.get("HEARTH_SOCKET") or os.environ.get("HEARTH_ADDR"):
        say("sending an invocation's timings: %.3f ms (p50), %.3f ms (p99)" % milliseconds_to_send())


if __name__ == "__main__":
    main()
