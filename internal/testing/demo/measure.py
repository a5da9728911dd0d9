"""The demo's handler: one preprocess, as it is done with and without Hearth. Each invocation is one sample."""

import base64
import time

import direct
import handler as sample
import hearth

client = hearth.Client()


def measure(event, context):
    if event["variant"] == "handler":
        return sample.handler(event["event"], context)
    direct.trust(event["ca_file"])
    for call in (call for stage in event["stages"] or [] for call in stage):
        call["body"] = base64.b64decode(call["body"])
    start = time.perf_counter()
    if event["variant"] == "hearth":
        found = {"preprocess": ask_hearth(event)}
    else:
        found = {"replies": direct.ask(event["stages"])}
    found["ms"] = (time.perf_counter() - start) * 1000
    for name, reply in found.get("replies", {}).items():
        found["replies"][name] = base64.b64encode(reply).decode()
    return found


def ask_hearth(event):
    return client.preprocess(event["chat_id"], event["text"], event["route_name"], enable_odoo=True, num_messages=10)
