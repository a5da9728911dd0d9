"""Completes messages, so that writing them again changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from itertools import islice

from ._arguments import floats, is_utf8
from ._typing import TYPE_CHECKING, cast
from .errors import bad_argument

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable, Optional, Union

MAX_MESSAGES = 100  # in one call; the sidecar refuses more


def stamped(messages: Union[Mapping[str, Any], Iterable[Mapping[str, Any]]]) -> Union[dict[str, Any], list[dict[str, Any]]]:
    """Copies with id and created_at filled in. Of two times that are filled in, the later in the list is the later time."""
    if isinstance(messages, Mapping):
        return _stamped([cast("Mapping[str, Any]", messages)], lambda place: "")[0]
    try:
        given: list[Any] = list(islice(messages, MAX_MESSAGES + 1))
    except TypeError:
        raise bad_argument("messages", "must be a message or a list of messages") from None
    return _stamped(given, "[{}].".format)


def _stamped(messages: list[Any], prefix: Callable[[int], str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    last: Optional[datetime] = None
    now = datetime.now(timezone.utc)
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise bad_argument(f"messages[{place}]", f"must be a dict, not {type(message).__name__}")
        item = dict(cast("Mapping[str, Any]", message))
        if item.get("id") is None:
            item["id"] = _uuid4()
        elif isinstance(item["id"], str) and not is_utf8(item["id"]):  # after encoding it might name another message
            raise bad_argument(f"{prefix(place)}id", "must be UTF-8")
        if item.get("created_at") is None:
            last = now if last is None else max(now, _next(last))
            item["created_at"] = rfc3339("created_at", last)
        else:
            item["created_at"] = rfc3339(f"{prefix(place)}created_at", item["created_at"])
            last = max(filter(None, (last, _parsed(item["created_at"]))), default=None)
        if item.get("vector") is not None:
            item["vector"] = floats(f"{prefix(place)}vector", item["vector"])
        items.append(item)
    return items


def rfc3339(name: str, when: Any) -> Any:
    """A time as the API takes it. Text stays as it is. A datetime without a zone is local time, as elsewhere in Python."""
    if not isinstance(when, datetime):
        return when
    try:
        return when.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        raise bad_argument(name, "must be a time of the years 1700 to 2250") from None


def _next(when: datetime) -> datetime:
    try:
        return when + timedelta(microseconds=1)
    except OverflowError:
        return when  # there is no later time, and the sidecar refuses this one


def _parsed(when: Any) -> Optional[datetime]:
    try:
        parsed = datetime.fromisoformat(when.replace("Z", "+00:00"))
    except (ValueError, AttributeError, TypeError):
        return None  # the sidecar says what is wrong with it
    return parsed if parsed.tzinfo else None


def _uuid4() -> str:
    """The same as uuid.uuid4().hex. The import of uuid takes up to 10 ms on older Pythons."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    return octets.hex()
