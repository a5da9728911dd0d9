"""Client, which has a method for each call of the sidecar."""

from __future__ import annotations

import os
from time import perf_counter

from . import _address, _arguments, _fetch
from ._arguments import chat_path, floats, given, patience_for, quoted, seconds, texts
from ._fetch import Fetched
from ._invocation import MAX_SECONDS, seconds_left
from ._measurement import note_cache, note_chat
from ._replies import Models, RelevantMessages, field, reasons
from ._transport import Transport
from ._typing import TYPE_CHECKING, cast
from .errors import HearthError, as_object, decoded
from .timing import log_quietly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any, Optional, Union

    from ._arguments import ChatID
    from .types import Advice, BatchRequest, BatchResponse, CacheStats, UpstreamStats

DEFAULT_TIMEOUT = 30.0  # seconds
MAX_TIMEOUT_MS = 900_000  # of a preprocess, in the API
MAX_MARGIN = 0.1  # seconds by which a call ends before its invocation, at most; the sidecar's own margin is larger


class Client:
    """A client of the sidecar. It is safe for threads and across fork. Make one and keep it: it keeps connections open.

    The constructor reads from the environment where the sidecar is and which token it wants. It takes Lambda's variables
    as they were when this package was imported. So import the package before the handler overwrites AWS_SESSION_TOKEN,
    because the sidecar derives its token from the first value.

    Methods return what the reply holds, decoded from JSON. They raise HearthError if no answer comes, or if an argument
    cannot be sent: its field names the argument. A chat_id that is an int means its decimal string. Times are in seconds
    unless the name says otherwise. A call waits for timeout seconds, or for the constructor's timeout, or for 30 seconds, but
    never longer than its invocation lasts: see hearth.invocation. The sidecar is told this time, and answers before its end.
    cache_control is the request's Cache-Control, such as "no-cache" or "max-stale=60".
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
        """{chat_id, msg_history, all_messages, user_messages, assistant_messages}, oldest first.

        num_messages (1 to 200) is the number of messages per role. In msg_history the newest full_text_len (0 to 200)
        messages have their full text; the texts of older ones are cut.
        """
        query = {"num_messages": num_messages, "full_text_len": full_text_len}
        return self._call(
            "GET", chat_path(chat_id, "history"), query=query, cache_control=cache_control, timeout=timeout,
            chat=chat_id, part="history",
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
        """The messages of the chat that are relevant to text, best first; count is 1 to 100.

        mode is auto, bm25, near_text, near_vector or hybrid. The list's attribute mode is the mode that was used.
        """
        body = given(
            text=text, count=count, mode=mode, vector=floats("vector", vector), roles=texts("roles", roles)
        )
        reply = self._call(
            "POST", chat_path(chat_id, "relevant"), body, cache_control=cache_control, timeout=timeout,
            chat=chat_id, part="relevant_messages",
        )
        return RelevantMessages(field(reply, "relevant_messages", list), reply.get("mode"))

    def mute(
        self, chat_id: ChatID, cache_control: Optional[str] = None, *, timeout: Optional[float] = None
    ) -> dict[str, Any]:
        """{muted, until?}: muted is True if the bot must be silent in this chat."""
        return self._call(
            "GET", chat_path(chat_id, "mute"), cache_control=cache_control, timeout=timeout,
            chat=chat_id, part="mute_status",
        )

    def set_mute(
        self,
        chat_id: ChatID,
        muted: bool,
        until: Union[str, datetime, None] = None,
        *,
        timeout: Optional[float] = None,
    ) -> dict[str, Any]:
        """Mutes the bot in a chat, for ever or until a time, or unmutes it. Returns {muted, until?}."""
        from ._message import rfc3339  # imported here because it loads datetime

        body = given(muted=muted, until=rfc3339("until", until))
        return self._call("PUT", chat_path(chat_id, "mute"), body, timeout=timeout, chat=chat_id)

    def append(
        self,
        chat_id: ChatID,
        messages: Union[Mapping[str, Any], Iterable[Mapping[str, Any]]],
        *,
        timeout: Optional[float] = None,
    ) -> list[str]:
        """Writes a message {role, content, id?, created_at?, vector?, properties?}, or 1 to 100 of them.

        Returns the ids of the objects, in the order of the messages. id and created_at are filled in where they are
        missing. Give the ids yourself if you may write the same messages again: a message whose id is known replaces the
        one that was written before.
        """
        from ._message import stamped  # imported here because it loads datetime

        body = stamped(messages)
        reply = self._call("POST", chat_path(chat_id, "messages"), body, timeout=timeout, chat=chat_id)
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
        """Fetches at once what a bot needs before it answers.

        {chat_id, mute_status, relevant_messages, odoo_models, history?, errors?, cache, timings}. The history comes if
        num_messages or full_text_len is given, the Odoo models if enable_odoo is True and the route is one of
        HEARTH_ODOO_ROUTES. A part that failed is missing, and errors says why. If every part failed, this raises
        HearthError. After timeout_ms the sidecar answers with the parts that it has.
        """
        if timeout_ms is None and self._timeout is not None:
            timeout_ms = min(max(1, int(self._timeout * 1000)), MAX_TIMEOUT_MS)
        # The sidecar must answer before this client gives up, or else the parts that came in time are lost.
        patience = (seconds("timeout_ms", timeout_ms, 0.001) if timeout_ms else DEFAULT_TIMEOUT) + 1
        body = given(
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
        return self._call(
            "POST", "/v1/preprocess", body, cache_control=cache_control, timeout=patience, told=False,
            chat=chat_id, part="preprocess",
        )

    # Odoo

    def odoo_models(
        self,
        names: Union[str, Iterable[str], None] = None,
        cache_control: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Models:
        """{name: {name, fields}} of the models with these technical names, or of those in HEARTH_ODOO_MODELS.

        The result's errors says why a model is missing. If every model is missing, this raises HearthError.
        """
        listed = texts("names", names)
        query = given(names=",".join(listed) if isinstance(listed, list) else listed)
        reply = self._call(
            "GET", "/v1/odoo/models", query=query, cache_control=cache_control, timeout=timeout, part="odoo_models"
        )
        models = Models(field(reply, "models", dict))
        errors = as_object(reply.get("errors")) or {}
        models.errors = {name: HearthError.of_problem(problem) for name, problem in errors.items()}
        if models.errors:
            log_quietly("warning", "odoo_models goes on without %s", reasons(reply))
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
        """Calls a method of an Odoo model and returns its result. The call is sent once, because most methods change something."""
        body = given(model=model, method=method, args=args, kwargs=kwargs)
        reply = self._call(
            "POST", "/v1/odoo/call", body, cache_control=cache_control, timeout=timeout, repeatable=False, part="odoo_call"
        )
        return field(reply, "result", object)

    # Several calls

    def batch(
        self,
        requests: Iterable[BatchRequest],
        *,
        timeout_ms: Optional[int] = None,
        max_parallel: Optional[int] = None,
    ) -> list[BatchResponse]:
        """Makes 1 to 100 calls in one request. Returns their responses, in the order of the requests.

        A request is {method, path, id?, headers?, body?, timeout_ms?}, a response {id, status, headers, body}. The calls run
        side by side, max_parallel (1 to 100, by default HEARTH_WORKERS) at once: give max_parallel=1 if a call must see what
        the one before has written. If a call fails, its status is 400 or higher, HearthError.of_problem(response["body"]) is
        the error, and the other calls go on. This raises HearthError if the batch as a whole was refused or not answered.
        Unless all calls are reads, the batch is sent once.
        """
        try:
            listed: list[dict[str, Any]] = [{"id": str(place), **request} for place, request in enumerate(requests)]
        except Exception:
            raise _arguments.bad_argument("requests", "must be a list of dicts") from None
        patience = patience_for(timeout_ms)
        body = given(requests=listed, timeout_ms=timeout_ms, max_parallel=max_parallel)
        repeatable = not any(map(_arguments.may_write, listed))
        return field(self._call(
            "POST", "/v1/batch", body, timeout=patience, repeatable=repeatable, told=timeout_ms is None
        ), "responses", list)

    @staticmethod
    def chat_path(chat_id: ChatID, what: str) -> str:
        """The path of a chat's call in a batch; what is "history", "relevant", "mute" or "messages"."""
        return chat_path(chat_id, what)

    # Other hosts

    def fetch(
        self,
        url: str,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        *,
        timeout_ms: Optional[int] = None,
        cache_control: Optional[str] = None,
    ) -> Fetched:
        """Sends a request to a host that HEARTH_FETCH_ALLOW lists. Returns {status, headers, body, body_base64?}.

        The sidecar caches answers by HTTP's rules. A status of 4xx or 5xx of that host raises no error. The result's content
        is its body as bytes. A request that may change something is sent once.
        """
        patience = patience_for(timeout_ms)
        content = _fetch.request(url, method, headers, body, timeout_ms)
        safe = _fetch.is_safe(method)
        reply = self._call(
            "POST", "/v1/fetch", content, cache_control=cache_control, timeout=patience, repeatable=safe,
            told=timeout_ms is None, part="fetch",
        )
        return Fetched(reply)

    def start_fetch(
        self,
        url: str,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        *,
        timeout_ms: Optional[int] = None,
        cache_control: Optional[str] = None,
    ) -> str:
        """fetch as a job that runs beside the handler. Returns the job's name at once; job() returns the result."""
        content = {**_fetch.request(url, method, headers, body, timeout_ms), "async": True}
        safe = _fetch.is_safe(method)
        return field(self._call("POST", "/v1/fetch", content, cache_control=cache_control, repeatable=safe), "job", str)

    def job(self, job: str, wait_ms: int = 0, *, timeout: Optional[float] = None) -> Optional[Fetched]:
        """The result of a job, or None if the job is not done after wait_ms (up to 30000). A result can be read once."""
        patience = timeout if timeout is not None else seconds("wait_ms", wait_ms, 0.001) + DEFAULT_TIMEOUT
        reply = self._call("GET", f"/v1/jobs/{quoted(_arguments.parameter('job', job))}", query={"wait_ms": wait_ms}, timeout=patience)
        return None if "job" in reply else Fetched(reply)

    # The sidecar itself

    def drop_cache(self, chat: Optional[ChatID] = None, model: Optional[str] = None) -> int:
        """Drops what is cached of one chat, of one model, or everything. Returns the number of entries dropped."""
        query = given(chat=chat if chat is None else _arguments.chat(chat), model=model)
        return field(self._call("DELETE", "/v1/cache", query=query), "dropped", int)

    def send_timings(
        self,
        timings: Iterable[Mapping[str, Any]],
        request_id: Optional[str] = None,
        function_ms: Optional[float] = None,
        *,
        timeout: Optional[float] = None,
    ) -> None:
        """Tells the sidecar what the handler has measured: up to 100 of {operation, duration_ms, error?}.

        The timing decorators do this, once for each invocation. A second call with the same request_id counts nothing.
        """
        body = given(request_id=request_id, function_ms=function_ms, timings=list(timings))
        self._call("POST", "/v1/timings", body, timeout=timeout, repeatable=request_id is not None)

    def healthz(self) -> dict[str, Any]:
        """{status}: "ok". HearthError if the sidecar does not answer."""
        return self._call("GET", "/healthz")

    def readyz(self) -> dict[str, Any]:
        """{ready, upstreams: {name: {state, detail?}}}. HearthError while an upstream is not reached; the same is in its problem."""
        return self._call("GET", "/readyz")

    def debug_cache(self) -> CacheStats:
        """What the cache has done since the sidecar started, and what it holds: hit ratios of all and of each resource."""
        return cast("CacheStats", self._call("GET", "/debug/cache"))

    def debug_pools(self) -> dict[str, UpstreamStats]:
        """What each upstream's connection pools hold, and have done since the sidecar started."""
        return cast("dict[str, UpstreamStats]", self._call("GET", "/debug/pools"))

    def debug_invocations(self) -> dict[str, Any]:
        """What happened in the last invocations: {invocations: [newest first], operations: {name: {count, p50_ms, ...}}}. docs/api.md has the fields."""
        return self._call("GET", "/debug/invocations")

    def debug_advice(self) -> list[Advice]:
        """What to change in the sidecar's settings, by what was measured since it started."""
        return field(self._call("GET", "/debug/advice"), "advice", list)

    def close(self) -> None:
        """Closes the idle connections. The client can still be used."""
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
        told: bool = True,
        part: str = "",
        chat: Optional[ChatID] = None,
    ) -> dict[str, Any]:
        """Makes a call. told means that the sidecar is told the timeout in a header. It is not if the body has a timeout_ms.

        part names what the cache may hold of the reply. Measurements that run note it, and the chat.
        """
        if chat is not None:
            note_chat(_arguments.chat(chat))
        if query:
            path += "?" + "&".join(f"{name}={quoted(_arguments.parameter(name, value))}" for name, value in query.items())
        content = None if body is None else _arguments.body(body)
        fields: dict[str, str] = {}
        if cache_control is not None:
            fields["Cache-Control"] = _arguments.header("cache_control", cache_control)
        trace = os.environ.get("_X_AMZN_TRACE_ID")
        if trace and _arguments.is_header(trace):
            fields["X-Amzn-Trace-Id"] = trace
        timeout = self._timeout if timeout is None else seconds("timeout", timeout)
        limits = [timeout] if told and timeout is not None else []
        patience = DEFAULT_TIMEOUT if timeout is None else timeout
        left = seconds_left()
        if left is not None:
            limits.append(left)
            patience = min(patience, left - min(MAX_MARGIN, left / 20))
        if limits and min(limits) <= MAX_SECONDS:
            fields["X-Hearth-Timeout-Ms"] = str(max(1, int(min(limits) * 1000)))
        start = perf_counter()
        reply = self._transport.request(method, path, fields, content, patience, repeatable)
        if not 200 <= reply.status < 300:
            error = HearthError.of_reply(reply.status, reply.reason, reply.body)
            if reply.again and error.kind == "no-such-job":
                error.detail += ". The connection broke, and this client asked again: the first answer may have held the result"
            raise error
        answer = as_object(decoded(reply.body or b"{}"))
        if answer is None:
            raise HearthError(0, "Unreadable reply", "the reply is not a JSON object")
        if part:
            note_cache(part, reply.fields, answer, perf_counter() - start)
        return answer
