"""How long things take in the handler: one line of JSON per measurement, on the logger "hearth", at level INFO."""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional, TypeVar, Union

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("hearth")

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect takes 5 to 10 ms

# The operations that are being measured here. One that is measured by a caller already is not counted twice.
_running: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("hearth_running", default=frozenset())


def log_performance_data(operation: str, duration_ms: float, **fields: Any) -> None:
    """Logs that an operation took so long, with whatever else is worth knowing about it."""
    if logger.isEnabledFor(logging.INFO):
        line = {"operation": operation, "duration_ms": round(duration_ms, 3), **fields}
        logger.info("%s", json.dumps(line, ensure_ascii=False, default=str))


def time_operation_with_metrics(name: str) -> Callable[[F], F]:
    """Measures each call of a function, plain or async, as the operation called name, also when it raises."""

    def decorate(function: F) -> F:
        if _is_async(function):

            @functools.wraps(function)
            async def measured(*args: Any, **kwargs: Any) -> Any:
                with _measured(name):
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def measured(*args: Any, **kwargs: Any) -> Any:
                with _measured(name):
                    return function(*args, **kwargs)

        return measured  # type: ignore[return-value]

    return decorate


def time_operation(function: Union[F, str, None] = None) -> Any:
    """Measures each call of a function under the function's own name, or @time_operation("name") under that."""
    if function is None:
        return time_operation
    if isinstance(function, str):
        return time_operation_with_metrics(function)
    return time_operation_with_metrics(getattr(function, "__name__", type(function).__name__))(function)


@contextmanager
def _measured(name: str) -> Iterator[None]:
    running = _running.get()
    if name in running:
        yield
        return
    token = _running.set(running | {name})
    error: Optional[str] = None
    start = time.perf_counter()
    try:
        yield
    except BaseException as problem:
        error = type(problem).__name__
        raise
    finally:
        duration_ms = (time.perf_counter() - start) * 1000
        _running.reset(token)
        log_performance_data(name, duration_ms, **({"error": error} if error else {}))


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)
