"""Checks arguments and encodes them. An argument that cannot be sent is refused with its name."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from itertools import islice

from ._typing import TYPE_CHECKING, cast
from .errors import bad_argument

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Optional, SupportsIndex, Union

    from .errors import HearthError

    ChatID = Union[str, SupportsIndex]

MAX_DIMENSIONS = 65535  # of a vector in Weaviate
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_QUOTED = [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)]  # by the byte
MAX_SECONDS = 86400.0  # longer than any function runs; system calls refuse much longer times


def chat(chat_id: ChatID) -> str:
    """The chat_id as text. Text that UTF-8 cannot carry is refused, because it might name another chat after encoding."""
    try:
        text = chat_id if isinstance(chat_id, str) else str(int(operator.index(chat_id)))
        if 1 <= len(text.encode()) <= 512 and not isinstance(chat_id, bool):
            return text
    except Exception:  # neither text nor a whole number, or half an emoji
        pass
    raise bad_argument("chat_id", "must be a string of 1 to 512 bytes of UTF-8, or an int")


def chat_path(chat_id: ChatID, what: str) -> str:
    """The path of a chat's call, such as its "history"."""
    segment = quoted(chat(chat_id))
    if segment in (".", ".."):
        segment = segment.replace(".", "%2E")  # no program on the way to the sidecar may resolve it
    return f"/v1/chats/{segment}/{what}"


def quoted(text: str) -> str:
    """The same as urllib.parse.quote(text, safe=""). The import of urllib.parse takes 1 to 7 ms."""
    return "".join([_QUOTED[byte] for byte in text.encode(errors="replace")])


def floats(name: str, vector: Optional[Iterable[float]]) -> Optional[list[float]]:
    """The vector as a list of floats. It may be an array whose numbers JSON does not know, such as numpy's."""
    if vector is None:
        return None
    try:
        if isinstance(vector, (str, bytes, bytearray, Mapping, set, frozenset)):
            raise TypeError
        numbers = [_finite(number) for number in islice(vector, MAX_DIMENSIONS + 1)]
    except Exception:
        raise bad_argument(name, "must be a list of finite numbers") from None
    if not 1 <= len(numbers) <= MAX_DIMENSIONS:
        raise bad_argument(name, f"must have 1 to {MAX_DIMENSIONS} numbers")
    return numbers


def _finite(number: Any) -> float:
    if isinstance(number, (str, bytes, bytearray, bool)) or not math.isfinite(number := float(number)):
        raise ValueError
    return number


def texts(name: str, values: Union[str, Iterable[str], None]) -> Union[str, list[str], None]:
    """The texts as a list. A single text stays as it is."""
    if values is None or isinstance(values, str):
        return values
    try:
        listed: list[Any] = list(values)
    except Exception:
        listed = [None]
    if not all(isinstance(value, str) for value in listed):
        raise bad_argument(name, "must be a list of strings")
    return listed


def seconds(name: str, value: Any, unit: float = 1.0) -> float:
    """A time in seconds, of a number in units of so many seconds."""
    try:
        number = float(value) * unit
    except Exception:
        number = math.nan
    if math.isnan(number):
        raise bad_argument(name, "must be a number")
    return min(number, MAX_SECONDS)


def at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad_argument(name, "must be a whole number of at least 1")
    return value


def header(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_header(value):
        raise bad_argument(name, "must be one line of ASCII")
    return value


def is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half an emoji
        return False
    return True


def parameter(name: str, value: Any) -> str:
    """The value of a query parameter: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return str(value) if type(value) is int else _json(value)  # an int is the usual case, and needs no encoder
    except Exception as problem:
        raise _unfit(name, problem) from None


def body(content: Any) -> bytes:
    """The body of a call, which is an object or an array of objects, as JSON."""
    try:
        text = _json(content)
    except Exception as problem:
        raise _at_fault(content) or _unfit("body", problem) from None
    return text.encode(errors="replace")  # UTF-8 has no half emojis, which slicing leaves


def _whole(value: Any) -> int:
    """The int of a whole number of another type, such as numpy's."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{type(value).__name__} is none of its types") from None


# json.dumps would make an encoder for each call.
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_whole).encode


def _at_fault(content: Any, prefix: str = "") -> Optional[HearthError]:
    """The error that names the first field that cannot be written as JSON."""
    if isinstance(content, list):
        found = (_at_fault(item, f"[{place}].") for place, item in enumerate(cast("list[Any]", content)))
        return next(filter(None, found), None)
    for name, value in content.items():
        try:
            _json({name: value})
        except Exception as problem:
            return _unfit(f"{prefix}{name}", problem)
    return None


def _unfit(name: str, problem: Exception) -> HearthError:
    return bad_argument(name, f"cannot be written as JSON: {problem}")


def may_write(request: Mapping[str, Any]) -> bool:
    """True unless this call of a batch is a read, which may be sent twice."""
    path = str(request.get("path")).partition("?")[0]
    return request.get("method") not in ("GET", "HEAD") and path != "/v1/preprocess" and not path.endswith("/relevant")


def patience_for(timeout_ms: Optional[int]) -> Optional[float]:
    """How long to wait for an answer that the sidecar makes within timeout_ms."""
    return None if timeout_ms is None else seconds("timeout_ms", timeout_ms, 0.001) + 1


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
