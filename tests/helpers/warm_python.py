"""A Python that has imported what a flow's program imports, and forks for each program: a third of a start's time.

What it runs begins as in an interpreter of its own: with its `__main__`, `sys.argv`, `sys.path`, streams, directory
and environment. The scheduler, which a run starts as a program, is such a fork too, and so is the flow's program that
an agent, `git runs rerun` or `git runs resume` starts first; whatever else is started is started. Whoever looks from
outside, as `ps e` does, sees their words, and `MARKER` in their environment; what else is seen from there is the first
process's. This is not for tests of how programs start, of what they import, or of modules that shadow the standard
library's: for those there is `GitRepo.python`.
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
import types
from collections.abc import Mapping
from importlib.machinery import BuiltinImporter, SourceFileLoader
from pathlib import Path
from subprocess import Popen
from typing import Any, NoReturn

__all__ = ["begin_warm", "keep_environment", "kept", "run_warm", "started", "suits"]

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
_RUNS = (
    "gitflowrun.cli.git_runs.main", "gitflowrun.cli.output.tables", "gitflowrun.runs.lookup.resolve",
    "gitflowrun.cli.git_runs.run_words", "gitflowrun.runs.lookup.ranges", "gitflowrun.porcelain.notes",
)  # fmt: skip
_SCHEDULER = (
    "gitflowrun.cli.flow.scheduler_main", "gitflowrun.cli.flow.run_log", "gitflowrun.runtime.scheduler.main",
    "gitflowrun.runtime.executors.local", "gitflowrun.git.ref_update",
    "encodings.ascii", "getpass", "isal.isal_zlib", "sqlite3",
)  # fmt: skip
_READ_AT_START = ("PYTHON", "LD_", "LC_", "XDG_CONFIG_")
_ALSO = {"HOME", "LANG", "TMPDIR", "TZ", "USER", "UV"}
_MARKER = "MARKER"
_ROOM = 1 << 10
"""Bytes for the marker where the system shows a process's environment, and for its words."""
_FIRST_FREE = 100
"""A descriptor above those that programs are given by number."""
_RUNNING = {"resume", "run", "spin"}
_AGENT = "gitflowrun.runtime.remote.agent_main"
_STARTERS = {_RUNS[0], _AGENT}
_STARTING = {"rerun", "resume"}
_PARTS = {"GITFLOWRUN_CARDS_FD", "GITFLOWRUN_TASK_FD", "GITFLOWRUN_ZYGOTE_FDS"}
"""What a flow's program finds in its environment that is to run nothing but tasks or cards."""
_TEXTS = {"-c", "-m"}
_SCHEDULER_PROGRAM = "/scheduler_main.py"
_SEED = "PYTHONHASHSEED"
_MOST = 1 << 18
_MOST_PASSED = 200

_kept: dict[str, str] = {}
"""The environment of all tests, but for what one of them changes while it lasts."""

_ignored: set[int] = set()
"""Signals that are ignored where this program is started."""

_only: dict[tuple[str, ...], list[str]] = {}
"""Names of modules that are imported with `_RUNS`, and with `_SCHEDULER`, and that flows' programs do not import."""

_stay: list[types.ModuleType] = []
"""All that were imported: one that a program does not know need not be taken apart there."""

_placed: list[types.ModuleType] = []
"""The modules that know where they were imported."""


