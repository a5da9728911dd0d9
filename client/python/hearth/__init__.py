"""The client of Hearth, a caching sidecar for AWS Lambda, for handlers in Python.

Start with parallel_preprocessing: one call to localhost fetches what a chatbot needs before it can answer. Client has a
method for every call of the sidecar. The client talks to the sidecar alone; the sidecar talks to Weaviate and Odoo.

A cold start waits for this import. So the modules of this package import what the first call needs and nothing slow
beside that: not typing (see _typing.py), and logging only to log.
"""

from __future__ import annotations

from ._invocation import invocation
from ._typing import TYPE_CHECKING
from .client import Client
from .errors import HearthError
from .parallel import (
    default_client,
    get_message_history_parallel,
    get_relevant_messages_parallel,
    parallel_preprocessing,
)
from .timing import log_performance_data, time_operation, time_operation_with_metrics

if TYPE_CHECKING:
    from typing import Any

    from .executor import ParallelExecutor

__all__ = [
    "Client",
    "HearthError",
    "ParallelExecutor",
    "default_client",
    "get_message_history_parallel",
    "get_relevant_messages_parallel",
    "invocation",
    "log_performance_data",
    "parallel_preprocessing",
    "time_operation",
    "time_operation_with_metrics",
]


def __getattr__(name: str) -> Any:
    """Imports ParallelExecutor for the first program that asks for it. A program that leaves the parallel work to the sidecar
    does not."""
    if name == "ParallelExecutor":
        from .executor import ParallelExecutor

        return ParallelExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
