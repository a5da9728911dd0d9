"""Sends what was measured in an invocation to the sidecar, and logs what could not be sent."""

from __future__ import annotations

import time

from ._typing import TYPE_CHECKING
from .timing import log_quietly

if TYPE_CHECKING:
    from typing import Any, Optional

    from ._invocation import Run

PATIENCE = 0.05  # seconds; the handler's reply waits for it
_QUIET = 60.0  # seconds between two lines of the log

_unsent = 0  # timings since the last line
_next_line = 0.0  # a time of time.monotonic
_last_sent: Optional[str] = None  # the request id


def send(run: Run, function_ms: float) -> None:
    """Sends the timings of an invocation that has ended."""
    global _last_sent
    timings, beyond = run.take()
    if not timings:
        return
    if beyond > 0:
        not_sent(beyond, f"an invocation has more than {len(timings)} of them")
    if run.request_id is not None and run.request_id == _last_sent:
        not_sent(len(timings), "those of this request were sent already: let one decorator wrap the whole handler")
        return
    _last_sent = run.request_id
    try:
        from .parallel import default_client

        default_client().send_timings(timings, run.request_id, function_ms, timeout=PATIENCE)
    except Exception as problem:
        not_sent(len(timings), problem)


def not_sent(count: int, why: Any) -> None:
    """Logs that timings were not sent: the first time at once, then at most one line a minute with their number."""
    global _unsent, _next_line
    _unsent += count
    now = time.monotonic()
    if now >= _next_line:
        _next_line = now + _QUIET
        count, _unsent = _unsent, 0
        log_quietly("warning", "Hearth may lack %d timings, which the log has: %s", count, why)
