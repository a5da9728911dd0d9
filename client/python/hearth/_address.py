"""Where the sidecar is and what it asks for, read from the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple, Optional, Union

from .errors import HearthError

DEFAULT_ADDR = "127.0.0.1:2774"
DEFAULT_SOCKET_IN_LAMBDA = "/tmp/hearth.sock"


class Address(NamedTuple):
    where: Union[str, tuple[str, int]]  # a Unix socket's path, or host and port
    host: str  # for the Host header
    fault: str = ""  # why nobody can be found there

    @property
    def is_unix(self) -> bool:
        return isinstance(self.where, str)

    def __str__(self) -> str:
        return self.where if isinstance(self.where, str) else self.host


# Lambda's variables as they were when this was imported. Handlers that take on another role overwrite the credential,
# and Hearth, a process of its own, goes on with the first one.
_AT_IMPORT = {
    name: os.environ.get(name, "")
    for name in ("AWS_LAMBDA_RUNTIME_API", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
}


def addresses(env: Mapping[str, str]) -> list[Address]:
    """Where to look for the sidecar, in this order. A wrong HEARTH_ADDR does not stand in a socket's way."""
    tcp = _tcp(_setting(env, "HEARTH_ADDR") or DEFAULT_ADDR)
    path = _setting(env, "HEARTH_SOCKET") or (_of_lambda(env).get("AWS_LAMBDA_RUNTIME_API") and DEFAULT_SOCKET_IN_LAMBDA)
    if path:
        return [Address(path, "localhost"), tcp]
    if tcp.fault:
        raise HearthError(0, "Bad configuration", tcp.fault)
    return [tcp]


def token(env: Mapping[str, str]) -> Optional[str]:
    """What X-Hearth-Token has to say. Lambda's own credential is the key it is made with, and never travels."""
    given = _setting(env, "HEARTH_TOKEN")
    if given:
        if any(mark < " " or "\x7f" <= mark < "\xa0" for mark in given):
            raise HearthError(0, "Bad configuration", "HEARTH_TOKEN must be one line without control characters")
        return given
    env = _of_lambda(env)
    secret = env.get("AWS_SESSION_TOKEN") or env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    if not secret or not env.get("AWS_LAMBDA_RUNTIME_API"):
        return None
    import hmac  # brings OpenSSL along: 3 ms, spared where no token is asked for

    return hmac.new(os.fsencode(secret), b"hearth", "sha256").hexdigest()


def _setting(env: Mapping[str, str], name: str) -> str:
    return env.get(name, "").strip()  # as the sidecar reads it


def _of_lambda(env: Mapping[str, str]) -> Mapping[str, str]:
    """The environment to read Lambda's variables from."""
    return _AT_IMPORT if _AT_IMPORT.get("AWS_LAMBDA_RUNTIME_API") else env


def _tcp(addr: str) -> Address:
    host, _, port = addr.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_loopback(host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return Address(("", 0), addr, f"HEARTH_ADDR must be a loopback host and a port, not {addr!r}")
    return Address((host, int(port)), addr)


def _is_loopback(host: str) -> bool:
    for family, prefix in ((socket.AF_INET, b"\x7f"), (socket.AF_INET6, bytes(15) + b"\x01")):
        try:
            return socket.inet_pton(family, host).startswith(prefix)
        except (OSError, ValueError):
            pass  # not of this family
    return host == "localhost"
