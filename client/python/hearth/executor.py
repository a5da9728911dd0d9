"""Runs tasks in parallel and waits for them, no longer than the caller wants."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from queue import Empty, Queue

from ._arguments import at_least_one, seconds
from ._typing import TYPE_CHECKING, cast
from .errors import bad_argument
from .timing import log_quietly

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable, Optional, TypeVar, Union, overload

    K = TypeVar("K")
    Task = Union[Callable[[], Any], tuple[Any, ...]]  # a tuple is a function and its arguments
    Name = Any  # a task's key in a dict, or its place in a list
    Todo = deque[tuple[Name, Callable[[], Any]]]
    Done = Queue[tuple[Name, Any, Optional[BaseException]]]  # a task's name, its result and its error

MAX_THREADS = 128  # of all executors together; a thread whose task hangs counts, because it cannot be killed


class ParallelExecutor:
    """Runs tasks on up to max_workers threads. Each call starts threads of its own. Safe for threads.

    The threads are daemons and are not joined. So a task that hangs delays its caller no longer than the timeout, and
    does not delay the interpreter's exit. Because each call has its own threads, a task may use its own executor.
    """

    def __init__(self, max_workers: int = 5) -> None:
        self._max_workers = at_least_one("max_workers", max_workers)
        # The errors of the call that ended last, by the task's name or place.
        self.errors: dict[Name, BaseException] = {}

    if TYPE_CHECKING:

        @overload
        def execute(self, tasks: Mapping[K, Task]) -> dict[K, Any]: ...
        @overload
        def execute(self, tasks: Iterable[Task]) -> list[Any]: ...

    def execute(self, tasks: Union[Iterable[Task], Mapping[Any, Task]]) -> Any:
        """The results of the tasks: a list for a list, a dict for a dict. The result of a task that raises is None.

        A task is a function, or a tuple of a function and its arguments.
        """
        return self.execute_with_timeout(tasks, None)

    if TYPE_CHECKING:

        @overload
        def execute_with_timeout(self, tasks: Mapping[K, Task], timeout: Optional[float] = 30.0) -> dict[K, Any]: ...
        @overload
        def execute_with_timeout(self, tasks: Iterable[Task], timeout: Optional[float] = 30.0) -> list[Any]: ...

    def execute_with_timeout(
        self, tasks: Union[Iterable[Task], Mapping[Any, Task]], timeout: Optional[float] = 30.0
    ) -> Any:
        """Does what execute does, for at most timeout seconds. The result of a task that is not done by then is None.

        Such a task goes on in the background if it has begun, and never begins if it has not.
        """
        self.errors = {}
        by_name = isinstance(tasks, Mapping)
        named = dict(cast("Mapping[Name, Task]", tasks)) if by_name else dict(enumerate(_listed("tasks", tasks)))
        results, self.errors = _run(named, self._max_workers, timeout)
        return results if by_name else list(results.values())

    def execute_batch(self, func: Callable[[Any], Any], items: Iterable[Any], batch_size: int) -> list[Any]:
        """func(item) of each item, in the order of the items. A batch of batch_size items begins when the one before is done."""
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
    """A task was not done, and perhaps had not begun, when the timeout was over."""


def _run(
    tasks: Mapping[Name, Task], workers: int, timeout: Optional[float]
) -> tuple[dict[Name, Any], dict[Name, BaseException]]:
    deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
    # A context can be entered only once at a time, so each task gets a copy of its own.
    todo: Todo = deque(
        (name, partial(copy_context().run, *(task if isinstance(task, tuple) else (task,))))
        for name, task in tasks.items()
    )
    # Not a SimpleQueue: its get may block for ever if the timeout is a few microseconds (seen on CPython 3.9 to 3.12).
    done: Done = Queue()
    results: dict[Name, Any] = dict.fromkeys(tasks)
    errors: dict[Name, BaseException] = {}
    waiting = set(tasks)
    try:
        if not _start(min(workers, len(tasks)), todo, done, deadline) and deadline is None:
            _work(todo, done)  # no thread could be started, so this one does the work
        while waiting:
            name, results[name], problem = done.get(timeout=_left(deadline))
            waiting.discard(name)
            if problem is not None:
                errors[name] = problem
                log_quietly("error", "task %r failed: %r", name, problem, error=problem)
    except Empty:
        late = Unfinished(f"no result within {timeout} s")
        errors.update((name, late) for name in tasks if name in waiting)
        log_quietly("error", "tasks without a result within %s s: %s", timeout, [name for name in tasks if name in waiting])
    finally:
        todo.clear()  # tasks that have not begun never will
    return results, errors


def _listed(name: str, values: Iterable[Any]) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise bad_argument(name, "must be a list") from None


def _left(deadline: Optional[float]) -> Optional[float]:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _start(count: int, todo: Todo, done: Done, deadline: Optional[float]) -> int:
    """Starts up to count threads and returns their number. With a deadline it waits until then for the first one."""
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
        except RuntimeError:  # the system refuses another thread
            slots.release()
            return started
    return count


def _work(todo: Todo, done: Done) -> None:
    """Does tasks until none is left."""
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
    _slots = threading.BoundedSemaphore(MAX_THREADS)  # the parent's threads, which hold slots, do not exist here


os.register_at_fork(after_in_child=_after_fork_in_child)
