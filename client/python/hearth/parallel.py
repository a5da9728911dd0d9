"""The functions that handlers call already, with the arguments and results they know, over one shared client."""

from __future__ import annotations

import os
import threading
from typing import Any, Optional

from ._arguments import ChatID
from .client import Client, field, reasons
from .errors import HearthError
from .timing import logger, quietly, time_operation_with_metrics

_client: Optional[Client] = None
_making = threading.Lock()  # guards _client


def default_client() -> Client:
    """The client that the functions here share, made when it is first asked for."""
    global _client
    with _making:
        if _client is None:
            _client = Client()
        return _client


@time_operation_with_metrics("parallel_message_history")
def get_message_history_parallel(
    chat_id: ChatID, num_messages: int = 10, full_text_len: int = 5
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """(msg_history, all_messages, user_messages, assistant_messages), oldest first; HearthError when it cannot."""
    reply = default_client().history(chat_id, num_messages, full_text_len)
    msg_history, all_messages, user_messages, assistant_messages = (
        field(reply, name, list) for name in ("msg_history", "all_messages", "user_messages", "assistant_messages")
    )
    return msg_history, all_messages, user_messages, assistant_messages


@time_operation_with_metrics("parallel_relevance_search")
def get_relevant_messages_parallel(chat_id: ChatID, text: str, count: int = 5) -> list[dict[str, Any]]:
    """The messages of the chat that bear on text, best first; HearthError when it cannot."""
    return list(default_client().relevant(chat_id, text, count))


@time_operation_with_metrics("parallel_preprocessing")
def parallel_preprocessing(
    chat_id: ChatID, text: str, route_name: str, relevant_count: int = 5, enable_odoo: bool = False
) -> dict[str, Any]:
    """{'mute_status': [bool], 'odoo_models': {...}, 'relevant_messages': [...]}, all fetched at once.

    A part that failed is left out, and 'errors' says why: {part: reason}. Of odoo_models single models may be left out:
    the reason stands under 'odoo_models.<name>'. Where Odoo was not to be asked, odoo_models is empty. Without a working sidecar there are only 'errors'; HearthError comes only for a call that is itself wrong.
    """
    try:
        reply = default_client().preprocess(chat_id, text, route_name, relevant_count, enable_odoo)
    except HearthError as problem:
        if problem.is_callers_fault:
            raise
        parts = ["mute_status", "relevant_messages", *(["odoo_models"] if enable_odoo else [])]
        errors = reasons(problem.problem) or dict.fromkeys(parts, str(problem))
        quietly(logger.warning, "parallel_preprocessing got nothing: %s", problem)
        return {"errors": errors}

    errors = reasons(reply)
    result: dict[str, Any] = {}
    mute_status = reply.get("mute_status")
    if isinstance(mute_status, dict):
        result["mute_status"] = [mute_status.get("muted") is True]
    elif "mute_status" not in errors:
        errors["mute_status"] = "missing from the reply"
    for part, nothing in (("odoo_models", {}), ("relevant_messages", [])):
        lost = part in errors or (part not in reply and any(name.startswith(f"{part}.") for name in errors))
        if not lost:  # what is empty, or was not asked for, may be left out of the reply
            result[part] = reply.get(part) or nothing
    if errors:
        result["errors"] = errors
        quietly(logger.warning, "parallel_preprocessing goes on without %s", errors)
    return result


def _after_fork_in_child() -> None:
    global _client, _making
    _client, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
