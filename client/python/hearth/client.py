"""Every call of the sidecar, as a method."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _address, _arguments
from ._arguments import ChatID, floats, seconds, texts
from ._transport import Transport
from .errors import HearthError, decoded
from .timing import logger, quietly

DEFAULT_TIMEOUT = 30.0
if TYPE_CHECKING:
    from datetime import datetime

MAX_TIMEOUT_MS = 900_000  # of a preprocess

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Models(dict[str, Any]):
    """Odoo models by name: {name: {name, fields}}. errors has a HearthError for each one that could not be had."""

    errors: dict[str, HearthError]


class Client:
    """A client of the sidecar. Safe for threads and across fork; make one and keep it, for its connections.

    Where the sidecar is and what token it wants are read from the environment here and now; only Lambda's own variables
    are taken as they were when this package was imported. So import it before the handler overwrites AWS_SESSION_TOKEN:
    the token is derived from the one that the sandbox began with.

    Methods return what the reply holds, decoded from JSON, and raise HearthError when there is no answer, or when an
    argument is of no use: its field names the argument. A chat_id that is an int is its decimal string. Times are seconds
    unless the name says otherwise; cache_control is the request's Cache-Control, such as "no-cache" or "max-stale=60".
    """

    def __init__(
        self, *, timeout: Optional[float] = None, connect_timeout: float = 1.0, max_connections: int = 16
    ) -> None:
        self._timeout = None if timeout is None else seconds("timeout", timeout)
        self._transport = Transport(
            _address.addresses(os.environ),
            _address.token(os.environ),
            seconds("connect_timeout", connect_timeout),
            _arguments.at_least_one("max_connections", max_connections),
        )

    # Chats

    def history(
        self,
        chat_id: ChatID,
        num_messages: int = 10,
        full_text_len: int = 5,
        cache_control: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> dict[str, Any]:
        """{chat_id, msg_history, all_messages, user_messages, assistant_messages}, oldest first."""
        query = {"num_messages": num_messages, "full_text_len": full_text_len}
        return self._call(
            "GET", _chat(chat_id, "history"), query=query, cache_control=cache_control, timeout=timeout
        )

    def relevant(
        self,
        chat_id: ChatID,
        text: str,
        count: int = 5,
        mode: str = "auto",
        vector: Optional[Iterable[float]] = None,
        roles: Optional[Sequence[str]] = None,
        cache_control: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> list[dict[str, Any]]:
        """The messages of the chat that bear on text, best first. Modes: auto, bm25, near_text, near_vector, hybrid.

        The list has an attribute, mode: the one that was used.
        """
        body = _given(
            text=text, count=count, mode=mode, vector=floats("vector", vector), roles=texts("roles", roles)
        )
        reply = self._call(
            "POST", _chat(chat_id, "relevant"), body, cache_control=cache_control, timeout=timeout
        )
        return RelevantMessages(field(reply, "relevant_messages", list), reply.get("mode"))

    def mute(
        self, chat_id: ChatID, cache_control: Optional[str] = None, *, timeout: Optional[float] = None
    ) -> dict[str, Any]:
        """{muted, until?}: whether the bot is muted in this chat, under "muted"."""
        return self._call("GET", _chat(chat_id, "mute"), cache_control=cache_control, timeout=timeout)

    def set_mute(
        self,
        chat_id: ChatID,
        muted: bool,
        until: Union[str, datetime, None] = None,
        *,
        timeout: Optional[float] = None,
    ) -> dict[str, Any]:
        """Mutes the chat, until then if a time is given, or unmutes it."""
        from ._message import rfc3339  # brings datetime along, spared until something is written

        body = _given(muted=muted, until=rfc3339("until", until))
        return self._call("PUT", _chat(chat_id, "mute"), body, timeout=timeout)

    def append(
        self,
        chat_id: ChatID,
        messages: Union[Mapping[str, Any], Sequence[Mapping[str, Any]]],
        *,
        timeout: Optional[float] = None,
    ) -> list[str]:
        """Writes a message {role, content, id?, created_at?, vector?, properties?}, or several; their ids, in order.

        id and created_at are filled in where they are missing. Give the ids yourself if you may write the same
        messages again: what has been written already is then written over, not written twice.
        """
        from ._message import stamped  # brings datetime along, spared until something is written

        body = stamped(messages)
        reply = self._call("POST", _chat(chat_id, "messages"), body, timeout=timeout)
        return field(reply, "ids", list)

    def preprocess(
        self,
        chat_id: ChatID,
        text: str,
        route_name: str,
        relevant_count: int = 5,
        enable_odoo: bool = False,
        *,
        num_messages: Optional[int] = None,
        full_text_len: Optional[int] = None,
        timeout_ms: Optional[int] = None,
        vector: Optional[Iterable[float]] = None,
        cache_control: Optional[str] = None,
    ) -> dict[str, Any]:
        """Mute status, relevant messages, on some routes the Odoo models, and with num_messages the history, at once.

        {chat_id, mute_status, relevant_messages, odoo_models, history?, errors?, cache, timings}. A part that failed is
        missing, and errors says why. After timeout_ms the sidecar answers with the parts that it has.
        """
        if timeout_ms is None and self._timeout is not None:
            timeout_ms = min(max(1, int(self._timeout * 1000)), MAX_TIMEOUT_MS)
        # The parts that are there in time are worth more than a timeout here: leave the sidecar the time to say so.
        patience = (seconds("timeout_ms", timeout_ms, 0.001) if timeout_ms else DEFAULT_TIMEOUT) + 1
        body = _given(
            chat_id=_arguments.chat(chat_id),
            text=text,
            route_name=route_name,
            relevant_count=relevant_count,
            enable_odoo=enable_odoo,
            num_messages=num_messages,
            full_text_len=full_text_len,
            timeout_ms=timeout_ms,
            vector=floats("vector", vector),
        )
        return self._call("POST", "/v1/preprocess", body, cache_control=cache_control, timeout=patience)

    # Odoo

    def odoo_models(
        self,
        names: Union[str, Iterable[str], None] = None,
        cache_control: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Models:
        """{name: {name, fields}} of these models, or of those in HEARTH_ODOO_MODELS.

        Those that could not be had are missing, and the result's errors says why; if none could, it is a HearthError.
        """
        listed = texts("names", names)
        query = _given(names=",".join(listed) if isinstance(listed, list) else listed)
        reply = self._call("GET", "/v1/odoo/models", query=query, cache_control=cache_control, timeout=timeout)
        models = Models(field(reply, "models", dict))
        errors = reply.get("errors")
        models.errors = {n: HearthError.of_problem(p) for n, p in errors.items()} if isinstance(errors, dict) else {}
        if models.errors:
            quietly(logger.warning, "odoo_models goes on without %s", reasons(reply))
        return models

    def odoo_call(
        self,
        model: str,
        method: str,
        args: Optional[Sequence[Any]] = None,
        kwargs: Optional[Mapping[str, Any]] = None,
        cache_control: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Any:
        """What the model's method returns. Never sent twice: most methods change something."""
        body = _given(model=model, method=method, args=args, kwargs=kwargs)
        reply = self._call(
            "POST", "/v1/odoo/call", body, cache_control=cache_control, timeout=timeout, repeatable=False
        )
        return field(reply, "result", object)

    # The sidecar itself

    def drop_cache(self, chat: Optional[ChatID] = None, model: Optional[str] = None) -> int:
        """Forgets what is cached of one chat, of one model, or everything; how many entries that were."""
        query = _given(chat=chat if chat is None else _arguments.chat(chat), model=model)
        return field(self._call("DELETE", "/v1/cache", query=query), "dropped", int)

    def healthz(self) -> dict[str, Any]:
        return self._call("GET", "/healthz")

    def readyz(self) -> dict[str, Any]:
        """Each upstream's state; HearthError while one has not been reached, with the states in its problem."""
        return self._call("GET", "/readyz")

    def debug_cache(self) -> dict[str, Any]:
        return self._call("GET", "/debug/cache")

    def debug_pools(self) -> dict[str, Any]:
        return self._call("GET", "/debug/pools")

    def close(self) -> None:
        """Closes the idle connections. The client stays usable."""
        self._transport.close()

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Optional[Mapping[str, Any]] = None,
        cache_control: Optional[str] = None,
        timeout: Optional[float] = None,
        repeatable: bool = True,
    ) -> dict[str, Any]:
        if query:
            path += "?" + "&".join(f"{name}={_quoted(_arguments.parameter(name, value))}" for name, value in query.items())
        content = None if body is None else _arguments.body(body)
        fields = {}
        if cache_control is not None:
            fields["Cache-Control"] = _arguments.header("cache_control", cache_control)
        trace = os.environ.get("_X_AMZN_TRACE_ID")
        if trace and _arguments.is_header(trace):
            fields["X-Amzn-Trace-Id"] = trace
        if timeout is None:
            timeout = DEFAULT_TIMEOUT if self._timeout is None else self._timeout
        reply = self._transport.request(method, path, fields, content, seconds("timeout", timeout), repeatable)
        if not 200 <= reply.status < 300:
            raise HearthError.of_reply(reply.status, reply.reason, reply.body)
        content = decoded(reply.body or b"{}")
        if not isinstance(content, dict):
            raise HearthError(0, "Unreadable reply", "the reply is not a JSON object")
        return content


