"""A few threads for one piece of work: fewer, or none, where the system gives no more.

Containers and clusters limit processes and address space (`pids.max`, `ulimit -u`, `ulimit -v`); a thread is
one, and reserves some 8 MiB. `ThreadPoolExecutor` starts threads when it has queued work already, and raises then.
"""

from __future__ import annotations

from _thread import LockType, allocate_lock, start_new_thread
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from gitflowrun.limits import THREAD_START

if TYPE_CHECKING:
    from collections.abc import Callable

    _Item = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]

T = TypeVar("T")


class Workers(Executor):
    """An executor whose threads, as far as there are any, are started at once and gone when it is shut down.

    So a fork is safe afterwards. Without threads the caller does the work where it hands it over.

    Args:
        most: How many threads are wanted.

    Attributes:
        count: How many there are.
    """

    def __init__(self, most: int) -> None:
        self._items: SimpleQueue[_Item | None] = SimpleQueue()
        self._ends: list[LockType] = []
        while len(self._ends) < most:
            end = start(self._work)
            if end is None:
                break
            self._ends.append(end)
        self.count = len(self._ends)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As `Executor.submit`; only positional arguments are passed on."""
        assert not kwargs
        future: Future[T] = Future()
        if self._ends:
            self._items.put((future, fn, args))
        else:
            _do(future, fn, args)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Wait until all work is done and the threads are gone."""
        ends, self._ends = self._ends, []
        for _ in ends:
            self._items.put(None)
        for end in ends:
            end.acquire()

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            _do(*item)
            del item  # or an idle thread would keep what it worked on


def _do(future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        if future.set_running_or_notify_cancel():
            future.set_result(function(*arguments))
    except BaseException as error:  # noqa: BLE001  (it is raised where the result is asked for)
        future.set_exception(error)
    finally:
        del future  # the traceback of its error has this frame


def start(work: Callable[[], object]) -> LockType | None:
    """Start a thread; a lock that is released at its end, or None where there can be no more threads.

    Not by `threading.Thread`, which waits for ever for a thread that dies for want of memory before it has begun.
    """
    begun, ended = allocate_lock(), allocate_lock()
    begun.acquire()
    ended.acquire()

    def body() -> None:
        begun.release()
        try:
            work()
        finally:
            ended.release()

    try:
        start_new_thread(body, ())
    except (RuntimeError, MemoryError):
        return None
    return ended if begun.acquire(timeout=THREAD_START) else None
