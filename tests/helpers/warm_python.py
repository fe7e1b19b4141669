"""A Python that has imported what a flow's program imports, and forks for each program: a third of a start's time.

What it runs begins as in an interpreter of its own: with its `__main__`, `sys.argv`, `sys.path`, streams, directory
and environment. The scheduler, which a run starts as a program, is such a fork too; whatever else is started is
started. Whoever looks from outside, as `ps e` does, sees their words, and `MARKER` in their environment; what else is
seen from there is the first process's. This is not for tests of how programs start, of what they import, or of modules
that shadow the standard library's: for those there is `GitRepo.python`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import importlib.util
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from importlib.machinery import BuiltinImporter, SourceFileLoader
from pathlib import Path
from subprocess import Popen
from typing import Any, NoReturn

__all__ = ["begin_warm", "keep_environment", "kept", "run_warm", "suits"]

ROOT = Path(__file__).resolve().parents[2]
_LAUNCHER = (
    "gitflowrun", "gitflowrun.cli.flow.start", "gitflowrun.runtime.launch.launcher",
    "gitflowrun.runtime.worker.zygote", "gitflowrun.cli.flow.main",
    "gitflowrun.cli.flow.execute_run", "gitflowrun.cli.flow.run", "gitflowrun.flow.lint",
    # What runs import when they need it, as all of them do.
    "ctypes", "gitflowrun.flow.decorators.attempts", "gitflowrun.flow.decorators.resources",
    "gitflowrun.runtime.launch.runtime_hooks", "gitflowrun.runtime.launch.store_parameters",
    "gitflowrun.flow.merge", "gitflowrun.flow.transition", "gitflowrun.artifacts.codecs.plain_decode",
    "gitflowrun.artifacts.codecs.bytes", "gitflowrun.artifacts.codecs.torch",
)  # fmt: skip
_SCHEDULER = (
    "gitflowrun.cli.flow.scheduler_main", "gitflowrun.cli.flow.run_log", "gitflowrun.runtime.scheduler.main",
    "gitflowrun.runtime.executors.local", "gitflowrun.git.ref_update",
    "encodings.ascii", "getpass", "isal.isal_zlib",
)  # fmt: skip
_READ_AT_START = ("PYTHON", "LD_", "LC_", "XDG_", "GIT_")
_ALSO = {"HOME", "LANG", "TMPDIR", "TZ", "USER", "UV"}
_MARKER = "MARKER"
_ROOM = 1 << 10
"""Bytes for the marker where the system shows a process's environment, and for its words."""
_FIRST_FREE = 100
"""A descriptor above those that programs are given by number."""
_RUNNING = {"resume", "run", "spin"}
_MOST = 1 << 18

_kept: dict[str, str] = {}
"""The environment of all tests, but for what one of them changes while it lasts."""

_placed: list[types.ModuleType] = []
"""The modules that know where they were imported."""


