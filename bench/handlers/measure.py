"""A handler that measures its own calls. Each line that it reads is a job; for each it writes a line with what every call took.

A job is {"way", "chat", "text", "route", "calls", "seconds", "stages", "ca_file"}. It ends after so many calls or so many seconds,
whichever it has.
"""

import base64
import json
import os
import sys
import time

import hearth

client = hearth.default_client()


def main():
    results = sys.stdout
    with open(os.devnull, "w", encoding="utf-8") as sys.stdout:  # hearth's lines with timings, which Lambda takes into the log
        print(json.dumps({"grpc": has_grpc()}), file=results, flush=True)
        for line in sys.stdin:
            print(json.dumps(measured(json.loads(line))), file=results, flush=True)


def has_grpc():
    try:
        import grpc  # noqa: F401
    except ImportError:
        return False
    return True


def measured(job):
    """The microseconds that each call took."""
    call = ways[job["way"]](job)
    samples = []
    end = time.perf_counter() + job["seconds"] if job["seconds"] else float("inf")
    while len(samples) < (job["calls"] or sys.maxsize) and (began := time.perf_counter()) < end:
        call()
        samples.append((time.perf_counter() - began) * 1e6)
    return samples


def history(job):
    return lambda: hearth.get_message_history_parallel(job["chat"])


def preprocess(job):
    def call():
        found = client.preprocess(job["chat"], job["text"], job["route"], enable_odoo=True, num_messages=10)
        if set(found["cache"].values()) != {"hit"} or len(found["cache"]) != 4:
            raise RuntimeError(f"not all parts were held: {found['cache']}")

    return call


def straight(job):
    import direct

    direct.trust(job["ca_file"])
    stages = [[dict(call, body=base64.b64decode(call["body"])) for call in stage] for stage in job["stages"]]
    return lambda: direct.ask(stages)


ways = {"history": history, "preprocess": preprocess, "direct": straight}

if __name__ == "__main__":
    main()
