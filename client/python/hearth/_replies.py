"""What replies hold, and what is wrong with them."""

from __future__ import annotations

from ._typing import TYPE_CHECKING
from .errors import HearthError, as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Optional

_ABSENT = object()
_MAY_BE_NULL: frozenset[type[Any]] = frozenset({list, dict})


class Models(dict[str, "Any"]):
    """Odoo models by their technical names: {name: {name, fields}}. errors has a HearthError for each model that is missing."""

    errors: dict[str, HearthError]


class RelevantMessages(list[dict[str, "Any"]]):
    """A list of messages, best first, and the mode of the search that found them."""

    def __init__(self, messages: Iterable[dict[str, Any]] = (), mode: Optional[str] = None) -> None:
        super().__init__(messages)
        self.mode = mode


def field(reply: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """A field that a reply must have, of this type. An empty list or dict may come as null."""
    value: Any = reply.get(name, _ABSENT)
    if value is None and kind in _MAY_BE_NULL:
        return kind()
    if value is _ABSENT or not isinstance(value, kind):
        raise HearthError(0, "Unreadable reply", f"{name} is missing from the reply or not as expected")
    return value


def reasons(reply: Mapping[str, Any]) -> dict[str, str]:
    """A reply's errors, each as one line."""
    lines: dict[str, str] = {}
    for part, value in (as_object(reply.get("errors")) or {}).items():
        problem = as_object(value)
        lines[part] = str(value if problem is None else HearthError.of_problem(problem))
    return lines
