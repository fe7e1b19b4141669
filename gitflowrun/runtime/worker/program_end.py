"""The end of a task's process as that of a Python program: what it began is awaited, closed and written out.

A task's process ends by `os._exit`, because a fork must not finalize what it shares with the process it was forked
from. What Python does at the end of a program is done here, for what the task itself has made, in Python's order:

1. Threads that are no daemons are awaited.
2. Exit handlers run: `atexit`, `weakref.finalize`, `logging.shutdown`, those of multiprocessing and of libraries.
   One that takes longer than `EXIT_PATIENCE` is interrupted and named.
3. The globals of the flow's modules are given up, so that `__del__` of what they hold is called.
4. Files that are open are written out.

What the flow's modules registered or opened while they were imported belongs to the process that imported them, and
ends there, once: a child must not delete its parent's temporary directory. `disown` takes it out of what a fork
will do. Handlers of libraries stay, for they know what to do in a fork, and without them thread pools and process
pools wait for ever. `atexit` does not list its handlers, but compares each of them with what is to be unregistered.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import contextlib
import fcntl
import os
import sys
from functools import partial
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from gitflowrun import limits
from gitflowrun.runtime.ipc import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from types import FrameType

_STANDARD = 3  # descriptors: input, output, errors
# Handlers of the standard library that do what is right in a fork. Any other function of it was registered by
# somebody who wants it called with something of theirs: `atexit.register(shutil.rmtree, path)`.
_KEPT = frozenset(
    {
        ("logging", "shutdown"),
        ("multiprocessing.util", "_exit_function"),
        ("weakref", "finalize._exitfunc"),
    }
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_HARMLESS = frozenset(
    {FunctionType, ModuleType, type, bool, bytes, float, int, str, type(None)}
)  # globals of these types have no end of their own
# Whose modules are not the user's: Python's own, and those of this package.
_NOT_USERS = (
    os.__file__.rpartition(os.sep)[0] + os.sep,
    __file__.rpartition(f"{os.sep}runtime{os.sep}")[0] + os.sep,
)


class ProgramEnd:
    """Ends the program in this process, or in forks of it.

    Args:
        files: Files that the flow's modules have open for writing, in a process that will be forked.
    """

    def __init__(self, files: tuple[Any, ...] = ()) -> None:
        self._files = files
        self._descriptors: frozenset[int] = frozenset()
        self._globals: dict[str, dict[str, Any]] = {}
        self._modules = 0
        self._lowest = 0

    def disown(self) -> None:
        """Leave what there is now to the process that this one was forked from."""
        with contextlib.suppress(Exception):  # what users register may compare itself with nothing
            atexit.unregister(_Users())  # type: ignore[arg-type]
        _disown_finalizers()
        self._descriptors = _writable()
        self._modules = len(sys.modules)
        self._globals = {name: dict(vars(sys.modules[name])) for name in users_modules(sys.modules)}

    def begin(self) -> None:
        """In a fork: let go of the child processes of the process it was forked from."""
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None:  # what multiprocessing does in a fork of its own
            util._finalizer_registry.clear()
            sys.modules["multiprocessing.process"]._children = set()  # type: ignore[attr-defined]
            util._run_after_forkers()
        self._lowest = free_descriptor()

    def end(self) -> None:
        """End the program. Its output is not flushed. What handlers raise is told on standard error.

        What is not there is not looked for: each function that a fork calls costs copies of pages.
        """
        threading: Any = sys.modules.get("threading")
        if threading is not None and (
            len(threading._active) > 1 or getattr(threading, "_threading_atexits", True)
        ):
            _within(limits.THREAD_PATIENCE, _Awaiting(threading), threading._shutdown)
        if atexit._ncallbacks():
            _within(limits.EXIT_PATIENCE, _interrupt, atexit._run_exitfuncs)
        self._give_up_globals()
        self._close_files()

    def _give_up_globals(self) -> None:
        # Not all modules: to look at them would copy the memory that a fork shares.
        new = list(islice(reversed(sys.modules), max(0, len(sys.modules) - self._modules)))
        for name in [*users_modules(new), *self._globals]:
            inherited, own = self._globals.get(name, {}), vars(sys.modules[name])
            # The last one first: what was made later may need what was there before.
            for key in [key for key, value in own.items() if value is not inherited.get(key)][::-1]:
                if type(own[key]) not in _HARMLESS:
                    _within(limits.EXIT_PATIENCE, _interrupt, partial(own.pop, key))

    def _close_files(self) -> None:
        for file in self._files:
            with contextlib.suppress(Exception):
                file.flush()
        if free_descriptor() == self._lowest or not _writable() - self._descriptors:
            return
        for file in _files():
            with contextlib.suppress(Exception):
                if file.fileno() >= _STANDARD:
                    file.close()


def flush_files(ours: AbstractSet[int]) -> tuple[Any, ...]:
    """Write out what this process holds in the buffers of its files, or each fork would write it once more.

    Args:
        ours: Descriptors that are not the flow's.

    Returns:
        Those files that are open for writing; standard output and errors are not among them.
    """
    logging: Any = sys.modules.get("logging")
    for handler in [] if logging is None else [ref() for ref in logging._handlerList]:
        with contextlib.suppress(Exception):
            handler.flush()
    if not _writable() - ours:  # to look at all objects takes 10 ms
        return ()
    files = []
    for file in _files():
        with contextlib.suppress(Exception):
            if file.writable() and file.fileno() >= _STANDARD:
                file.flush()
                files.append(file)
    return tuple(files)


def _files() -> list[Any]:
    """The file objects of this process that are open, text layers before what lies below them."""
    import _io
    import gc

    kinds: dict[type, bool] = {}
    base: type = _io._IOBase
    found = []
    for thing in gc.get_objects():
        kind = type(thing)
        is_file = kinds.get(kind)
        if is_file is None:
            is_file = kinds[kind] = issubclass(kind, base)
        if is_file:
            with contextlib.suppress(Exception):
                if not thing.closed:
                    found.append(thing)
    order = (_io._TextIOBase, _io._BufferedIOBase)
    return sorted(found, key=lambda file: [not isinstance(file, kind) for kind in order])


def free_descriptor() -> int:
    """The descriptor that a file would get: as long as it is the same, no file has been opened that still is."""
    try:
        fd = os.dup(0)
    except OSError:
        return -1
    os.close(fd)
    return fd


def _writable() -> frozenset[int]:
    """The descriptors, standard ones aside, that can be written to."""
    found = set()
    for fd in _open_descriptors():
        with contextlib.suppress(OSError):  # the directory's own
            if fd >= _STANDARD and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                found.add(fd)
    return frozenset(found)


def _open_descriptors() -> Iterable[int]:
    """All descriptors, and such as may be none where nobody can tell."""
    try:
        return map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208  (pathlib is an import)
    except OSError:  # /proc is not mounted
        return range(min(os.sysconf("SC_OPEN_MAX"), limits.MOST_DESCRIPTORS))


def thaw() -> None:
    """Let Python end this program as any other, where a global of the flow's modules has an end of its own.

    `gc.freeze()` spares a process the collection at its end, which takes 10 ms and more; but without it nothing that
    its modules hold is closed or deleted. They are given up here, as Python itself ends modules in an order that
    depends on who imports whom: what a file needs to be closed may be gone before the file.
    """
    import gc

    users = users_modules(sys.modules)
    if not any(_holds_end(sys.modules[name]) for name in users):
        return
    gc.unfreeze()
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for name in users:
        own = vars(sys.modules[name])
        for key in [key for key, value in own.items() if type(value) not in _HARMLESS][::-1]:
            own.pop(key, None)


def _holds_end(module: ModuleType) -> bool:
    return any(
        type(value) not in _HARMLESS and any(map(_has_end, (value, *_parts(value))))
        for value in list(vars(module).values())
    )


def _has_end(thing: object) -> bool:
    return hasattr(type(thing), "__del__")  # files have it, too


def _parts(value: Any) -> list[object]:
    if type(value) in {list, tuple, set}:
        return list(value)
    parts = value if type(value) is dict else getattr(value, "__dict__", None)
    return list(parts.values()) if type(parts) is dict else []


# ---- whose is it? ----


class ExitHandlers:
    """Sees whether users have registered more handlers than there were, which the end of the process would call."""

    def __init__(self) -> None:
        self._seen = -1
        self._count = self._users = self._finalizers = 0
        self.has_more()
        self._users, self._finalizers = self._count, _finalizers()

    def has_more(self) -> bool:
        """Whether there are more now. Handlers of libraries, which come with imports, are none."""
        if atexit._ncallbacks() != self._seen:
            found = _Counted()
            with contextlib.suppress(
                Exception
            ):  # what users register may compare itself with nothing
                atexit.unregister(found)  # type: ignore[arg-type]
            self._seen, self._count = atexit._ncallbacks(), found.users
        util: Any = sys.modules.get("multiprocessing.util")
        return (
            self._count > self._users
            or _finalizers() > self._finalizers
            or bool(util is not None and util._finalizer_registry)
        )


class _Counted:
    """Equal to no handler, and counts those that users have registered."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.users = 0

    def __eq__(self, other: object) -> bool:
        self.users += not _is_librarys(other)
        return False


