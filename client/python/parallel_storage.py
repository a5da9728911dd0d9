"""Existing handlers import from a module of this name. All of it comes from hearth."""

from hearth import (
    HearthError,
    __getattr__,  # imports ParallelExecutor for a program that asks for it
    get_message_history_parallel,
    get_relevant_messages_parallel,
    log_performance_data,
    parallel_preprocessing,
    time_operation,
    time_operation_with_metrics,
)
from hearth._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth import ParallelExecutor

__all__ = [
    "HearthError",
    "ParallelExecutor",
    "get_message_history_parallel",
    "get_relevant_messages_parallel",
    "log_performance_data",
    "parallel_preprocessing",
    "time_operation",
    "time_operation_with_metrics",
]
