"""Hearth: a caching sidecar for AWS Lambda. This is its client for Python handlers.

Start with parallel_preprocessing: everything a chatbot needs before it can answer, in one call to localhost. Client
offers every call of the sidecar. Nothing here speaks to Weaviate, to Odoo or to any other host: the sidecar does.
"""

from .client import Client
from .errors import HearthError
from .executor import ParallelExecutor
from .parallel import (
    default_client,
    get_message_history_parallel,
    get_relevant_messages_parallel,
    parallel_preprocessing,
)
from .timing import log_performance_data, time_operation, time_operation_with_metrics

__all__ = [
    "Client",
    "HearthError",
    "ParallelExecutor",
    "default_client",
    "get_message_history_parallel",
    "get_relevant_messages_parallel",
    "log_performance_data",
    "parallel_preprocessing",
    "time_operation",
    "time_operation_with_metrics",
]
