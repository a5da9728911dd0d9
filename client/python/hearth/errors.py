"""HearthError, the one exception of this package, and the table of the kinds of problems."""

from __future__ import annotations

import json

from ._typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Optional

    from .types import KindName

_DOCS = "/docs/errors.md#"  # a problem's type is this and its kind

_NOT_ABOUT_THE_CALL = (401, 403, 408, 429)  # these are about the token, the sender or the moment


class Kind:
    """What the problems of a kind have, unless a case of the kind says otherwise."""

    def __init__(self, status: int, title: str, retryable: bool = False) -> None:
        self.status = status
        self.title = title
        self.retryable = retryable


# The kinds by their names, which are the headings of docs/errors.md. The package client/wire has the same table for Go.
KINDS: Mapping[KindName, Kind] = {
    "answer-too-large": Kind(502, "Answer too large"),
    "bad-body": Kind(400, "The body is not what the call takes"),
    "bad-field": Kind(400, "A field is wrong"),
    "expired": Kind(410, "Job expired"),
    "forbidden": Kind(403, "Not a call of this machine's own"),
    "headers": Kind(431, "Headers too large"),
    "internal": Kind(500, "Internal error"),
    "key-reused": Kind(422, "Idempotency key reused"),
    "may-miss-writes": Kind(503, "Writes may be missing", retryable=True),
    "media-type": Kind(415, "Not JSON"),
    "method": Kind(405, "Method not allowed"),
    "no-such-call": Kind(404, "No such call"),
    "no-such-job": Kind(404, "No such job"),
    "not-allowed": Kind(403, "Address not allowed"),
    "not-cached": Kind(504, "Not held"),
    "not-configured": Kind(503, "Upstream not configured"),
    "not-http": Kind(400, "Not HTTP"),
    "odoo": Kind(502, "Odoo refused"),
    "overloaded": Kind(503, "Too many calls at once", retryable=True),
    "partial": Kind(502, "Not everything was written"),
    "preprocess": Kind(502, "No part could be fetched"),
    "redirected": Kind(502, "Upstream's address redirects"),
    "search-cut-short": Kind(502, "Search cut short"),
    "secret": Kind(502, "Secret not resolved"),
    "shutting-down": Kind(503, "Shutting down", retryable=True),
    "slow-request": Kind(408, "Request too slow"),
    "timeout": Kind(504, "No answer in time", retryable=True),
    "token": Kind(401, "Token missing or wrong"),
    "too-large": Kind(413, "Body too large"),
    "unavailable": Kind(503, "Upstream unavailable", retryable=True),
    "unknown-outcome": Kind(502, "Outcome unknown"),
    "unreachable": Kind(502, "Upstream not reached", retryable=True),
    "weaviate": Kind(502, "Weaviate refused"),
    "wrong-class": Kind(502, "Class of the wrong shape"),
}


def decoded(body: bytes) -> Any:
    """What a JSON body says. None if the body is not JSON, or is nested too deeply."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def as_object(value: Any) -> Optional[dict[str, Any]]:
    """A decoded JSON value if it is an object, else None."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


class HearthError(Exception):
    """A call failed. The fields come from the sidecar's problem report (RFC 9457), if it sent one.

    status      HTTP status of the reply; 0 if no usable reply came
    title       the kind of problem, in words
    detail      what happened this time
    type        address of the kind in the documentation
    field       the argument that was refused, if one was
    upstream    "weaviate" or "odoo", if that one failed
    retryable   True if the same call may succeed later and does no harm when it is made again
    problem     the whole report; {} if none came
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
        """The error that a problem report describes. title is used if the report has none; a status that is given is used
        instead of the report's."""
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
        """The error that a reply means. Its body may be something else than a problem report."""
        problem = as_object(decoded(body))
        if problem is None:
            problem = {"detail": body[:300].decode("utf-8", "replace")}
        return cls.of_problem(problem, status, reason)

    @property
    def kind(self) -> str:
        """The kind of problem: one of KINDS, such as "timeout". "" if the error is not one that the sidecar names."""
        return self.type[len(_DOCS) :] if self.type.startswith(_DOCS) else ""

    @property
    def is_callers_fault(self) -> bool:
        """True if the call itself was wrong, so that every sidecar would refuse it."""
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
    """The client refused an argument and sent nothing."""


def bad_argument(field: str, what: str) -> HearthError:
    """The error that the sidecar would answer with, made before anything is sent."""
    kind = KINDS["bad-field"]
    return _BadArgument(kind.status, kind.title, f"{field} {what}", type=f"{_DOCS}bad-field", field=field)


def _first_failure(outcomes: Any) -> str:
    """Names the first of a write's messages that may not be stored, and says why."""
    items = cast("list[Any]", outcomes) if isinstance(outcomes, list) else []
    for place, value in enumerate(items, 1):
        item = as_object(value)
        if item is not None and item.get("outcome") != "stored":
            text = f"message {place} of {len(items)}: {item.get('outcome')}"
            return f"{text}, {item['detail']}" if item.get("detail") else text
    return ""