class _WarmPython:
    """The process that forks, and the way to it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        self.process = Popen(
            [sys.executable, __file__, str(theirs.fileno()), " " * _ROOM],
            env={**self.env, _MARKER: " " * _ROOM}, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # streams for which those of programs are put
        )  # fmt: skip
        theirs.close()
        atexit.register(self._end, os.getpid())

    def _end(self, maker: int) -> None:
        if os.getpid() == maker:  # and no child of it
            self._calls.close()
            self.process.kill()
            self.process.communicate()

    def begin(self, call: list[Any], fds: list[int]) -> None:
        """Have a program begun; see `begin_warm`."""
        socket.send_fds(self._calls, [json.dumps(call).encode()], fds)

    def run(
        self, call: list[Any], timeout: float, *, is_one_stream: bool
    ) -> tuple[int, bytes, bytes]:
        """Run a program to its end: its exit code as `subprocess` has it, and what it wrote to both streams."""
        pipes = [os.pipe() for _ in range(3)]
        try:
            fds = [write for _, write in pipes]
            fds[1] = fds[not is_one_stream]
            self.begin(call, fds)
        finally:
            for _, write in pipes:
                os.close(write)
        out, err, told = _read_all([read for read, _ in pipes], timeout)
        if not told.strip():
            self.process.kill()
            raise AssertionError(self.process.communicate()[1].decode())
        return int(told.split()[-1]), out, err


def keep_environment() -> None:
    """Take the environment as it is now for the one in which programs begin."""
    _kept.update(os.environ)
    _kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), _kept.get("PYTHONPATH")]))


def kept() -> dict[str, str]:
    """That environment."""
    return dict(_kept)


def suits(env: Mapping[str, str]) -> bool:
    """Whether a program with this environment may begin as a fork of a process that has another one."""
    return all(
        _kept.get(name) == env.get(name)
        for name in {*_kept, *env}
        if name.startswith(_READ_AT_START) or name in _ALSO
    )


def run_warm(
    script: str, args: tuple[str, ...], cwd: Path, env: Mapping[str, str], timeout: float = 300,
    *, is_one_stream: bool = False,
) -> tuple[int, bytes, bytes]:  # fmt: skip
    """Run `python SCRIPT ARGS` to its end.

    Args:
        script: The program's file; or `-m` or `-c`, before the name of a module or Python.
        args: What follows it.
        cwd: Where.
        env: All of its environment; it must suit.
        timeout: Seconds after which it is killed.
        is_one_stream: Whether its errors are part of its output.

    Returns:
        The exit code as `subprocess` has it, and what was written to both streams.
    """
    call = [script, args, str(cwd), dict(env), _umask(), None]
    return _started().run(call, timeout, is_one_stream=is_one_stream)


def begin_warm(
    words: list[str], cwd: str, env: Mapping[str, str], streams: tuple[int, int, int], tell: int,
    given: tuple[int, ...], *, is_leader: bool,
) -> None:  # fmt: skip
    """Begin `python WORDS`.

    Args:
        words: The program and its arguments; see `run_warm`.
        cwd: Where.
        env: All of its environment; it must suit.
        streams: Its input, output and errors.
        tell: Where its process id is written at once, and its exit code in the end.
        given: Descriptors that it has by the same numbers.
        is_leader: Whether it leads a session of its own.
    """
    call = [words[0], words[1:], cwd, dict(env), _umask(), [is_leader, *given]]
    _started().begin(call, [*streams[1:], tell, streams[0], *given])


@functools.cache
def _of(_maker: int) -> _WarmPython:
    return _WarmPython(_kept)


def _started() -> _WarmPython:
    return _of(os.getpid())  # a child of a test has no way to its parent's


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def _read_all(fds: list[int], timeout: float) -> list[bytes]:
    """What comes from some pipes until all of them are closed; the last one begins with a process id."""
    parts: dict[int, list[bytes]] = {fd: [] for fd in fds}
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                pid = b"".join(parts[fds[-1]]).split()
                for key in selector.get_map().values():
                    os.close(key.fd)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired("a warm program", timeout)
            for key, _ in ready:
                if data := os.read(key.fd, 1 << 16):
                    parts[key.fd].append(data)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(parts[fd]) for fd in fds]


def _serve(calls: socket.socket) -> list[Any]:
    """Fork for each call, in the parent until there are no more; return what the child is called for."""
    running: dict[int, tuple[int, int]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(calls, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd != calls.fileno():
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *running.pop(key.fd))
                    continue
                message, fds, _, _ = socket.recv_fds(calls, _MOST, 16)
                if not message:
                    os._exit(0)
                if pid := os.fork():
                    os.write(fds[2], b"%d" % pid)
                    for fd in (*fds[:2], *fds[3:]):
                        os.close(fd)
                    handle = os.pidfd_open(pid)
                    running[handle] = pid, fds[2]
                    selector.register(handle, selectors.EVENT_READ)
                    continue
                for open_fd in (*running, *(tell for _, tell in running.values())):
                    os.close(open_fd)
                calls.close()
                selector.close()
                called: list[Any] = json.loads(message)
                _take(fds, called.pop())
                return called


def _take(fds: list[int], more: list[int] | None) -> None:
    """Make descriptors those of the program: its output and errors, and what `begin_warm` gives it besides."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in fds]
    for fd in fds:
        os.close(fd)
    numbers = [1, 2]
    if more is not None:
        is_leader, *given = more
        numbers += [moved[2], 0, *given]
        if is_leader:
            os.setsid()
    for fd, number in zip(moved, numbers, strict=False):
        os.dup2(fd, number)
    for fd in moved:
        os.close(fd)


