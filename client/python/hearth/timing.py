"""Measures how long operations of the handler take, and prints two lines on stdout for each:

    [TIMING] parallel_message_history: 0.523s
    {"level": "INFO", "timestamp": "2026-01-31T12:00:00.000Z", "operation": "parallel_message_history", "duration_ms": 523.1, ...}

The second has the invocation's request_id; cache, which says where Hearth's reply came from (hit, stale or miss, or an object
of them by the part); chat, the first 16 hex digits of SHA-256 of the chat's id; and error, the name of an exception. Each is
there if it is known. What is measured in an invocation also goes to the sidecar: see hearth.invocation.

A measurement never makes a handler fail, whatever arguments it is given and even if nothing can be printed or sent.
"""

from __future__ import annotations

import functools

from ._invocation import invocation_of
from ._lines import as_fields, as_operation
from ._measurement import Measurement, record
from ._typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import Any, Callable, Optional

# The same values as in inspect. The import of inspect takes 5 to 10 ms.
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


def log_quietly(level: str, text: str, *args: Any, error: Optional[BaseException] = None) -> None:
    """Logs to the logger "hearth" and drops what that raises: the stream that the logger writes to may be closed."""
    try:
        import logging  # imported here because that takes 5 ms

        getattr(logging.getLogger("hearth"), level)(text, *args, exc_info=error)
    except Exception:
        pass


def log_performance_data(operation: Any = None, duration_ms: Any = None, /, *more: Any, **fields: Any) -> None:
    """Prints both lines for an operation that took so long. More fields may be given as keywords, or in a dict as the third argument.

    A value that JSON does not know is printed as text, and a duration that is not a finite number as null. The fields level and
    timestamp cannot be given.
    """
    try:
        extras = as_fields((*more, fields))
        named, took = extras.pop("operation", None), extras.pop("duration_ms", None)
        record(as_operation(named if operation is None else operation), took if duration_ms is None else duration_ms, extras)
    except Exception:
        pass


def time_operation_with_metrics(name: Any) -> Any:
    """Measures each call of the decorated function, under this name. A call that raises is measured too.

    The function may be async. A generator, plain or async, is measured from its first step to its end. If the function is a
    Lambda handler, the client's calls within it end in time, and what was measured is sent to the sidecar when it ends: see
    hearth.invocation. An operation within itself is measured once.
    """
    if callable(name):  # used as @time_operation_with_metrics, without a name
        return time_operation(name)
    operation = as_operation(name)

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return _decorated_method(function, decorate)
        return _measured(operation, function) if callable(function) else function

    return decorate


def time_operation(function: Any = None) -> Any:
    """Measures each call of the decorated function, under the function's name, or with @time_operation("name") under that name."""
    if function is None:
        return time_operation
    if callable(function) or hasattr(cast("type[Any]", type(function)), "__get__"):  # a function, a staticmethod, a property …
        inner = getattr(function, "__func__", function)
        return time_operation_with_metrics(as_operation(getattr(inner, "__name__", type(inner).__name__)))(function)
    return time_operation_with_metrics(function)


def _decorated_method(method: Any, decorate: Callable[[Any], Any]) -> Any:
    """A staticmethod or classmethod like this one, whose function is decorated."""
    return type(method)(decorate(method.__func__))


def _measured(operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with invocation_of(args, kwargs), Measurement(operation):
            return function(*args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with invocation_of(args, kwargs), Measurement(operation):
            return await function(*args, **kwargs)

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with Measurement(operation, pauses=True):
            steps: Generator[Any, Any, Any] = function(*args, **kwargs)
            return (yield from steps)

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with Measurement(operation, pauses=True):
            steps = function(*args, **kwargs)
            step = steps.__anext__()
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    break
                try:
                    step = steps.asend((yield item))
                except GeneratorExit:
                    await steps.aclose()
                    raise
                except BaseException as problem:
                    step = steps.athrow(problem)

    flags = _flags(function)
    measured: Callable[..., Any] = call
    if flags & _CO_COROUTINE:
        measured = coroutine
    elif flags & _CO_GENERATOR:
        measured = generator
    elif flags & _CO_ASYNC_GENERATOR:
        measured = async_generator
    return functools.wraps(function)(measured)


def _flags(function: Any) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    return flags if isinstance(flags, int) else 0
