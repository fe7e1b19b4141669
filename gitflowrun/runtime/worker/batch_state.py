"""What a task may leave behind in its process, found before the process runs another task.

A task in a process of its own leaves nothing behind. One after which the process goes on must not either, as far as
that can be told at a price that is small beside a task (75 us):

- Put back: the directory, variables of the environment and the time zone that one of them names, `sys.path`,
  `sys.argv`, the standard streams, hooks of `sys`, the finders of modules, the recursion limit, the garbage collector's
  switch, the umask, and globals of the user's modules and of `builtins` that were bound to something else.
- Told, so that the process ends with the task: exit handlers, threads, processes that it has started, open files,
  lists, maps and sets among those globals that have become longer or shorter, attributes of the flow's classes, modules
  of the user's that it was the first to import, signal handlers, blocked signals, timers, log handlers and the level of
  the root logger, the locale, limits, priority, processors and user ids, tracing, other files as standard streams or
  another encoding of these, the interpreter's other switches.
- Not seen: what was changed in place in any other way (an item of a list that is a global, a cache of `functools`, the
  attributes of an object, of a library or of a class that is not the flow's), variables of a thread, and what extension
  modules keep.

Warning filters, context variables (with them decimal contexts) and random generators are each task's own anyhow
(`batch_child`, `random_seeds`).
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import builtins
import fcntl
import gc
import operator
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from gitflowrun.runtime.worker.program_end import ExitHandlers, free_descriptor, users_modules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMITS = tuple(
    sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
)
_OF_SYS = (
    "stdin", "stdout", "stderr", "__stdout__", "__stderr__", "displayhook", "excepthook", "unraisablehook",
)  # fmt: skip
_LISTS_OF_SYS = ("path", "argv", "meta_path", "path_hooks")
_SIZED = frozenset({bytearray, dict, list, set})
_SHOWN = "__warningregistry__"  # which warnings of a module were shown: each task shows them anew
_SIGNALS = range(1, _signal.NSIG)
_TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)
_STREAMS = (0, 1, 2)
_THREADS = "/proc/self/task"
_ZONE = b"TZ"
_NO_LOGS = (1, 30, 0)
"""What logging is like before anybody has used it: its handler of last resort, the level WARNING."""


class ProcessState:
    """What a process is like before it runs its first task.

    Args:
        flow_cls: The flow, whose class is a global of the user's like any other.
        outputs: The descriptors of its standard output and error, of tasks by turns.
    """

    def __init__(self, flow_cls: type, outputs: Sequence[tuple[int, int]]) -> None:
        self._directory = _directory()
        self._environ, self._environb = os.environ, os.environb
        self._variables = dict(os.environ._data)  # type: ignore[attr-defined]
        self._lists = [(name, it := getattr(sys, name), list(it)) for name in _LISTS_OF_SYS]
        self._of_sys = {name: getattr(sys, name) for name in _OF_SYS}
        self._recursion = sys.getrecursionlimit()
        self._collects = gc.isenabled()
        self._umask = _umask()
        self._handlers = ExitHandlers()
        names = users_modules(sys.modules)
        modules = [sys.modules[name] for name in names if name in sys.modules]
        self._globals = [(vars(it), dict(vars(it))) for it in (builtins, *modules)]
        users = [it for it in flow_cls.__mro__ if it.__module__ in names]
        self._classes = [(vars(it), dict(vars(it))) for it in users]
        self._sized = [
            it
            for _, was in (*self._globals, *self._classes)
            for name, it in was.items()
            if type(it) in _SIZED and name != _SHOWN
        ]
        self._sizes = list(map(len, self._sized))
        self._modules = len(sys.modules)
        self._facts = self._look()
        self._files = [tuple(map(_file_of, (0, *output))) for output in outputs]

    def restore(self, turn: int) -> bool:
        """Put back what can be; whether the process is as it was, with outputs whose turn it is."""
        try:
            return self._restore() and tuple(map(_file_of, _STREAMS)) == self._files[turn]
        except Exception:  # noqa: BLE001  (a step may change anything; its own result stands)
            return False

    def _restore(self) -> bool:
        return (
            not has_started_processes()
            and self._has_no_new_modules()
            and self._restore_globals()
            and self._restore_place()
            and not self._handlers.has_more()
            and self._look() == self._facts
        )

    def _look(self) -> tuple[object, ...]:
        """What can't be put back, or nobody knows what it would take."""
        return (
            free_descriptor(),
            os.stat(_THREADS).st_nlink,  # noqa: PTH116  (pathlib costs a task more than this)
            list(map(_signal.getsignal, _SIGNALS)),
            _signal.pthread_sigmask(_signal.SIG_BLOCK, ()),
            [_signal.getitimer(timer)[0] > 0 for timer in _TIMERS],
            _log_state(),
            _locale.setlocale(_locale.LC_ALL, None),
            list(map(resource.getrlimit, _LIMITS)),
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getaffinity(0),
            (os.geteuid(), os.getegid()),
            sys.gettrace(),
            sys.getprofile(),
            time.tzname,
            [getattr(it, "encoding", None) for it in (sys.stdout, sys.stderr)],
            sys.dont_write_bytecode,
            sys.getswitchinterval(),
            sys.get_int_max_str_digits(),
            gc.get_threshold(),
        )

    def _has_no_new_modules(self) -> bool:
        """Whether no module of the user's was imported: what that does belongs to each task that imports it."""
        if len(sys.modules) == self._modules:
            return True
        new = list(sys.modules)[self._modules :]
        is_more = len(sys.modules) > self._modules
        self._modules = len(sys.modules)
        return is_more and not users_modules(new)

    def _restore_globals(self) -> bool:
        for own, was in self._globals:
            changed = _changed(own, was)
            for name in changed:
                own.pop(name, None)
            if changed:
                own.update(was)
        return list(map(len, self._sized)) == self._sizes and not any(
            _changed(own, was) for own, was in self._classes
        )

    def _restore_place(self) -> bool:
        if _directory() != self._directory:
            try:
                os.chdir(self._directory)
            except OSError:  # it is gone
                return False
        os.environ, os.environb = self._environ, self._environb
        if os.environ._data != self._variables:  # type: ignore[attr-defined]
            _set_variables(self._variables)
        for name, it, was in self._lists:
            setattr(sys, name, it)
            it[:] = was
        for name, value in self._of_sys.items():
            if getattr(sys, name, None) is not value:
                setattr(sys, name, value)
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if gc.isenabled() != self._collects:
            (gc.enable if self._collects else gc.disable)()
        os.umask(self._umask)
        return not (_is_closed(sys.stdout) or _is_closed(sys.stderr))