def _tell_end(handle: int, pid: int, tell: int) -> None:
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # it has taken too long
        os.write(tell, b" %d" % os.waitstatus_to_exitcode(status))
    for fd in (handle, tell):
        os.close(fd)


def _begin(words: list[str], cwd: str, env: dict[str, str]) -> types.ModuleType:
    """Be a process in which nothing but the interpreter and some modules has begun; return its `__main__`."""
    script = words[0]
    os.chdir(cwd)
    _change_environment(env)
    _show([sys.executable, *words], env.get(_MARKER, ""))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in _placed:
        vars(module)["imported_in"] = cwd
    main = types.ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=__builtins__)
    if script in {"-c", "-m"}:
        sys.path[0] = cwd if script == "-m" else ""
        main.__loader__ = BuiltinImporter
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(script))  # noqa: PTH100, PTH120  (as Python does)
        main.__file__ = os.path.abspath(script)  # noqa: PTH100
        main.__loader__ = SourceFileLoader("__main__", main.__file__)
        vars(main)["__cached__"] = None
    sys.modules["__main__"] = main
    _set_failpoints(env.get("GITFLOWRUN_FAILPOINTS", ""))
    return main


def _set_failpoints(text: str) -> None:
    """Do what modules do with the variable when they are imported."""
    own: Any = importlib.import_module("gitflowrun.failpoints")
    if not text:
        return
    own._ACTIONS = own._parsed(text)
    for name, module in list(sys.modules.items()):
        if name.startswith("gitflowrun") and vars(module).get("reached") is own._pass:
            vars(module)["reached"] = own._act


def _show(words: list[str], marker: str) -> None:
    """Write words and marker where the system shows those of this process and of its forks."""
    place, end, marked = _shown_at()
    shown = "\0".join(words).encode(errors="surrogateescape")[: end - place - 1]
    word = marker.encode()
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(place)
        memory.write(shown.ljust(end - place, b"\0"))
        if word and len(word) <= _ROOM:
            memory.seek(marked)
            memory.write(word.ljust(_ROOM, b"\0"))


@functools.cache
def _shown_at() -> tuple[int, int, int]:
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    at = Path("/proc/self/environ").read_bytes().index(f"{_MARKER}= ".encode())
    return int(stat[45]), int(stat[46]), int(stat[47]) + at + len(_MARKER) + 1


def _change_environment(env: dict[str, str]) -> None:
    for name in [*os.environ]:
        if env.get(name) != os.environ[name]:
            del os.environ[name]
    os.environ.update({name: value for name, value in env.items() if name not in os.environ})


def _run(script: str, args: list[str], cwd: str, env: dict[str, str], mask: int) -> None:
    """Be `python SCRIPT ARGS`, whose errors and ends are those of this process."""
    os.umask(mask)
    main = _begin([script, *args], cwd, env)
    sys.argv = [script, *args]
    sys.orig_argv = [sys.executable, *sys.argv]
    try:
        code = _code(main, script)
    except OSError as error:
        why = f"[Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{sys.executable}: can't open file {main.__file__!r}: {why}\n")
        sys.exit(2)
    try:
        if not isinstance(code, types.CodeType):
            code = compile(code, vars(main).get("__file__", "<string>"), "exec")
        exec(code, vars(main))
    except (SystemExit, KeyboardInterrupt) as end:
        _end_soon(end)
        raise
    except BaseException as error:  # noqa: BLE001
        trace = error.__traceback__
        error.__traceback__ = trace and trace.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
    _end_soon(SystemExit())


def _code(main: types.ModuleType, script: str) -> bytes | str | types.CodeType:
    """A program, for which there are its words then."""
    if script == "-c":
        return sys.argv.pop(1)
    if script != "-m":
        return Path(script).read_bytes()
    spec = importlib.util.find_spec(name := sys.argv.pop(1))
    if spec is not None and spec.submodule_search_locations:
        spec = importlib.util.find_spec(name := f"{name}.__main__")
    assert spec is not None
    loader = spec.loader
    assert isinstance(loader, SourceFileLoader)
    sys.argv[0] = main.__file__ = str(spec.origin)
    main.__spec__, main.__loader__, main.__package__ = spec, loader, spec.parent
    vars(main)["__cached__"] = spec.cached
    code = loader.get_code(name)
    assert code is not None
    return code


