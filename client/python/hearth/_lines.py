"""The two lines of a measurement: one for people, and one of JSON, in which Logs Insights finds the fields.

They are printed, and not logged. Lambda's Python runtime drops what logging logs at INFO, or puts it inside a text under
"message". A whole line of JSON on stdout, with level and timestamp, arrives as it is, whatever format the function logs in.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping

from ._typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Any, Optional

MAX_OPERATION = 128  # characters, in the API


def print_lines(operation: str, duration_ms: Optional[float], fields: Mapping[str, Any]) -> None:
    """Prints both lines. Each is one write, because other threads print too."""
    took = "unknown" if duration_ms is None else f"{duration_ms / 1000:.3f}s"
    line = {"level": "INFO", "timestamp": _timestamp(), "operation": operation, "duration_ms": duration_ms}
    line.update((name, value) for name, value in fields.items() if name not in line)
    _write(f"[TIMING] {''.join(mark if mark.isprintable() else ' ' for mark in operation)}: {took}\n")
    _write(_object(line) + "\n")


def as_fields(values: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of all the dicts among the values, under their names as text."""
    fields: dict[str, Any] = {}
    for value in values:
        if isinstance(value, Mapping):
            try:
                fields.update((as_text(name), item) for name, item in cast("Mapping[Any, Any]", value).items())
            except Exception:
                pass  # the operation is printed without them
    return fields


def as_operation(value: Any) -> str:
    return as_text(value)[:MAX_OPERATION] or "unnamed"


def as_text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{name_of(cast('type[Any]', type(value)))}>"


def name_of(kind: type[Any]) -> str:
    try:
        return str(kind.__name__)
    except Exception:  # its metaclass may do anything
        return "unnamed"


def as_milliseconds(value: Any) -> Optional[float]:
    try:
        number = round(float(value), 3)
    except Exception:
        return None
    return number if math.isfinite(number) else None


def _timestamp() -> str:
    """Now, in RFC 3339. The import of datetime takes 2 ms."""
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def _write(line: str) -> None:
    stream: Any = sys.stdout
    line = line.encode(errors="replace").decode()  # UTF-8 has no half emojis
    try:
        stream.write(line)
    except UnicodeEncodeError:  # the stream is not one of UTF-8
        stream.write(line.encode("ascii", "replace").decode())
    stream.flush()  # a freeze may come before the buffer is full


# json.dumps would make an encoder for each line.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=as_text).encode


def _object(line: Mapping[str, Any]) -> str:
    try:
        return _encode(line)
    except Exception:  # a value has a NaN, a cycle or a key that is a tuple
        return f"{{{', '.join(f'{_encode(name)}: {_value(value)}' for name, value in line.items())}}}"


def _value(value: Any) -> str:
    try:
        return _encode(value)
    except Exception:
        return _encode(as_text(value))
