"""How long things take in the handler: one line of JSON per measurement, on the logger "hearth", at level INFO.

A measurement never makes a handler fail: what it is given may be wrong, and so may the place that the line goes to.
"""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional, TypeVar, Union

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("hearth")

# As in inspect, whose import takes 5 to 10 ms.
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200

# The operations that are being measured here. One that is measured by a caller already is not counted twice.
_running: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("hearth_running", default=frozenset())


def quietly(log: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Calls a method of a logger, whose handlers may raise: the stream that they write to may be closed."""
    try:
        log(*args, **kwargs)
    except Exception:
        pass


def log_performance_data(operation: Any = None, duration_ms: Any = None, /, *more: Any, **fields: Any) -> None:
    """Logs that an operation took so long, with other fields as keywords or in a dict that comes third.

    What JSON does not know goes out as text, and a duration that is no finite number as null.
    """
    try:
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", _line(operation, duration_ms, (*more, fields)))
    except Exception:
        pass


def time_operation_with_metrics(name: Any) -> Any:
    """Measures each call of a function as the operation called name, also when it raises.

    The function may be async. A generator, plain or async, is measured from its first step to its end.
    """
    if callable(name):  # the brackets and the name were left out
        return time_operation(name)
    operation = _text(name)

    def decorate(function: F) -> F:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        return _measured(operation, function) if callable(function) else function

    return decorate


def time_operation(function: Union[F, str, None] = None) -> Any:
    """Measures each call of a function under the function's own name, or @time_operation("name") under that."""
    if function is None:
        return time_operation
    if callable(function) or hasattr(function, "__get__"):  # a function, a staticmethod, a property …
        inner = getattr(function, "__func__", function)
        return time_operation_with_metrics(_text(getattr(inner, "__name__", type(inner).__name__)))(function)
    return time_operation_with_metrics(function)


def _measured(operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
    flags = _flags(function)
    if flags & _CO_COROUTINE:

        async def measured(*args: Any, **kwargs: Any) -> Any:
            with _Measurement(operation):
                return await function(*args, **kwargs)

    elif flags & _CO_GENERATOR:

        def measured(*args: Any, **kwargs: Any) -> Any:
            with _Measurement(operation, pauses=True):
                return (yield from function(*args, **kwargs))

    elif flags & _CO_ASYNC_GENERATOR:

        async def measured(*args: Any, **kwargs: Any) -> Any:
            with _Measurement(operation, pauses=True):
                steps = function(*args, **kwargs)
                step = steps.__anext__()
                while True:
                    try:
                        item = await step
                    except StopAsyncIteration:
                        return
                    try:
                        step = steps.asend((yield item))
                    except GeneratorExit:
                        await steps.aclose()
                        raise
                    except BaseException as problem:
                        step = steps.athrow(problem)

    else:

        def measured(*args: Any, **kwargs: Any) -> Any:
            with _Measurement(operation):
                return function(*args, **kwargs)

    return functools.wraps(function)(measured)


class _Measurement:
    """Logs how long its block took. What the block raises passes through as it is."""

    def __init__(self, operation: str, pauses: bool = False) -> None:
        self._operation = operation
        self._pauses = pauses  # while it does, its caller runs: so it must not leave a mark in the caller's context
        self._mark: Optional[contextvars.Token] = None

    def __enter__(self) -> None:
        running = _running.get()
        self._counts = self._operation not in running
        if self._counts and not self._pauses:
            self._mark = _running.set(running | {self._operation})
        self._start = time.perf_counter()

    def __exit__(self, kind: Optional[type], problem: Any, traceback: Any) -> None:
        duration_ms = (time.perf_counter() - self._start) * 1000
        if self._mark:
            try:
                _running.reset(self._mark)
            except ValueError:
                pass  # a coroutine that ends in another context than it began in
        if self._counts:
            failed = kind is not None and kind is not GeneratorExit  # that one means: no more is wanted
            log_performance_data(self._operation, duration_ms, {"error": kind.__name__} if failed else None)


def _flags(function: Any) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    return flags if isinstance(flags, int) else 0


def _line(operation: Any, duration_ms: Any, extras: tuple) -> str:
    fields: dict[str, Any] = {}
    for extra in extras:
        if isinstance(extra, Mapping):
            fields.update((_text(name), value) for name, value in extra.items())
    named, took = fields.pop("operation", None), fields.pop("duration_ms", None)
    line = {
        "operation": _text(named if operation is None else operation),
        "duration_ms": _milliseconds(took if duration_ms is None else duration_ms),
        **fields,
    }
    text = ", ".join(f"{_json(name)}: {_json(value)}" for name, value in line.items())
    return f"{{{text}}}".encode(errors="replace").decode()  # half an emoji is no UTF-8


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_text)
    except Exception:  # NaN, a cycle, a key that is a tuple …
        return json.dumps(_text(value), ensure_ascii=False)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _milliseconds(value: Any) -> Optional[float]:
    try:
        number = round(float(value), 3)
    except Exception:
        return None
    return number if math.isfinite(number) else None
