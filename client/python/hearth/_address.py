"""Reads from the environment where the sidecar is and which token it wants."""

from __future__ import annotations

import os
import socket

from ._typing import TYPE_CHECKING
from .errors import HearthError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Optional, Union

DEFAULT_ADDR = "127.0.0.1:2774"
DEFAULT_SOCKET_IN_LAMBDA = "/tmp/hearth.sock"


class Address:
    def __init__(self, where: Union[str, tuple[str, int]], host: str, fault: str = "") -> None:
        self.where = where  # a Unix socket's path, or host and port
        self.host = host  # for the Host header
        self.fault = fault  # what is wrong with the address, if anything is

    @property
    def is_unix(self) -> bool:
        return isinstance(self.where, str)

    def __str__(self) -> str:
        return self.where if isinstance(self.where, str) else self.host


# Lambda's variables at the time of the import. A handler that assumes another role overwrites the credential in its own
# environment. The sidecar is another process and keeps the first credential.
_AT_IMPORT = {
    name: os.environ.get(name, "")
    for name in ("AWS_LAMBDA_RUNTIME_API", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
}


def addresses(env: Mapping[str, str]) -> list[Address]:
    """The addresses to try, in this order. Where there is a socket, a wrong HEARTH_ADDR is no reason to fail."""
    tcp = _tcp(_setting(env, "HEARTH_ADDR") or DEFAULT_ADDR)
    path = _setting(env, "HEARTH_SOCKET") or (_of_lambda(env).get("AWS_LAMBDA_RUNTIME_API") and DEFAULT_SOCKET_IN_LAMBDA)
    if path:
        return [Address(path, "localhost"), tcp]
    if tcp.fault:
        raise HearthError(0, "Bad configuration", tcp.fault)
    return [tcp]


def token(env: Mapping[str, str]) -> Optional[str]:
    """The value of X-Hearth-Token. Lambda's credential is the key that the value is derived with; it is never sent."""
    given = _setting(env, "HEARTH_TOKEN")
    if given:
        if any(mark < " " or "\x7f" <= mark < "\xa0" for mark in given):
            raise HearthError(0, "Bad configuration", "HEARTH_TOKEN must be one line without control characters")
        return given
    env = _of_lambda(env)
    secret = env.get("AWS_SESSION_TOKEN") or env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    if not secret or not env.get("AWS_LAMBDA_RUNTIME_API"):
        return None
    import hmac  # imported here because it loads OpenSSL, which takes 3 ms

    return hmac.new(os.fsencode(secret), b"hearth", "sha256").hexdigest()


def _setting(env: Mapping[str, str], name: str) -> str:
    return env.get(name, "").strip()  # the sidecar trims its settings too


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
