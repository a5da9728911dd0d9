"""Knows how much time the invocation has left. Only Lambda's context tells that.

The context is kept, and not the deadline: after a freeze only the context's own clock is right.
"""

from __future__ import annotations

import contextvars

from ._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, Optional

MAX_SECONDS = 900.0  # the longest that a function may run; some environments report a deadline that is far too late

_own: contextvars.ContextVar[Optional[Callable[[], Any]]] = contextvars.ContextVar("hearth_invocation", default=None)
_latest: Optional[Callable[[], Any]] = None  # of the process


class invocation:
    """Tells the client which invocation it works for, so that every call ends in time: with hearth.invocation(context): ...

    context is the second argument of a Lambda handler. As a plain call, hearth.invocation(context) holds until the next
    such call. The timing decorators do the same for the handler that they decorate. Threads of ParallelExecutor and tasks
    of asyncio belong to the invocation that started them. Any other thread belongs to the invocation that began last.
    An argument that is not a context of Lambda is ignored.
    """

    def __init__(self, context: Any) -> None:
        global _latest
        self._left = _clock_of(context)
        self._token: Optional[contextvars.Token[Any]] = None
        self._before = _latest
        if self._left is not None:
            self._token = _own.set(self._left)
            _latest = self._left

    def __enter__(self) -> invocation:
        return self

    def __exit__(self, *_: Any) -> None:
        global _latest
        if self._token is None:
            return
        if _latest is self._left:
            _latest = self._before
        try:
            _own.reset(self._token)
        except (ValueError, RuntimeError):
            pass  # a coroutine may end in another context than the one that it began in
        self._token = None


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


def seconds_left() -> Optional[float]:
    """The seconds that the invocation has left. None if no context says so, or if the invocation is over."""
    for clock in (_own.get(), _latest):
        left = _read(clock) if clock is not None else None
        if left is not None:
            return left
    return None


def _clock_of(context: Any) -> Optional[Callable[[], Any]]:
    try:
        clock = getattr(context, "get_remaining_time_in_millis", None)
    except Exception:  # the last argument of any function may be anything
        return None
    return clock if callable(clock) else None


def _read(clock: Callable[[], Any]) -> Optional[float]:
    try:
        left = clock()
    except Exception:
        return None
    if isinstance(left, bool) or not isinstance(left, (int, float)) or not 0 < left <= MAX_SECONDS * 1000:
        return None
    return left / 1000
