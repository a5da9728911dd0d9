"""What goes wrong, as one exception."""

from __future__ import annotations

import json
from typing import Any, Optional

_NOT_ABOUT_THE_CALL = (401, 403, 408, 429)  # but about the token, the way or the moment


def decoded(body: bytes) -> Any:
    """What a body of JSON says; None where it is no JSON, or nested too deeply."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class HearthError(Exception):
    """A call that could not be answered: the sidecar's problem report (RFC 9457), or the reason why there is none.

    status      of the reply; 0 when there was no usable reply
    title       what kind of problem it is; type is its address in the documentation
    detail      what happened this time
    field       the argument that was refused, where one was
    upstream    "weaviate" or "odoo", where it is to blame
    retryable   whether the same call may succeed later and is safe to make again
    problem     the whole report as it came
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        type: str = "about:blank",
        field: Optional[str] = None,
        upstream: Optional[str] = None,
        retryable: bool = False,
        problem: Optional[dict[str, Any]] = None,
    ) -> None:
        super().__init__(status, title, detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type
        self.field = field
        self.upstream = upstream
        self.retryable = retryable
        self.problem = problem or {}

    @classmethod
    def of_problem(cls, problem: dict[str, Any], status: int = 0, title: str = "") -> HearthError:
        """The error that a problem report describes; status and title stand in for what it leaves out."""
        stated = problem.get("status")
        return cls(
            status or (stated if isinstance(stated, int) else 0),
            str(problem.get("title") or title or "Error"),
            str(problem.get("detail") or ""),
            type=str(problem.get("type") or "about:blank"),
            field=problem.get("field"),
            upstream=problem.get("upstream"),
            retryable=problem.get("retryable") is True,
            problem=problem,
        )

    @classmethod
    def of_reply(cls, status: int, reason: str, body: bytes) -> HearthError:
        """The error that a reply with this status and body means, also if the body is no problem report."""
        problem = decoded(body)
        if not isinstance(problem, dict):
            problem = {"detail": body[:300].decode("utf-8", "replace")}
        return cls.of_problem(problem, status, reason)

    @property
    def is_callers_fault(self) -> bool:
        """Whether the call itself was wrong, so that no working sidecar would have answered it."""
        return 400 <= self.status < 500 and self.status not in _NOT_ABOUT_THE_CALL

    def __str__(self) -> str:
        line = f"{self.status} {self.title}" if self.status else self.title
        detail = _first_failure(self.problem.get("items")) or self.detail
        if detail:
            line += f": {detail}"
        notes = [f"{name} {value}" for name, value in (("field", self.field), ("upstream", self.upstream)) if value]
        if notes:
            line += f" ({', '.join(notes)})"
        return " ".join(line.split())


class _BadArgument(HearthError, ValueError):
    """An argument that was refused here: nothing was sent."""


def bad_argument(field: str, what: str) -> HearthError:
    """What the sidecar would answer, had it been asked."""
    return _BadArgument(400, "Bad Request", f"{field} {what}", field=field)


def _first_failure(items: Any) -> str:
    """Of a write's messages, the first one that is not known to be stored, and why."""
    items = items if isinstance(items, list) else []
    for place, item in enumerate(items, 1):
        if isinstance(item, dict) and item.get("outcome") != "stored":
            text = f"message {place} of {len(items)}: {item.get('outcome')}"
            return f"{text}, {item['detail']}" if item.get("detail") else text
    return ""