def _end_soon(end: BaseException) -> None:
    """End the process as Python does, but for the modules, which die one by one there: half of the time of a start."""
    code = end.args[0] if end.args else None
    if type(end) is not SystemExit or not isinstance(code, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def _hold_scheduler() -> tuple[int, socket.socket]:
    """Fork the process that becomes the scheduler, before the program has run; it ends if there is nothing to do."""
    calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, calls
    calls.close()
    message, fds, _, _ = socket.recv_fds(theirs, _MOST, 8)
    theirs.close()
    if message:
        _be_scheduler(fds, *json.loads(message))
    os._exit(0)


def _be_scheduler(
    fds: list[int], argv: list[str], env: dict[str, str], inherited: dict[str, Any]
) -> NoReturn:
    os.umask(inherited["umask"])
    _begin(argv, inherited["cwd"], env)
    for name, limit in inherited["limits"].items():
        resource.setrlimit(int(name), tuple(limit))
    for number in inherited["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, inherited["blocked"])
    del sys.path[0]
    names = [word.partition("=")[0] for word in argv[1:]]
    sys.argv = [argv[0], *(f"{name}={fd}" for name, fd in zip(names, fds, strict=True))]
    sys.orig_argv = [sys.executable, *sys.argv]
    scheduler_main = importlib.import_module("gitflowrun.cli.flow.scheduler_main")
    try:
        code = scheduler_main.main()
    except BaseException as error:  # noqa: BLE001
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _start_by_fork(held: int, calls: socket.socket) -> None:
    """Have `os.posix_spawn` take the process that was forked where a scheduler is to be started."""
    spawn = os.posix_spawn

    def start(path: str, argv: list[str], env: Mapping[str, str], **how: Any) -> int:
        if calls.fileno() < 0 or len(argv) < 2 or not argv[1].endswith("/scheduler_main.py"):
            return spawn(path, argv, env, **how)
        inherited = {
            "cwd": str(Path.cwd()),
            "umask": _umask(),
            "limits": {it: resource.getrlimit(it) for it in _LIMITS},
            "ignored": [
                it for it in signal.valid_signals() if signal.getsignal(it) is signal.SIG_IGN
            ],
            "blocked": [*how["setsigmask"]],
        }
        message = json.dumps([argv[1:], dict(env), inherited]).encode()
        socket.send_fds(calls, [message], [int(it.partition("=")[2]) for it in argv[2:]])
        calls.close()
        return held

    os.posix_spawn = start  # type: ignore[assignment]


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _prepare(modules: list[types.ModuleType]) -> None:
    """Do once what each program would do anew: find modules, and compile what makes the values of their classes."""
    _placed.extend(it for it in modules if "imported_in" in vars(it))
    values: Any = importlib.import_module("gitflowrun.values")
    for module in modules:
        for item in vars(module).values():
            if isinstance(item, type) and vars(item).get("__init__") is values._first_init:
                item.__init__ = values._compiled_init(item)  # type: ignore[misc]


def _main() -> None:
    gc.disable()
    calls = socket.socket(fileno=int(sys.argv[1]))
    calls.set_inheritable(False)
    sys.path[0] = str(ROOT)
    for name in _LAUNCHER:
        importlib.import_module(name)
    launchers = set(sys.modules)
    for name in _SCHEDULER:
        importlib.import_module(name)
    only = [name for name in sys.modules if name not in launchers]
    _prepare([it for name, it in sys.modules.items() if name.startswith("gitflowrun")])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for a whole group of processes
    gc.freeze()
    gc.enable()
    script, args, cwd, env, mask = _serve(calls)
    if not _RUNNING.isdisjoint(args):
        _start_by_fork(*_hold_scheduler())
    for name in only:
        del sys.modules[name]
    _run(script, args, cwd, env, mask)


if __name__ == "__main__":
    _main()
