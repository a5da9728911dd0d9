"""The demo's handler: one preprocess, as it is done with and without Hearth. Each invocation is one sample."""

import http.client
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import handler as sample
import hearth

client = hearth.Client()
tls = {}


def measure(event, context):
    if event["variant"] == "handler":
        return sample.handler(event["event"], context)
    prepare, finish = (ask_hearth, of_hearth) if event["variant"] == "hearth" else (ask_directly, of_upstreams)
    if event.get("ca_file"):
        trust(event["ca_file"])
    start = time.perf_counter()
    replies = prepare(event)
    ms = (time.perf_counter() - start) * 1000
    return {"ms": ms, "answer": finish(replies), "cache": replies.get("cache") if isinstance(replies, dict) else None}


def ask_hearth(event):
    return client.preprocess(event["chat_id"], event["text"], event["route_name"], enable_odoo=True, num_messages=10)


def ask_directly(event):
    """The replies to event["stages"]: each stage's calls at the same time, one stage after another."""
    replies = {}
    for stage in event["stages"]:
        if len(stage) == 1:
            replies[stage[0]["name"]] = send(stage[0])
            continue
        with ThreadPoolExecutor(max_workers=len(stage)) as executor:
            replies.update(zip([call["name"] for call in stage], executor.map(send, stage)))
    return replies


def trust(ca_file):
    """Read once, as a good handler does; a session is not resumed over a fresh connection in http.client."""
    if "context" not in tls:
        tls["context"] = ssl.create_default_context(cafile=ca_file)


def send(call):
    connection = http.client.HTTPSConnection(call["host"], timeout=30, context=tls["context"])
    try:
        connection.request("POST", call["path"], body=call["body"].encode(), headers=call["headers"])
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{call['name']}: {response.status} {body[:300]!r}")
        return json.loads(body)
    finally:
        connection.close()


# What both ways have to agree on.


def of_hearth(reply):
    if reply.get("errors"):
        raise RuntimeError(json.dumps(reply["errors"]))
    models = reply["odoo_models"]
    return {
        "history": [[m["id"], m["role"], m["content"]] for m in reply["history"]["all_messages"]],
        "muted": reply["mute_status"]["muted"],
        "relevant": [m["id"] for m in reply["relevant_messages"]],
        "model": models["res.partner"]["name"],
        "fields": sorted(models["res.partner"]["fields"]),
    }


def of_upstreams(replies):
    def rows(name, of_class):
        if replies[name].get("errors"):
            raise RuntimeError(json.dumps(replies[name]["errors"]))
        return replies[name]["data"]["Get"][of_class]

    history = rows("history_user", "Message") + rows("history_assistant", "Message")
    history.sort(key=lambda m: (instant(m["created_at"]), m["role"] != "user", m["_additional"]["id"]))
    return {
        "history": [[m["_additional"]["id"], m["role"], m["content"]] for m in history],
        "muted": any(m["muted"] for m in rows("mute", "ChatStatus")),
        "relevant": [m["_additional"]["id"] for m in rows("relevant", "Message")],
        "model": replies["model_name"][0]["display_name"],
        "fields": sorted(replies["model_fields"]),
    }


def instant(text):
    """A time in UTC as something that sorts: fractions of a second have no fixed length."""
    return text[:19], text[19:].strip(".Z").ljust(9, "0")