def has_started_processes() -> bool:
    """Whether this process has children, ended ones included, or has ever waited for one."""
    if resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  (pathlib is an import)
    except OSError:  # it is gone
        return ""


def _file_of(descriptor: int) -> tuple[int, int, int]:
    """Which file is open there, and how it is read or written."""
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino, fcntl.fcntl(descriptor, fcntl.F_GETFL)
    except OSError:  # closed
        return 0, 0, 0


def _changed(own: Mapping[str, Any], was: Mapping[str, Any]) -> list[str]:
    """The names that are bound to something else, or were not or are no longer bound."""
    if len(own) == len(was) and all(map(operator.is_, own.values(), was.values())):  # in one order
        return []
    return [
        name
        for name in {*own, *was}
        if name not in own or name not in was or own[name] is not was[name]
    ]


def _set_variables(wanted: Mapping[bytes, bytes]) -> None:
    zone = os.environb.get(_ZONE)
    for name in [name for name in os.environb if name not in wanted]:
        del os.environb[name]
    os.environb.update({name: it for name, it in wanted.items() if os.environb.get(name) != it})
    if zone != wanted.get(_ZONE):
        time.tzset()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_closed(stream: Any) -> bool:
    try:
        return bool(stream.closed)
    except (AttributeError, ValueError):  # it is the user's, or has given its buffer away
        return not hasattr(stream, "write")


def _log_state() -> tuple[int, int, int]:
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return _NO_LOGS
    return len(logging._handlerList), logging.root.level, logging.root.manager.disable