def _finalizers() -> int:
    """How many objects have something to be called at the end of the process."""
    weakref: Any = sys.modules.get("weakref")
    registry = () if weakref is None else weakref.finalize._registry.values()
    return sum(info.atexit for info in registry)


class _Users:
    """Equal to what users have registered, and to nothing else."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return not _is_librarys(other)


def _disown_finalizers() -> None:
    weakref: Any = sys.modules.get("weakref")
    if weakref is None:
        return
    for finalizer, info in list(weakref.finalize._registry.items()):
        if _is_librarys(info.func):
            finalizer.atexit = False
        else:
            del weakref.finalize._registry[finalizer]


def _is_librarys(handler: Any) -> bool:
    """Whether an exit handler was registered by an installed library, or is one of Python's own."""
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if (module, name) in _KEPT:
        return True
    owner = getattr(handler, "__self__", None)
    if isinstance(owner, ModuleType):  # a function written in C
        return _is_installed(getattr(owner, "__file__", None))
    if not isinstance(function, FunctionType) or not _is_installed(function.__code__.co_filename):
        return False
    bound_to_instance = isinstance(handler, MethodType) and not isinstance(owner, type)
    return not bound_to_instance or _is_global_of_library(owner)


def _is_global_of_library(thing: Any) -> bool:
    """Whether a library made an object for itself; users make others of its classes."""
    package = type(thing).__module__.partition(".")[0]
    return any(
        any(value is thing for value in list(vars(module).values()))
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and (name == package or name.startswith(package + "."))
    )


