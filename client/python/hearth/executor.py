"""Tasks run side by side, and waited for no longer than asked."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from functools import partial
from queue import Empty, Queue
from typing import Any, Callable, Optional, Union

from ._arguments import at_least_one, seconds
from .errors import bad_argument
from .timing import logger, quietly

MAX_THREADS = 128  # of all executors together, those that hang included: a thread cannot be killed

Task = Union[Callable[[], Any], tuple]  # a tuple: a function and its arguments
Name = Any  # a task's key in a dict, or its place in a list


class ParallelExecutor:
    """Runs tasks on up to max_workers threads at a time, for each call anew.

    The threads are daemons and nobody joins them, so a task that hangs holds up neither its caller beyond the timeout
    nor the interpreter's exit. That each call has threads of its own is what lets a task call its own executor. Safe
    for threads.
    """

    def __init__(self, max_workers: int = 5) -> None:
        self._max_workers = at_least_one("max_workers", max_workers)
        # Why tasks gave None in the call that ended last, by the task's name or place.
        self.errors: dict[Name, BaseException] = {}

    def execute(self, tasks: Union[Iterable[Task], Mapping[Any, Task]]) -> Any:
        """The tasks' results: a list for a list, a dict for a dict. A task that raises gives None.

        A task is a function, or a tuple of a function and its arguments.
        """
        return self.execute_with_timeout(tasks, None)

    def execute_with_timeout(
        self, tasks: Union[Iterable[Task], Mapping[Any, Task]], timeout: Optional[float] = 30.0
    ) -> Any:
        """As execute, but a task not done timeout seconds after the call began gives None and is left behind."""
        self.errors = {}
        named = dict(tasks) if isinstance(tasks, Mapping) else dict(enumerate(_listed("tasks", tasks)))
        results, self.errors = _run(named, self._max_workers, timeout)
        return results if isinstance(tasks, Mapping) else list(results.values())

    def execute_batch(self, func: Callable[[Any], Any], items: Iterable[Any], batch_size: int) -> list[Any]:
        """func(item) of each item, in order, batch_size of them at a time and no batch before the last one is done."""
        at_least_one("batch_size", batch_size)
        self.errors = {}
        items = _listed("items", items)
        results: dict[Name, Any] = {}
        errors: dict[Name, BaseException] = {}
        for start in range(0, len(items), batch_size):
            batch = enumerate(items[start : start + batch_size], start)
            got, problems = _run({place: (func, item) for place, item in batch}, self._max_workers, None)
            results.update(got)
            errors.update(problems)
        self.errors = errors
        return list(results.values())


class Unfinished(TimeoutError):
    """A task that was not done, perhaps not begun, when the time was over."""


def _run(
    tasks: Mapping[Name, Task], workers: int, timeout: Optional[float]
) -> tuple[dict[Name, Any], dict[Name, BaseException]]:
    deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
    # A context can be entered only once at a time, so each task gets a copy of its own.
    todo = deque(
        (name, partial(copy_context().run, *(task if isinstance(task, tuple) else (task,))))
        for name, task in tasks.items()
    )
    # Not a SimpleQueue: its get may block for ever if the timeout is a few microseconds (seen on CPython 3.9 to 3.12).
    done: Queue[tuple[Name, Any, Optional[BaseException]]] = Queue()
    results: dict[Name, Any] = dict.fromkeys(tasks)
    errors: dict[Name, BaseException] = {}
    waiting = set(tasks)
    try:
        if not _start(min(workers, len(tasks)), todo, done, deadline) and deadline is None:
            _work(todo, done)  # no thread to be had: do it here, so that it is done at all
        while waiting:
            name, results[name], problem = done.get(timeout=_left(deadline))
            waiting.discard(name)
            if problem is not None:
                errors[name] = problem
                quietly(logger.error, "task %r failed: %r", name, problem, exc_info=problem)
    except Empty:
        late = Unfinished(f"no result within {timeout} s")
        errors.update((name, late) for name in tasks if name in waiting)
        quietly(logger.error, "tasks without a result within %s s: %s", timeout, [name for name in tasks if name in waiting])
    finally:
        todo.clear()  # whatever has not begun never will
    return results, errors


def _listed(name: str, values: Iterable[Any]) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise bad_argument(name, "must be a list") from None


def _left(deadline: Optional[float]) -> Optional[float]:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _start(count: int, todo: deque, done: Queue, deadline: Optional[float]) -> int:
    """Starts up to count threads; how many there were. For the first one it waits, as long as there is a deadline."""
    slots = _slots

    def work() -> None:
        try:
            _work(todo, done)
        finally:
            slots.release()

    for started in range(count):
        if not slots.acquire(timeout=0 if started else _left(deadline) or 0):
            return started
        try:
            threading.Thread(target=work, name="hearth-task", daemon=True).start()
        except RuntimeError:  # the system has no more threads to give
            slots.release()
            return started
    return count


def _work(todo: deque, done: Queue) -> None:
    while True:
        try:
            name, task = todo.popleft()
        except IndexError:
            return
        try:
            done.put((name, task(), None))
        except BaseException as problem:
            done.put((name, None, problem))


_slots = threading.BoundedSemaphore(MAX_THREADS)


def _after_fork_in_child() -> None:
    global _slots
    _slots = threading.BoundedSemaphore(MAX_THREADS)  # the threads that held the old one's are not here


os.register_at_fork(after_in_child=_after_fork_in_child)
