"""Which engine `--executor` and `runs.executor` name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.errors import UsageError
from gitflowrun.names import nearest
from gitflowrun.settings import LOCAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.runtime.executors.engine import Engine, OnEnd

_ENGINES = ("dask", "ray")
_FACTORY = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z"
_ALLOWED = "local, dask, dask:ADDRESS, ray, ray:ADDRESS, or MODULE:FUNCTION that makes a concurrent.futures.Executor"


def check_executor(words: str) -> str:
    """The words, if they can name an executor.

    Raises:
        UsageError: they can't.
    """
    words = words.strip()
    name, colon, rest = words.partition(":")
    if name in _ENGINES:
        is_right = not colon or bool(rest.strip())
    elif name == LOCAL:
        is_right = not colon
    else:
        is_right = bool(re.match(_FACTORY, words)) and not name.endswith(".py")
    if not is_right:
        raise UsageError(f"{words!r} is no executor", hint=f"{_meant(name, rest)}use {_ALLOWED}")
    return words


def _meant(name: str, rest: str) -> str:
    if name.endswith(".py"):
        module = name.removesuffix(".py").replace("/", ".")
        return f"write {module}:{rest or 'FUNCTION'}; "
    alike = nearest(name.lower(), (LOCAL, *_ENGINES), 1)
    return f"did you mean {alike[0]}? " if alike and alike[0] != name else ""


def engine_of(words: str, on_end: OnEnd, *, slots: int, path: Sequence[str] = ()) -> Engine:
    """The engine that words name, connected; which may take some seconds.

    Args:
        words: As `check_executor` takes them, but `local`.
        on_end: See `Engine`.
        slots: Calls that are to run at the same time where the engine is started for this run.
        path: Where the flow's program looks for modules.

    Raises:
        UsageError: they name none.
        ExecutorError: it is not installed, or can't be used.
    """
    name, _, rest = check_executor(words).partition(":")
    address = rest.strip() or None
    if name == "dask":
        from gitflowrun.runtime.executors.engines.dask_engine import DaskEngine

        return DaskEngine(address, slots, on_end)
    if name == "ray":
        from gitflowrun.runtime.executors.engines.ray_engine import RayEngine

        return RayEngine(address, slots, on_end)
    if name == LOCAL:
        raise UsageError(f"{LOCAL} is no engine", hint="tasks of this machine need none")
    from gitflowrun.runtime.executors.engines.futures_engine import FuturesEngine, factory_of

    return FuturesEngine(words, factory_of(words, path), on_end)