class _WarmPython:
    """The process that forks, and the way to it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        self.name = f"gitflowrun-{os.getpid()}-{id(self)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening, theirs:
            listening.bind("\0" + self.name)
            listening.listen()
            given = [theirs.fileno(), listening.fileno()]
            self.process = Popen(
                [sys.executable, __file__, *map(str, given), " " * _ROOM],
                env={**self.env, _MARKER: " " * _ROOM}, cwd=ROOT, pass_fds=given, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # streams for which those of programs are put
            )  # fmt: skip
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
        from tests.helpers.descriptors import read_all  # this file is a program, too

        out, err, told = read_all([read for read, _ in pipes], timeout)
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
    return started().run(call, timeout, is_one_stream=is_one_stream)


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
    started().begin(call, [*streams[1:], tell, streams[0], *given])


@functools.cache
def _of(_maker: int) -> _WarmPython:
    return _WarmPython(_kept)


def started() -> _WarmPython:
    """The warm Python of this process."""
    return _of(os.getpid())  # a child of a test has no way to its parent's


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def _serve(calls: socket.socket, listening: socket.socket) -> list[Any]:
    """Fork for each call, in the parent until there are no more; return what the child is called for."""
    running: dict[int, tuple[int, int]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(calls, selectors.EVENT_READ)
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in running:
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *running.pop(key.fd))
                    continue
                if key.fd == calls.fileno():
                    message, fds, _, _ = socket.recv_fds(calls, _MOST, 16)
                    if not message:
                        os._exit(0)
                    called: list[Any] = json.loads(message)
                elif found := _heard(listening):
                    called, fds = found
                else:
                    continue
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
                listening.close()
                selector.close()
                _take(fds, called.pop())
                return called


def _heard(listening: socket.socket) -> tuple[list[Any], list[int]] | None:
    """What `warm_client` calls for, as `begin_warm` does; None where that does not suit."""
    caller, _ = listening.accept()
    with caller:
        message, fds, _, _ = socket.recv_fds(caller, _MOST, 3)
        mask, cwd, count, *rest = map(os.fsdecode, message.split(b"\0"))
        words, env = rest[: int(count)], dict(it.split("=", 1) for it in rest[int(count) :])
        if not words or (words[0][:1] == "-" and words[0] not in _TEXTS) or not suits(env):
            for fd in fds:
                os.close(fd)
            return None
        return [words[0], words[1:], cwd, env, int(mask), [False]], [
            *fds[1:], os.dup(caller.fileno()), fds[0],
        ]  # fmt: skip


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
    if signal.SIGINT not in _ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in _placed:
        vars(module)["imported_in"] = cwd
    main = types.ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=__builtins__)
    if script in _TEXTS:
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


def _holds(script: str, args: list[str], env: Mapping[str, str]) -> bool:
    """Whether a program begins by starting another one: the scheduler, a flow's program, or what an agent executes."""
    if _is_starter(script, args):
        return args[0] == _AGENT or not _STARTING.isdisjoint(args)
    return not _RUNNING.isdisjoint(args) and _PARTS.isdisjoint(env)


def _is_starter(script: str, args: list[str]) -> bool:
    return script == "-m" and args[0] in _STARTERS


def _hold() -> tuple[int, socket.socket]:
    """Fork the process that becomes another program, before this one has run; it ends if there is nothing to do."""
    calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        # Programs have the numbers that they have elsewhere.
        with calls:
            return pid, socket.socket(fileno=fcntl.fcntl(calls, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE))
    calls.close()
    message, fds, _, _ = socket.recv_fds(theirs, _MOST, _MOST_PASSED)
    theirs.close()
    if message:
        _be_started(fds, *json.loads(message))
    os._exit(0)


