"""Measures how long operations of the handler take. Logs one JSON line each to the logger "hearth", at level INFO.

A measurement never makes a handler fail, whatever arguments it is given and even if the line cannot be written.
"""

from __future__ import annotations

import contextvars
import functools
import json
import math
import sys
import time
from collections.abc import Mapping

from ._invocation import invocation_of
from ._typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import Any, Callable, Optional

# The same values as in inspect. The import of inspect takes 5 to 10 ms.
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200

# The operations that are being measured in this context. An operation within itself is not measured again.
_running: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("hearth_running", default=frozenset())


def log_quietly(level: str, text: str, *args: Any, error: Optional[BaseException] = None) -> None:
    """Logs to the logger "hearth" and drops what that raises: the stream that the logger writes to may be closed."""
    try:
        import logging  # imported here because that takes 5 ms

        getattr(logging.getLogger("hearth"), level)(text, *args, exc_info=error)
    except Exception:
        pass


def log_performance_data(operation: Any = None, duration_ms: Any = None, /, *more: Any, **fields: Any) -> None:
    """Logs how long an operation took. More fields may be given as keywords, or in a dict as the third argument.

    A value that JSON does not know is logged as text, and a duration that is not a finite number as null.
    """
    logging = sys.modules.get("logging")
    if logging is None:
        return  # nobody has set a level, and the default one is WARNING
    try:
        logger = logging.getLogger("hearth")
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", _line(operation, duration_ms, (*more, fields)))
    except Exception:
        pass


def time_operation_with_metrics(name: Any) -> Any:
    """Measures each call of the decorated function, under this name. A call that raises is measured too.

    The function may be async. A generator, plain or async, is measured from its first step to its end. If the function is a
    Lambda handler, the client's calls within it end in time: see hearth.invocation.
    """
    if callable(name):  # used as @time_operation_with_metrics, without a name
        return time_operation(name)
    operation = _text(name)

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return _decorated_method(function, decorate)
        return _measured(operation, function) if callable(function) else function

    return decorate


def time_operation(function: Any = None) -> Any:
    """Measures each call of the decorated function, under the function's name, or with @time_operation("name") under that name."""
    if function is None:
        return time_operation
    if callable(function) or hasattr(function, "__get__"):  # a function, a staticmethod, a property …
        inner = getattr(function, "__func__", function)
        return time_operation_with_metrics(_text(getattr(inner, "__name__", type(inner).__name__)))(function)
    return time_operation_with_metrics(function)


def _decorated_method(method: Any, decorate: Callable[[Any], Any]) -> Any:
    """A staticmethod or classmethod like this one, whose function is decorated."""
    return type(method)(decorate(method.__func__))


def _measured(operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _Measurement(operation), invocation_of(args, kwargs):
            return function(*args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with _Measurement(operation), invocation_of(args, kwargs):
            return await function(*args, **kwargs)

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _Measurement(operation, pauses=True):
            steps: Generator[Any, Any, Any] = function(*args, **kwargs)
            return (yield from steps)

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with _Measurement(operation, pauses=True):
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


class _Measurement:
    """Logs how long its block took. An exception of the block passes through unchanged."""

    def __init__(self, operation: str, pauses: bool = False) -> None:
        self._operation = operation
        self._pauses = pauses  # a generator's caller runs while the generator pauses, so its context must not be marked
        self._mark: Optional[contextvars.Token[frozenset[str]]] = None

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
                pass  # a coroutine may end in another context than it began in
        if self._counts:
            failed = kind not in (None, GeneratorExit)  # GeneratorExit: the caller wants no more items
            log_performance_data(self._operation, duration_ms, {"error": kind.__name__} if kind and failed else None)


def _flags(function: Any) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    return flags if isinstance(flags, int) else 0


def _line(operation: Any, duration_ms: Any, extras: tuple[Any, ...]) -> str:
    fields: dict[str, Any] = {}
    for extra in extras:
        if isinstance(extra, Mapping):
            more = cast("Mapping[Any, Any]", extra)
            fields.update((_text(name), value) for name, value in more.items())
    named, took = fields.pop("operation", None), fields.pop("duration_ms", None)
    line = {
        "operation": _text(named if operation is None else operation),
        "duration_ms": _milliseconds(took if duration_ms is None else duration_ms),
        **fields,
    }
    text = ", ".join(f"{_json(name)}: {_json(value)}" for name, value in line.items())
    return f"{{{text}}}".encode(errors="replace").decode()  # UTF-8 has no half emojis


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_text)
    except Exception:  # the value has a NaN, a cycle or a key that is a tuple
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
