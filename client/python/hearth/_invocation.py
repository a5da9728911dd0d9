"""Knows which invocation a call belongs to: how much time it has left, its request id, and what was measured in it.

Only Lambda's context tells the time that is left. The context's clock is kept, and not the deadline: after a freeze only that
clock is right.
"""

from __future__ import annotations

import contextvars
import os
import time
from itertools import count

from ._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, Optional

MAX_SECONDS = 900.0  # the longest that a function may run; some environments report a deadline that is far too late
MAX_TIMINGS = 100  # of an invocation, in the API
MAX_REQUEST_ID = 128  # characters, in the API


class Run:
    """One invocation. It has no lock, because a fork might copy a lock that another thread holds."""

    def __init__(self, clock: Callable[[], Any], request_id: Optional[str]) -> None:
        self.clock = clock
        self.request_id = request_id
        self.began = self.ended = False  # True if timings are collected; if they were taken
        self._numbers = count()
        self._first: list[dict[str, Any]] = []
        self._last: list[dict[str, Any]] = []

    def add(self, timing: dict[str, Any]) -> None:
        """Collects a timing. If there are too many, the first ones and the last one are kept: the last is the handler's own."""
        if next(self._numbers) < MAX_TIMINGS - 1:
            self._first.append(timing)
        else:
            self._last = [timing]

    def take(self) -> tuple[list[dict[str, Any]], int]:
        """The timings to send, and how many there are beyond them."""
        self.ended = True
        timings = self._first + self._last
        return timings, next(self._numbers) - len(timings)


_own: contextvars.ContextVar[Optional[Run]] = contextvars.ContextVar("hearth_invocation", default=None)
_latest: Optional[Run] = None  # of the process
_collecting: set[Run] = set()  # those that have begun and not ended


class invocation:
    """Tells the client which invocation it works for: with hearth.invocation(context): ...

    So every call ends in time, and what is measured goes to the sidecar, once, when the block ends. context is the second
    argument of a Lambda handler. The timing decorators do the same for the handler that they decorate. As a plain call,
    hearth.invocation(context) holds until the next such call. Then nobody tells when the invocation ends, so what is measured
    is printed, and not sent.

    Threads of ParallelExecutor and tasks of asyncio belong to the invocation that started them. Any other thread belongs to the
    invocation that began last; but if several are under way, what the thread measures belongs to none. An argument that is not
    a context of Lambda is ignored.
    """

    def __init__(self, context: Any) -> None:
        global _latest
        self._run = _run_of(context)
        self._token: Optional[contextvars.Token[Any]] = None
        self._before = _latest
        self._start: Optional[float] = None  # where the block is the outermost of its invocation
        if self._run is not None:
            self._token = _own.set(self._run)
            _latest = self._run

    def __enter__(self) -> invocation:
        run = self._run
        if run is not None and not run.began:
            run.began = True
            _collecting.add(run)
            self._pid = os.getpid()
            self._start = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        global _latest
        run = self._run
        if run is None or self._token is None:
            return
        if self._start is not None:
            self._send(run, (time.perf_counter() - self._start) * 1000)
        if _latest is run:
            _latest = None if self._before is not None and self._before.ended else self._before
        try:
            _own.reset(self._token)
        except (ValueError, RuntimeError):
            pass  # a coroutine may end in another context than the one that it began in
        self._token = None

    def _send(self, run: Run, function_ms: float) -> None:
        _collecting.discard(run)
        if self._pid == os.getpid():  # else this is a fork's child, and the parent sends
            from ._report import send  # imported here because it needs the client, which needs this module

            send(run, function_ms)


def invocation_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> invocation:
    """The invocation of a handler that is called with these arguments: its context is the last one, or named context."""
    context = kwargs.get("context", args[-1] if args else None)
    return invocation(None if _is_stub(context) else context)


def _is_stub(value: Any) -> bool:
    """True for an object that has every attribute, such as a proxy of xmlrpc.client, whose attributes are calls over the network.

    A mock has every attribute too, but a test may use it as a context.
    """
    try:
        found = getattr(value, "_hearth_has_no_such_name", None)
        return found is not None and not type(value).__module__.startswith("unittest.mock")
    except Exception:
        return True


def measured_run() -> Optional[Run]:
    """The invocation that a measurement of this thread belongs to."""
    own = _own.get()
    return _latest if own is None and len(_collecting) < 2 else own


def seconds_left() -> Optional[float]:
    """The seconds that the invocation has left. None if no context says so, or if the invocation is over."""
    for run in (_own.get(), _latest):
        left = _read(run.clock) if run is not None else None
        if left is not None:
            return left
    return None


def _run_of(context: Any) -> Optional[Run]:
    """The run that a context stands for: the current one if that has the same request id, else a new one."""
    try:
        clock, request_id = getattr(context, "get_remaining_time_in_millis", None), getattr(context, "aws_request_id", None)
    except Exception:  # the last argument of any function may be anything
        return None
    request_id = request_id[:MAX_REQUEST_ID] if isinstance(request_id, str) and request_id else None
    if not callable(clock) and request_id is None:
        return None
    clock = clock if callable(clock) else lambda: None  # a test's context may have no clock
    own = _own.get()
    if own is not None and own.request_id == request_id and (request_id or own.clock == clock):
        return own
    return Run(clock, request_id)


def _read(clock: Callable[[], Any]) -> Optional[float]:
    try:
        left = clock()
    except Exception:
        return None
    if isinstance(left, bool) or not isinstance(left, (int, float)) or not 0 < left <= MAX_SECONDS * 1000:
        return None
    return left / 1000
