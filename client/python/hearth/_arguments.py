"""What callers give, made ready to be sent. What is of no use is refused here, with the argument's name."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Optional, Union

from .errors import HearthError, bad_argument

MAX_DIMENSIONS = 65535  # of a vector in Weaviate
MAX_SECONDS = 86400.0  # longer than any function runs, and short enough for every system call

ChatID = Union[str, int]


def chat(chat_id: ChatID) -> str:
    """A chat_id that reaches the sidecar as it is. What UTF-8 cannot carry might become another chat on the way."""
    try:
        text = chat_id if isinstance(chat_id, str) else str(int(operator.index(chat_id)))
        if 1 <= len(text.encode()) <= 512 and not isinstance(chat_id, bool):
            return text
    except Exception:  # no whole number, half an emoji …
        pass
    raise bad_argument("chat_id", "must be a string of 1 to 512 bytes of UTF-8, or an int")


def floats(name: str, vector: Optional[Iterable[float]]) -> Optional[list[float]]:
    """Also from an array whose numbers JSON does not know."""
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
    """A list of texts from what holds several, such as a tuple. A single text is left to the call."""
    if values is None or isinstance(values, str):
        return values
    try:
        listed = list(values)
    except Exception:
        listed = [None]
    if not all(isinstance(value, str) for value in listed):
        raise bad_argument(name, "must be a list of strings")
    return listed


def seconds(name: str, value: float, unit: float = 1.0) -> float:
    try:
        number = float(value) * unit
    except Exception:
        number = math.nan
    if math.isnan(number):
        raise bad_argument(name, "must be a number")
    return min(number, MAX_SECONDS)


def at_least_one(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad_argument(name, "must be a whole number of at least 1")
    return value


def header(name: str, value: str) -> str:
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
    """The value of a parameter in a query: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return _json(value)
    except Exception as problem:
        raise _unfit(name, problem) from None


def body(content: Any) -> bytes:
    """The body of a call: an object, or an array of objects."""
    try:
        text = _json(content)
    except Exception as problem:
        raise _at_fault(content) or _unfit("body", problem) from None
    return text.encode(errors="replace")  # half an emoji, left by slicing elsewhere, is no UTF-8


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_whole)


def _whole(value: Any) -> int:
    """Whole numbers that are no int, such as numpy's."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{type(value).__name__} is none of its types") from None


def _at_fault(content: Any, prefix: str = "") -> Optional[HearthError]:
    """An error that names the first field that cannot be written."""
    if isinstance(content, list):
        found = (_at_fault(item, f"[{place}].") for place, item in enumerate(content))
        return next(filter(None, found), None)
    for name, value in content.items():
        try:
            _json({name: value})
        except Exception as problem:
            return _unfit(f"{prefix}{name}", problem)
    return None


def _unfit(name: str, problem: Exception) -> HearthError:
    return bad_argument(name, f"cannot be written as JSON: {problem}")
