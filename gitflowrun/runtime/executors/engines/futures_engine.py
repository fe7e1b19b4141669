"""Any `concurrent.futures.Executor` as an engine: loky, mpi4py, Parsl, dask-jobqueue, or one of your own.

The executor is made by calling a function of the user's in the scheduler's process. One that has broken, as a pool of
processes does when one of them is killed, is replaced by another one of the same function.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import sys
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    ThreadPoolExecutor,
)
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ExecutorError
from gitflowrun.names import nearest
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.known_workers import within
from gitflowrun.runtime.executors.engines.placed_calls import GIVEN_UP, PlacedCalls, reason_of
from gitflowrun.runtime.executors.engines.run_agent import run_agent_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from gitflowrun.runtime.executors.engine import OnEnd, Resources


class FuturesEngine:
    """Places agents by an executor's `submit`, which takes no notice of resources.

    Args:
        name: What users call it: `MODULE:FACTORY`.
        factory: Makes an executor.
        on_end: See `Engine`.
        program: See `run_agent`.

    Raises:
        ExecutorError: the factory makes none.
    """

    host: str | None = None

    def __init__(
        self,
        name: str,
        factory: Callable[[], object],
        on_end: OnEnd,
        program: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self._factory = factory
        self._calls = PlacedCalls(on_end)
        self._program = program
        self._made = 0
        self._executor: Executor | None = self._make()
        # Factories and `submit` start processes or wait for other machines: in a thread of their own they may.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def _make(self) -> Executor:
        self._made += 1
        try:
            executor = self._factory()
        except Exception as error:
            raise ExecutorError(
                f"{self.name} has failed: {reason_of(error)}",
                hint="it is called without arguments in the scheduler's process, and returns an executor",
            ) from error
        if not isinstance(executor, Executor):
            raise ExecutorError(
                f"{self.name} returns {type(executor).__qualname__}, which is no concurrent.futures.Executor",
                hint="return one, such as loky.get_reusable_executor() or client.get_executor()",
            )
        _refuse_forks(self.name, executor)
        return executor

    def start(self, number: int, call: bytes, resources: Resources) -> None:  # noqa: ARG002  (the engine's signature)
        """Have an agent placed."""
        self._calls.begin(number)
        self._thread.submit(self._place, number, call)

    def _place(self, number: int, call: bytes) -> None:
        if not self._calls.is_wanted(number):
            return
        try:
            future = self._submit(call)
        except Exception as error:  # noqa: BLE001  (executors may be anybody's)
            self._calls.end(number, reason_of(error))
            return
        if self._calls.place(number, future):
            future.add_done_callback(lambda done: self._ended(number, done))
        else:
            _give_up(future)

    def _submit(self, call: bytes) -> Future[str | None]:
        """Give a call to the executor; to another one where the last one has broken, which is seen here."""
        if self._executor is not None:
            try:
                return self._executor.submit(run_agent_of, os.getpid(), call, self._program)
            except (BrokenExecutor, RuntimeError):  # of one that was shut down
                _shut_down(self._executor)
                self._executor = None
        if self._made >= engine_limits.EXECUTORS_MADE:
            raise ExecutorError(
                f"{self._made} executors of {self.name} have broken",
                hint="look at what ends its workers: memory, a batch system's time limit, a crash",
            )
        self._executor = self._make()
        return self._executor.submit(run_agent_of, os.getpid(), call, self._program)

    def _ended(self, number: int, future: Future[str | None]) -> None:
        try:
            reason = future.result()
        except CancelledError:
            reason = GIVEN_UP
        except BaseException as error:  # noqa: BLE001  (likewise)
            reason = reason_of(error)
        self._calls.end(number, reason)

    def cancel(self, number: int) -> None:
        """Give a call up that has not begun."""
        future = self._calls.future(number)
        if future is None:
            self._calls.end(number, GIVEN_UP)
        else:
            _give_up(future)

    def where(self) -> str:
        """What the factory has made."""
        kind = type(self._executor)
        return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"

    def close(self) -> None:
        """Shut the executor down, which takes as long as agents need to see that the driver's links have ended."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        for future in self._calls.futures():
            _give_up(future)
        if self._executor is not None:
            _end(self._executor)
            # What a pool has of the system goes with its objects, which refer to each other; Python calls it leaked
            # where they are there at the end of the process.
            self._executor = None
            gc.collect()


def _give_up(future: Future[str | None]) -> None:
    """Cancel a call, if its executor can: an agent that is not expected any more ends by itself."""
    with contextlib.suppress(Exception):  # Parsl's can't
        future.cancel()


def _end(executor: Executor) -> None:
    """Shut an executor down, and its processes: this one ends soon, by itself, and nobody would tell them then."""
    processes = [*(getattr(executor, "_processes", None) or {}).values()]
    try:
        within(engine_limits.POOL_END, lambda: _shut_down(executor, wait=True))
    except TimeoutError:
        for process in processes:
            with contextlib.suppress(Exception):
                process.kill()


def _shut_down(executor: Executor, *, wait: bool = False) -> None:
    with contextlib.suppress(
        Exception
    ):  # what can't be ended by its own means ends with the process
        executor.shutdown(wait=wait)


def _refuse_forks(name: str, executor: Executor) -> None:
    """Refuse a pool whose processes would hold copies of the scheduler's open files, locks among them."""
    context = getattr(executor, "_mp_context", None)
    if getattr(context, "_name", None) == "fork" or (
        context is not None and context.get_start_method() == "fork"
    ):
        raise ExecutorError(
            f"the processes of {name} would be forks of the scheduler",
            hint="make it with mp_context=multiprocessing.get_context('spawn')",
        )


def factory_of(words: str, path: Sequence[str]) -> Callable[[], object]:
    """The function that `MODULE:FACTORY` names.

    Args:
        words: Which.
        path: Where the flow's program looks for modules.

    Raises:
        ExecutorError: there is none.
    """
    module_name, _, name = words.partition(":")
    if multiprocessing.get_start_method(allow_none=True) is None:
        multiprocessing.set_start_method("spawn")  # pools take it where nothing else is said
    sys.path += [it for it in path if it not in sys.path]
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ExecutorError(
            f"the module of --executor {words} can't be imported: {reason_of(error)}",
            hint="it is looked for beside the flow's file and where Python looks for modules",
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            alike = nearest(part, [it for it in dir(found) if not it.startswith("_")])
            raise ExecutorError(
                f"--executor {words}: {module_name} has no {part}",
                hint=f"did you mean {', '.join(alike)}?" if alike else "name a function in it",
            )
        found = getattr(found, part)
    if not callable(found):
        raise ExecutorError(
            f"--executor {words} is a value ({type(found).__qualname__}), not a function",
            hint="name a function without arguments that makes a concurrent.futures.Executor",
        )
    factory: Callable[[], object] = found
    return factory
