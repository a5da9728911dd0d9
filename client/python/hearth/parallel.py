"""The functions that existing handlers call, with the same arguments and results. They share one client."""

from __future__ import annotations

import os
import threading

from ._measurement import note_error
from ._replies import field, reasons
from ._typing import TYPE_CHECKING
from .client import Client
from .errors import HearthError, as_object
from .timing import log_quietly, time_operation_with_metrics

if TYPE_CHECKING:
    from typing import Any, Optional

    from ._arguments import ChatID

_client: Optional[Client] = None
_making = threading.Lock()  # guards _client


def default_client() -> Client:
    """The client that the functions of this module share. The first call makes it."""
    global _client
    with _making:
        if _client is None:
            _client = Client()
        return _client


@time_operation_with_metrics("parallel_message_history")
def get_message_history_parallel(
    chat_id: ChatID, num_messages: int = 10, full_text_len: int = 5
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """(msg_history, all_messages, user_messages, assistant_messages), oldest first. Raises HearthError if it fails."""
    reply = default_client().history(chat_id, num_messages, full_text_len)
    msg_history, all_messages, user_messages, assistant_messages = (
        field(reply, name, list) for name in ("msg_history", "all_messages", "user_messages", "assistant_messages")
    )
    return msg_history, all_messages, user_messages, assistant_messages


@time_operation_with_metrics("parallel_relevance_search")
def get_relevant_messages_parallel(chat_id: ChatID, text: str, count: int = 5) -> list[dict[str, Any]]:
    """The messages of the chat that are relevant to text, best first. Raises HearthError if it fails."""
    return list(default_client().relevant(chat_id, text, count))


@time_operation_with_metrics("parallel_preprocessing")
def parallel_preprocessing(
    chat_id: ChatID, text: str, route_name: str, relevant_count: int = 5, enable_odoo: bool = False
) -> dict[str, Any]:
    """{'mute_status': [bool], 'odoo_models': {...}, 'relevant_messages': [...], 'errors': {part: reason}}, fetched at once.

    A part that failed is left out, and 'errors', which is there only if something failed, says why. If single models
    failed, 'odoo_models' holds the others, and the reasons are under 'odoo_models.<name>'. If Odoo is not to be asked,
    'odoo_models' is empty. If the sidecar does not work, the result has 'errors' alone. Only a call that is itself wrong
    raises HearthError.
    """
    try:
        reply = default_client().preprocess(chat_id, text, route_name, relevant_count, enable_odoo)
    except HearthError as problem:
        if problem.is_callers_fault:
            raise
        parts = ["mute_status", "relevant_messages", *(["odoo_models"] if enable_odoo else [])]
        errors = reasons(problem.problem) or dict.fromkeys(parts, str(problem))
        log_quietly("warning", "parallel_preprocessing got nothing: %s", problem)
        note_error(problem)
        return {"errors": errors}

    errors = reasons(reply)
    result: dict[str, Any] = {}
    mute_status = as_object(reply.get("mute_status"))
    if mute_status is not None:
        result["mute_status"] = [mute_status.get("muted") is True]
    elif "mute_status" not in errors:
        errors["mute_status"] = "missing from the reply"
    empty: dict[str, Any] = {"odoo_models": {}, "relevant_messages": []}
    for part, nothing in empty.items():
        failed = part in errors or (part not in reply and any(name.startswith(f"{part}.") for name in errors))
        if not failed:  # a reply may leave out a part that is empty or was not asked for
            result[part] = reply.get(part) or nothing
    if errors:
        result["errors"] = errors
        log_quietly("warning", "parallel_preprocessing goes on without %s", errors)
    return result


def _after_fork_in_child() -> None:
    global _client, _making
    _client, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
