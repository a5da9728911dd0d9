"""One preprocess, as it is done without Hearth: the calls that the package direct lists, over connections of their own."""

import http.client
import ssl
from concurrent.futures import ThreadPoolExecutor

import grpc

tls = {}


def ask(stages):
    """The replies: each stage's calls at the same time, one stage after another."""
    replies = {}
    for stage in stages:
        if len(stage) == 1:
            replies[stage[0]["name"]] = send(stage[0])
            continue
        with ThreadPoolExecutor(max_workers=len(stage)) as executor:
            replies.update(zip([call["name"] for call in stage], executor.map(send, stage)))
    return replies


def trust(ca_file):
    """Read once, as a good handler does; a session is not resumed over a fresh connection."""
    if not tls:
        with open(ca_file, "rb") as file:
            tls["grpc"] = grpc.ssl_channel_credentials(file.read())
        tls["http"] = ssl.create_default_context(cafile=ca_file)


def send(call):
    """One call over a connection of its own. The reply is read after the time was taken, which favours these ways."""
    return search(call) if call["grpc"] else post(call)


def search(call):
    """Without the option channels share connections: this one would not be new."""
    with grpc.secure_channel(call["host"], tls["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return channel.unary_unary(call["path"])(call["body"], timeout=30)


def post(call):
    connection = http.client.HTTPSConnection(call["host"], timeout=30, context=tls["http"])
    try:
        connection.request("POST", call["path"], body=call["body"], headers=call["headers"])
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{call['name']}: {response.status} {body[:300]!r}")
        return body
    finally:
        connection.close()