def _be_started(
    fds: list[int], numbers: list[int], words: list[str], env: dict[str, str], how: dict[str, Any]
) -> NoReturn:
    _place(fds, numbers)
    if how["is_leader"]:
        os.setsid()
    for name, limit in how["limits"].items():
        resource.setrlimit(int(name), tuple(limit))
    _ignored.update(how["ignored"])
    for number in _ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, how["blocked"])
    for action, fd, *more in how["files"]:
        _act_on(action, fd, *more)
    if how["dies_with"]:
        importlib.import_module("gitflowrun.runtime.ipc.process").ParentDeathSignal(
            how["dies_with"]
        ).set()
    script, *args = words
    if not script.endswith(_SCHEDULER_PROGRAM):
        _be_program(script, args, how["cwd"], env, how["umask"])
        os._exit(0)
    os.umask(how["umask"])
    _begin(words, how["cwd"], env)
    del sys.path[0]
    sys.argv = words
    sys.orig_argv = [sys.executable, *words]
    scheduler_main = importlib.import_module("gitflowrun.cli.flow.scheduler_main")
    try:
        code = scheduler_main.main()
    except BaseException as error:  # noqa: BLE001
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _place(fds: list[int], numbers: list[int]) -> None:
    """Have descriptors by these numbers, and no others."""
    above = max(*fds, *numbers) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    os.closerange(0, above)
    for fd, number in zip(moved, numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def _act_on(action: int, fd: int, *more: Any) -> None:
    """Do what `posix_spawn` does with a descriptor."""
    if action == os.POSIX_SPAWN_OPEN:
        opened = os.open(*more)
        if opened != fd:
            os.dup2(opened, fd)
            os.close(opened)
    elif action == os.POSIX_SPAWN_DUP2:
        os.dup2(fd, more[0])
    else:
        os.close(fd)


class _Held:
    """What becomes the first program that this process starts, of those that it may become.

    Args:
        pid: Its process.
        calls: The way to it.
        is_scheduler: Whether it becomes nothing but a scheduler.
    """

    def __init__(self, pid: int, calls: socket.socket, *, is_scheduler: bool) -> None:
        self._pid = pid
        self._calls = calls
        self._is_scheduler = is_scheduler
        self._starter = os.getpid()
        self._spawn = os.posix_spawn

    def suits(self, words: list[Any], env: Mapping[str, str]) -> bool:
        """Whether it may become that program: it is there for this process, not for forks of it."""
        if self._calls.fileno() < 0 or self._starter != os.getpid() or len(words) < 2:
            return False
        if self._is_scheduler or words[1].endswith(_SCHEDULER_PROGRAM):
            return bool(words[1].endswith(_SCHEDULER_PROGRAM))
        # Sets have one order in all interpreters of a run, but another one here.
        given = {it: text for it, text in env.items() if it != _SEED or it in _kept}
        is_python = words[0] == sys.executable and (words[1] in _TEXTS or words[1][0] != "-")
        return is_python and suits(given)

    def become(
        self, words: list[Any], env: Mapping[str, str], cwd: str | None = None, *, streams: list[int] | None = None,
        passed: list[int] | None = None, dies_with: int = 0, **how: Any,
    ) -> int:  # fmt: skip
        """Have it begin; its process id.

        Args:
            words: The program's, with that of Python.
            env: Its environment.
            cwd: Where; here when None.
            streams: Its input, output and errors; those of this process when None.
            passed: Descriptors that it has by the same numbers; those that may be inherited when None.
            dies_with: The process whose end is its own; 0 when there is none.
            how: As for `os.posix_spawn`.
        """
        numbers = [0, 1, 2, *(_inheritable() if passed is None else passed)]
        files = [*how.get("file_actions", ())]
        sources = {fd for action, fd, *_ in files if action == os.POSIX_SPAWN_DUP2}
        files += [(os.POSIX_SPAWN_CLOSE, fd) for fd in sources.difference(numbers)]
        numbers += sources.difference(numbers)
        inherited = {
            "cwd": cwd or str(Path.cwd()), "umask": _umask(),
            "is_leader": how.get("setsid", False), "dies_with": dies_with,
            "limits": {it: resource.getrlimit(it) for it in _LIMITS},
            "ignored": [
                it for it in signal.valid_signals()
                if signal.getsignal(it) is signal.SIG_IGN and it not in how.get("setsigdef", ())
            ],
            "blocked": [*how.get("setsigmask", signal.pthread_sigmask(signal.SIG_BLOCK, ()))],
            "files": files,
        }  # fmt: skip
        message = json.dumps([numbers, words[1:], dict(env), inherited]).encode()
        socket.send_fds(self._calls, [message], [*(streams or numbers[:3]), *numbers[3:]])
        self._calls.close()
        return self._pid

    def spawn(self, path: str, argv: Any, env: Mapping[str, str] | None, **how: Any) -> int:
        """`os.posix_spawn`, which from Python 3.13 on takes None for the environment of this process."""
        env = os.environ if env is None else env
        words, given = _without_env([*argv], env)
        if not self.suits(words, given):
            return self._spawn(path, argv, env, **how)
        return self.become(words, given, **how)


def _without_env(words: list[str], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """What `/usr/bin/env A=1 PROGRAM` starts, and with which variables."""
    given = dict(env)
    if words[0] == "/usr/bin/env":
        del words[0]
        while "=" in words[0]:
            name, _, given[name] = words.pop(0).partition("=")
    return words, given


def _inheritable() -> list[int]:
    found = [int(it) for it in os.listdir("/proc/self/fd")]  # noqa: PTH208
    own = []
    for fd in found:
        with contextlib.suppress(OSError):  # that of the listing
            if fd > 2 and os.get_inheritable(fd):
                own.append(fd)
    return own


class _HeldPopen(subprocess.Popen[Any]):
    """A child of this process, which `held` becomes where it may."""

    held: _Held

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any, *rest: Any
    ) -> None:  # fmt: skip
        words = [args] if isinstance(args, str | bytes) else [*map(os.fspath, args)]
        given = dict(os.environ if env is None else env)
        parent = getattr(getattr(preexec_fn, "__self__", None), "_parent", 0)
        if executable or (preexec_fn and not parent) or not self.held.suits(words, given):
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        read_in, _, _, write_out, _, write_err = pipes = rest[3:9]
        streams = [
            fd if fd >= 0 else number for number, fd in enumerate((read_in, write_out, write_err))
        ]
        try:
            self.pid = self.held.become(
                words, given, cwd and os.fspath(cwd), streams=streams, passed=[*pass_fds], dies_with=parent,
                setsid=rest[14],
            )  # fmt: skip
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self._child_created = True


def _start_by_fork(*, is_scheduler: bool) -> None:
    """Have the first program that this process starts be a process that is forked now."""
    pid, calls = _hold()
    _HeldPopen.held = held = _Held(pid, calls, is_scheduler=is_scheduler)
    os.posix_spawn = held.spawn  # type: ignore[assignment]
    if not is_scheduler:
        subprocess.Popen = _HeldPopen  # type: ignore[misc]


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _prepare(modules: list[types.ModuleType]) -> None:
    """Do once what each program would do anew: find modules, and compile what makes the values of their classes."""
    _shown_at()
    _stay.extend(sys.modules.values())
    _placed.extend(it for it in modules if "imported_in" in vars(it))
    values: Any = importlib.import_module("gitflowrun.values")
    for module in modules:
        for item in vars(module).values():
            if isinstance(item, type) and vars(item).get("__init__") is values._first_init:
                item.__init__ = values._compiled_init(item)  # type: ignore[misc]


def _be_program(script: str, args: list[str], cwd: str, env: dict[str, str], mask: int) -> None:
    if _holds(script, args, env):
        _start_by_fork(is_scheduler=not _is_starter(script, args))
    is_runs = (script, *args[:1]) == ("-m", _RUNS[0])
    for name in (*_only[_SCHEDULER], *_only[_RUNS] * (not is_runs)):
        del sys.modules[name]
    _run(script, args, cwd, env, mask)


def _main() -> None:
    _kept.update(os.environ)
    del _kept[_MARKER]
    gc.disable()
    calls = socket.socket(fileno=int(sys.argv[1]))
    calls.set_inheritable(False)
    listening = socket.socket(fileno=int(sys.argv[2]))
    listening.set_inheritable(False)
    sys.path[0] = str(ROOT)
    for name in _LAUNCHER:
        importlib.import_module(name)
    for names in (_RUNS, _SCHEDULER):
        before = set(sys.modules)
        for name in names:
            importlib.import_module(name)
        _only[names] = [name for name in sys.modules if name not in before]
    _prepare([it for name, it in sys.modules.items() if name.startswith("gitflowrun")])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for a whole group of processes
    gc.freeze()
    gc.enable()
    _be_program(*_serve(calls, listening))


if __name__ == "__main__":
    _main()
