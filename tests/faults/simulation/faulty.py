"""A verb is done in this process, or in a fork of it that a failpoint kills or lets fail."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitflowrun import failpoints
from gitflowrun.errors import GitflowrunError
from tests.helpers.flows import at_most, eventually, family

PATIENCE = 2.0
"""Seconds that no verb sleeps: whoever waits for a lock that nobody holds does so for longer."""


@dataclass(frozen=True)
class Fault:
    """What happens to a process at a failpoint: `kill`, or the name of an error of the system."""

    point: str
    what: str
    hit: int = 1

    @property
    def text(self) -> str:
        """As `GITFLOWRUN_FAILPOINTS` has it."""
        return f"{self.point}={self.what}" + (f":{self.hit}" if self.what == "kill" else "")


@dataclass(frozen=True)
class Told:
    """How a verb ended: whether it did, what it told on its way, and how it failed."""

    ended: bool
    words: tuple[Any, ...] = ()
    error: str = ""


def family_is_gone(marker: Path) -> bool:
    """Whether no process lives, two seconds later, that knows a file."""
    return bool(eventually(lambda: not family(str(marker)), at_most(2)))


def attempt(work: Callable[[Callable[[Any], None]], None], fault: Fault | None) -> Told:
    """Do something here, or in a fork of this process in which a fault happens."""
    return _forked(work, fault) if fault else _here(work)


def _here(work: Callable[[Callable[[Any], None]], None]) -> Told:
    words: list[Any] = []
    error: Exception | None = None
    with _awake():
        try:
            work(words.append)
        except (GitflowrunError, OSError) as caught:
            error = caught
    return Told(error is None, tuple(words), f"{type(error).__name__}: {error}" if error else "")


@contextlib.contextmanager
def _awake() -> Iterator[None]:
    """Fail if this process sleeps for longer than somebody does who waits for nobody dead."""
    slept, sleep = [0.0], time.sleep

    def counted(seconds: float) -> None:
        slept[0] += seconds
        sleep(seconds)

    time.sleep = counted  # type: ignore[assignment]
    try:
        yield
    finally:
        time.sleep = sleep
    assert slept[0] < PATIENCE, f"it slept for {slept[0]:.1f} s"


def _forked(work: Callable[[Callable[[Any], None]], None], fault: Fault) -> Told:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which wait here
        pid = os.fork()
    if pid == 0:  # pragma: no cover
        _child(work, fault, writing)
    os.close(writing)
    words: list[Any] = []
    with os.fdopen(reading, "rb") as stream:
        while True:
            try:
                words.append(pickle.load(stream))
            except (EOFError, pickle.UnpicklingError):
                break
    os.waitpid(pid, 0)
    last = words.pop() if words and isinstance(words[-1], Told) else Told(ended=False)
    return Told(last.ended, tuple(words), last.error)


def _child(
    work: Callable[[Callable[[Any], None]], None], fault: Fault, writing: int
) -> None:  # pragma: no cover
    def tell(word: Any) -> None:
        os.write(writing, pickle.dumps(word))

    try:
        arm(fault)
        work(tell)
        tell(Told(ended=True))
    except (GitflowrunError, OSError) as error:
        tell(Told(ended=False, error=f"{type(error).__name__}: {error}"))
    except BaseException:  # noqa: BLE001  (the parent tells it)
        tell(Told(ended=False, error=traceback.format_exc()))
    finally:
        os._exit(0)


def arm(fault: Fault) -> None:
    """Let a failpoint act in this process, which was started without any."""
    failpoints._ACTIONS = failpoints._parsed(fault.text)
    _set_reached(failpoints._act)


@contextlib.contextmanager
def armed(fault: Fault | None) -> Iterator[None]:
    """Let a failpoint act for a while."""
    if fault is None:
        yield
        return
    arm(fault)
    try:
        yield
    finally:
        failpoints._ACTIONS = {}
        _set_reached(failpoints._pass)


def _set_reached(function: Callable[[str], None]) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("gitflowrun") and hasattr(module, "reached"):
            vars(module)["reached"] = function