def _is_installed(path: str | None) -> bool:
    return path is not None and any(place in path for place in _INSTALLED)


def users_modules(names: Iterable[str]) -> list[str]:
    """Of the names of loaded modules, those that are neither Python's nor an installed library's nor ours."""
    found = []
    for name in list(names):
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None) if type(module) is ModuleType else None
        # A module may answer to any name.
        is_own = isinstance(path, str) and not (_is_installed(path) or path.startswith(_NOT_USERS))
        if name == "__main__" or is_own:
            found.append(name)
    return found


# ---- what takes too long ----


def _within(seconds: float, handler: Any, call: Callable[[], object]) -> None:
    """Call something, and a handler of signals every so many seconds meanwhile."""
    _signal.signal(_signal.SIGALRM, handler)
    _signal.setitimer(_signal.ITIMER_REAL, seconds, seconds)
    try:
        call()
    except TimeoutError as error:
        _say(str(error))
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)


class _Awaiting:
    """Says once which threads the process waits for."""

    def __init__(self, threading: Any) -> None:
        self._threading = threading
        self._has_spoken = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if not self._has_spoken:
            main = self._threading.main_thread()
            threads = [
                thread.name
                for thread in self._threading.enumerate()
                if thread is not main and not thread.daemon
            ]
            if threads:  # or else the last one has ended meanwhile
                self._has_spoken = True
                _say(f"The step has ended; its process waits for threads: {', '.join(threads)}.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(
        f"interrupted after {limits.EXIT_PATIENCE:g} s: the task's process ends without it"
    )


def _say(text: str) -> None:
    process.tell(text + "\n")