class RelevantMessages(list):
    """A list of messages, and the mode of the search that found them."""

    def __init__(self, messages: Iterable[dict[str, Any]] = (), mode: Optional[str] = None) -> None:
        super().__init__(messages)
        self.mode = mode


def field(reply: Mapping[str, Any], name: str, kind: type) -> Any:
    """What a reply must hold. An empty list or dict may come as null."""
    if kind in (list, dict) and reply.get(name, False) is None:
        return kind()
    if name not in reply or not isinstance(reply[name], kind):
        raise HearthError(0, "Unreadable reply", f"{name} is missing from the reply or not as expected")
    return reply[name]


def reasons(reply: Mapping[str, Any]) -> dict[str, str]:
    """The reply's errors, each problem report as one line."""
    errors = reply.get("errors")
    if not isinstance(errors, dict):
        return {}
    return {
        part: str(HearthError.of_problem(problem) if isinstance(problem, dict) else problem)
        for part, problem in errors.items()
    }


def _chat(chat_id: ChatID, what: str) -> str:
    segment = _quoted(_arguments.chat(chat_id))
    if segment in (".", ".."):
        segment = segment.replace(".", "%2E")  # or a proxy or a library on the way might resolve it
    return f"/v1/chats/{segment}/{what}"


def _quoted(text: str) -> str:
    """As urllib.parse.quote(text, safe="") does it, without the 1 to 7 ms that its import takes."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode(errors="replace"))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
