"""`parallel_map` and `parallel_imap_unordered`: a function called for many items, each call in a fork of its own.

The function and the items need not be pickled, so that a lambda does; what it returns must be. A fork writes that
into a file without a name and ends; its end is seen through a pidfd, whatever else the program waits for.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, TypeVar

from gitflowrun.errors import MulticoreException, UsageError
from gitflowrun.values import mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(
    func: Callable[[T], R],
    iterable: Iterable[T],
    max_parallel: int | None = None,
    dir: str | None = None,  # noqa: A002  (Metaflow's name)
) -> list[R]:
    """Call a function for each item, several at the same time.

    Args:
        func: The function.
        iterable: The items.
        max_parallel: The most processes at a time; as many as there are processors when None.
        dir: Where results are kept until they are read; the directory for temporary files when None.

    Returns:
        The results, in the order of the items.

    Raises:
        MulticoreException: a call has failed. Those that have not ended are killed.
        UsageError: `max_parallel` is less than 1.
    """
    found = dict(_results(func, iterable, max_parallel, dir))
    return [found[position] for position in range(len(found))]


def parallel_imap_unordered(
    func: Callable[[T], R],
    iterable: Iterable[T],
    max_parallel: int | None = None,
    dir: str | None = None,  # noqa: A002  (Metaflow's name)
) -> Iterator[R]:
    """As `parallel_map`, but each result comes as soon as it is there. Items are asked for as late as possible."""
    for _, result in _results(func, iterable, max_parallel, dir):
        yield result


@mutable
class _Call:
    """A call under way: the item's position, the process, and the file of its result."""

    position: int
    pid: int
    file: BinaryIO

    def end(self) -> Any:
        """The result, when the process has ended."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            self._fail(f"was killed by signal {-code} ({signal.strsignal(-code)})")
        self.file.seek(0)
        try:
            is_result, value = pickle.load(self.file)  # noqa: S301  (our own process has written it)
        except (
            EOFError,
            pickle.UnpicklingError,
        ):  # it has ended, or the disk was full, before all was written
            self._fail(f"has ended its process with exit code {code}")
        if not is_result:
            self._fail(f"has failed: {value}")
        return value

    def _fail(self, how: str) -> None:
        raise MulticoreException(
            f"the call for item {self.position} {how}", hint="its own output says more"
        )

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self.pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


def _results(
    func: Callable[[T], R], iterable: Iterable[T], most: int | None, folder: str | None
) -> Iterator[tuple[int, R]]:
    if most is None:
        most = len(os.sched_getaffinity(0))
    if most < 1:
        raise UsageError(f"max_parallel is {most}", hint="it must be at least 1")
    items = enumerate(iterable)
    calls: dict[int, _Call] = {}  # by pidfd
    with DefaultSelector() as selector:
        try:
            while True:
                while len(calls) < most and (found := next(items, None)) is not None:
                    call = _start(func, *found, folder)
                    pidfd = os.pidfd_open(call.pid)
                    calls[pidfd] = call
                    selector.register(pidfd, EVENT_READ)
                if not calls:
                    return
                for key, _ in selector.select():
                    call = calls[key.fd]
                    try:
                        result = call.end()
                    finally:
                        selector.unregister(key.fd)
                        _close(calls, key.fd)
                    yield call.position, result
        finally:
            for pidfd, call in list(calls.items()):
                call.kill()
                _close(calls, pidfd)


def _close(calls: dict[int, _Call], pidfd: int) -> None:
    os.close(pidfd)
    calls.pop(pidfd).file.close()


def _start(func: Callable[[Any], Any], position: int, item: Any, folder: str | None) -> _Call:
    file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (it outlives this function)
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)  # or both processes would write what is left
    pid = os.fork()
    if pid:
        return _Call(position, pid, file)
    code = 1
    try:
        code = _call(func, item, file)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        os._exit(code)


def _call(func: Callable[[Any], Any], item: Any, file: BinaryIO) -> int:
    """The whole of a fork: 0 when the result is in the file, 1 when an error is."""
    try:
        answer = pickle.dumps((True, func(item)), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001  (it is told where the result is waited for)
        import traceback

        traceback.print_exc()
        text = "".join(traceback.format_exception_only(error)).rstrip()
        answer = pickle.dumps((False, text))
        file.write(answer)
        file.flush()
        return 1
    file.write(answer)
    file.flush()
    return 0


def _flush(stream: Any) -> None:
    with suppress(AttributeError, OSError, ValueError):  # it may be closed, or none at all
        stream.flush()
