"""The client of Hearth, a caching sidecar for AWS Lambda, for handlers in Python.

Start with parallel_preprocessing: one call to localhost fetches what a chatbot needs before it can answer. Client has a
method for every call of the sidecar. The client talks to the sidecar alone; the sidecar talks to Weaviate and Odoo.
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
