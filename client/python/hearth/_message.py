"""Messages made ready for writing, so that writing them once more changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Union


def stamped(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies with id and created_at filled in, later in the list meaning later in time."""
    items = []
    last: Optional[datetime] = None
    now = datetime.now(timezone.utc)
    for message in messages:
        item = dict(message)
        if item.get("id") is None:
            item["id"] = _uuid4()
        if item.get("created_at") is None:
            last = now if last is None else max(now, last + timedelta(microseconds=1))
            item["created_at"] = rfc3339(last)
        else:
            item["created_at"] = rfc3339(item["created_at"])
            last = max(filter(None, (last, _parsed(item["created_at"]))), default=None)
        items.append(item)
    return items


def rfc3339(when: Union[str, datetime]) -> str:
    """A time as the API takes it. Text goes as it is; a datetime without a zone is local time, as in all of Python."""
    if not isinstance(when, datetime):
        return when
    return when.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parsed(when: str) -> Optional[datetime]:
    try:
        parsed = datetime.fromisoformat(when.replace("Z", "+00:00"))
    except (ValueError, AttributeError, TypeError):
        return None  # the sidecar will say what is wrong with it, if anything is
    return parsed if parsed.tzinfo else None


def _uuid4() -> str:
    """As uuid.uuid4().hex, whose import takes up to 10 ms on older Pythons."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    return octets.hex()
