"""A measurement that runs, and what the client's calls within it tell about it: the chat, and where the replies came from."""

from __future__ import annotations

import contextvars
import time

from ._invocation import measured_run
from ._lines import as_milliseconds, as_text, name_of, print_lines
from ._typing import TYPE_CHECKING
from .errors import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Optional

    from ._invocation import Run

MAX_ERROR = 200  # characters
_WORST = ("hit", "stale", "miss")  # the last is the worst

# The measurement that began last in this context and has not ended, with those around it.
_innermost: contextvars.ContextVar[Optional[Measurement]] = contextvars.ContextVar("hearth_measurement", default=None)


class Measurement:
    """Measures its block, unless that is within another measurement of the same operation. The block's exceptions pass unchanged."""

    def __init__(self, operation: str, pauses: bool = False) -> None:
        self.operation = operation
        self.ended = False
        self.outer: Optional[Measurement] = None
        self.chat: Optional[str] = None  # "" if there are several
        self.cache: dict[str, str] = {}
        self.has_parts = False
        self.error: Optional[type] = None  # of an exception that the operation caught because it got nothing
        self._pauses = pauses  # a generator's caller runs while the generator pauses, so its context must not be marked
        self._mark: Optional[contextvars.Token[Optional[Measurement]]] = None

    def __enter__(self) -> None:
        # One that has ended may still be in the context that it began in. It is left out, so that such do not pile up.
        self.outer = next((around for around in _around(_innermost.get()) if not around.ended), None)
        self._counts = all(around.operation != self.operation or around.ended for around in _around(self.outer))
        if self._counts and not self._pauses:
            self._mark = _innermost.set(self)
        self._start = time.perf_counter()

    def __exit__(self, kind: Optional[type], problem: Any, traceback: Any) -> None:
        duration_ms = (time.perf_counter() - self._start) * 1000
        self.ended = True
        if self._mark:
            try:
                _innermost.reset(self._mark)
            except ValueError:
                pass  # a coroutine may end in another context than it began in
        if self._counts:
            fields: dict[str, Any] = {}
            cache = dict(self.cache)  # a copy, because a task that goes on may note more
            if cache:
                fields["cache"] = cache if self.has_parts or len(cache) > 1 else next(iter(cache.values()))
            if self.chat:
                fields["chat"] = _hashed(self.chat)
            if kind is None or kind is GeneratorExit:  # GeneratorExit: the caller wants no more items
                kind = self.error
            if kind is not None:
                fields["error"] = name_of(kind)
            record(self.operation, duration_ms, fields)

    def note(self, verdicts: Mapping[Any, Any], has_parts: bool) -> None:
        """Of two replies for the same part, the worse one counts."""
        self.has_parts = self.has_parts or has_parts
        for part, verdict in verdicts.items():
            if verdict in _WORST:
                known = self.cache.get(part, verdict)
                self.cache[part] = max(known, verdict, key=_WORST.index)


def record(operation: str, duration: Any, fields: Mapping[str, Any]) -> None:
    """Prints the lines of an operation, and collects it for its invocation. Whatever goes wrong is dropped."""
    try:
        duration_ms = as_milliseconds(duration)
        run = measured_run()
        if run is not None:
            if run.request_id is not None:
                fields = {"request_id": run.request_id, **fields}
            if run.began and duration_ms is not None and duration_ms >= 0:
                _collect(run, operation, duration_ms, fields.get("error"))
        print_lines(operation, duration_ms, fields)
    except Exception:
        pass  # stdout may be closed


def _collect(run: Run, operation: str, duration_ms: float, error: Any) -> None:
    timing: dict[str, Any] = {"operation": operation, "duration_ms": duration_ms}
    if error is not None:
        timing["error"] = error if isinstance(error, bool) else as_text(error)[:MAX_ERROR]
    if not run.ended:
        run.add(timing)
        return
    from ._report import not_sent

    not_sent(1, f"{operation} ended after its invocation")


def note_chat(chat: str) -> None:
    """Tells the measurements that run in this context that a call is about this chat."""
    for around in _around(_innermost.get()):
        around.chat = chat if around.chat in (None, chat) else ""


def note_error(problem: BaseException) -> None:
    """Tells the innermost measurement of this context that its operation has failed, though it does not raise."""
    measurement = _innermost.get()
    if measurement is not None:
        measurement.error = type(problem)


def note_cache(part: str, reply_fields: Mapping[str, str], reply: Mapping[str, Any], took: float) -> None:
    """Tells the measurements that run in this context where the reply to a call of so many seconds came from, or each of its parts."""
    parts = as_object(reply.get("cache"))
    verdicts = {part: _verdict_of(reply_fields, took)} if parts is None else parts
    for around in _around(_innermost.get()):
        around.note(verdicts, has_parts=parts is not None)


def _around(measurement: Optional[Measurement]) -> Iterator[Measurement]:
    while measurement is not None:
        yield measurement
        measurement = measurement.outer


def _verdict_of(reply_fields: Mapping[str, str], took: float) -> str:
    """hit, stale or miss, as Cache-Status (RFC 9211) says; "" if it says nothing.

    With fwd=stale, a reply that is older than the call was held before it: the upstream gave no answer.
    """
    status = reply_fields.get("cache-status", "")
    if "; hit" in status:
        return "stale" if "ttl=-" in status else "hit"
    age = reply_fields.get("age", "")
    if "fwd=stale" in status and age.isdecimal() and float(age) > took:
        return "stale"
    return "miss" if "fwd=" in status else ""


def _hashed(chat: str) -> str:
    import hashlib  # imported here because it loads OpenSSL, which takes 3 ms

    return hashlib.sha256(chat.encode()).hexdigest()[:16]
