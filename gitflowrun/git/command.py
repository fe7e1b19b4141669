"""The git executable: how commands are run, and what stays running.

Whatever asks git does it through `Git`, `Resident` or `CatFile`, so what must hold for each call holds here once:

- variables that hooks, `git rebase --exec` and `git bisect run` export (`GIT_DIR`, `GIT_INDEX_FILE`,
  `GIT_AUTHOR_DATE`...) do not leak in; the repository is named explicitly;
- objects are what their ids say, whatever `git replace` shows instead, and the parents of commits what these say;
- no optional lock is taken, so the user's own commands never meet ours;
- nothing that the repository's config names is executed behind the user's back: no fsmonitor, no program in the
  table of `git.config`, no protocol that runs one, and no hooks but those of a push that the user asked for;
- messages are git's English ones, because some of them are recognised;
- an exit code is git's own or an error, whatever this process does with its children.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeAlias

from gitflowrun.errors import SYSTEM_LIMITS, MissingObject, RepositoryError, TooLarge
from gitflowrun.git.config import NEVER_ALLOWED, GitConfig, parse_config
from gitflowrun.git.environment import clean_environment
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.limits import (
    GIT_ALLOCATION,
    LISTED,
    MAX_DELTA_BLOB,
    MAX_MESSAGES,
    MINIMUM_GIT,
    RECORD_SIZE,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Argument: TypeAlias = "str | bytes | os.PathLike[str]"

_NEEDED = f"{MINIMUM_GIT[0]}.{MINIMUM_GIT[1]} or newer"
_USAGE = 129
"""git's exit code for a command line that it does not understand."""

_ALWAYS = (
    "-c", "core.fsmonitor=false",
    # Whose URLs say what to execute, or which descriptor of ours to write to.
    "-c", "protocol.ext.allow=never", "-c", "protocol.fd.allow=never",
)  # fmt: skip

_FOR_READING = (
    # Nothing checks that file against the commits, and parents in it may go round in circles.
    "-c", "core.commitGraph=false",
    # Else what a partial clone left out comes with a gc, as often and as thorough as its config says.
    "-c", "maintenance.auto=false", "-c", "gc.auto=0",
)  # fmt: skip

BOUNDED = {"GIT_ALLOC_LIMIT": str(GIT_ALLOCATION)}
"""The environment of a git that reads what may be anybody's: it ends before it takes more memory at once."""

FOR_FILES = {"GIT_ALLOC_LIMIT": str(MAX_DELTA_BLOB + GIT_ALLOCATION)}
"""The same of a git that reads files whole."""

_NO_HOOKS = (
    "-c", "core.hooksPath=/dev/null",
    # The one event that our commands have; since git 2.54 hooks come from the config, too.
    "-c", "hook.reference-transaction.enabled=false",
)  # fmt: skip


_SIGNALS: dict[int, str] = {
    signal.SIGBUS: ": a file became shorter while it was read",
    signal.SIGXFSZ: ": `ulimit -f` is too low",
    signal.SIGXCPU: ": `ulimit -t` is too low",
}


@frozen
class Completed:
    """A git command that has ended: its exit code, its output, and its messages."""

    code: int
    out: bytes
    err: str

    @property
    def message(self) -> str:
        """What git says went wrong, in one line."""
        if self.code < 0:  # a warning is no reason
            why = _SIGNALS.get(-self.code, "")
            end = f"git was ended by signal {-self.code} ({signal.strsignal(-self.code)}{why})"
            return "; ".join(_complaints(self.err)) or end
        return git_message(self.err) or f"git exited with status {self.code}"


def git_message(err: str) -> str:
    """What git's standard error says, in one line: the first error, and what git gave up for it."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return "; ".join(_complaints(err)) or (lines[-1] if lines else "")


def _complaints(err: str) -> list[str]:
    lines = [line.strip() for line in err.splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return list(dict.fromkeys(errors[:1] + fatal[:1]))


def run_command(
    command: Sequence[Argument],
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes | IO[bytes] | None = None,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: IO[bytes] | int = subprocess.PIPE,
    *,
    seconds: int | None = None,
    memory: int | None = None,
) -> Completed:
    """Run a git command to its end: `Git.attempt` where the repository is yet to be found.

    Args:
        command: The command.
        cwd: Its directory.
        env: Its environment.
        stdin: What it reads; nothing when None.
        stdout: Where its output goes.
        stderr: Where its messages go.
        seconds: How much processor time it gets.
        memory: How many bytes of memory, and each program that it starts.

    Raises:
        RepositoryError: git can't be started.
    """
    given = stdin if isinstance(stdin, bytes) else None
    file = subprocess.PIPE if isinstance(stdin, bytes) else stdin or subprocess.DEVNULL
    try:
        with Process(
            command, cwd=cwd, env=env, stdin=file, stdout=stdout, stderr=stderr
        ) as process:
            try:
                _limit(process, seconds, memory)
                out, err = process.communicate(given)
            except BaseException:
                process.kill()
                raise
    except OSError as error:
        raise _launch_error(error, cwd) from error
    return _completed(process, command, out or b"", err or b"")


def _limit(process: Process, seconds: int | None, memory: int | None) -> None:
    with contextlib.suppress(OSError, ValueError):  # it has ended, or may have less anyway
        if seconds is not None:
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds + 1))
        if memory is not None:
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory, memory))


def _completed(process: Process, command: Sequence[Argument], out: bytes, err: bytes) -> Completed:
    """What has become of a command. Raises RepositoryError: its exit code was lost."""
    if process.is_lost:
        words = " ".join(os.fsdecode(word) for word in command)
        raise RepositoryError(
            f"nobody knows whether `{words}` has succeeded: something in this process waits for all its children",
            hint="let it wait for its own: a handler of SIGCHLD, or a thread, that calls `os.waitpid(-1, ...)`",
        )
    return Completed(process.returncode, out, err.decode(errors="replace"))


def read_command(
    command: Sequence[Argument],
    cwd: Path,
    env: Mapping[str, str],
    most: int,
    stdin: bytes = b"",
    seconds: int | None = None,
) -> Completed:
    """As `run_command`, for what lists objects that may be anybody's: `Git.read`."""
    given, told = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stderr"))
    try:
        with open(given, "r+b") as file, open(told, "r+b") as messages:  # noqa: PTH123  (descriptors)
            file.write(stdin)
            file.seek(0)
            with Process(
                command, cwd=cwd, env=env, stdin=file, stdout=subprocess.PIPE, stderr=messages
            ) as process:
                # What git lists it may hold until it has all, whether anybody reads that or not.
                _limit(process, seconds, LISTED + most)
                assert process.stdout is not None
                out = process.stdout.read(most + 1)
                if len(out) > most:
                    process.kill()
            messages.seek(0)
            err = messages.read(MAX_MESSAGES)
    except OSError as error:
        raise _launch_error(error, cwd) from error
    if len(out) > most:
        raise TooLarge(f"what git lists is more than {most:,} bytes")
    return _completed(process, command, out, err)


_TELLS_ITS_END = """
import os, sys, _signal as s
s.signal(s.SIGCHLD, s.SIG_DFL)
told = int(sys.argv[1])
os.set_inheritable(told, False)
try:
    child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[s.SIGPIPE, s.SIGXFSZ])
    os.write(told, b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
except OSError as error:
    os.write(told, b"!%d" % error.errno)
"""


class Process(subprocess.Popen[bytes]):
    """A process whose exit code is its own: `Popen` takes one that it could not read for 0.

    Where SIGCHLD is ignored the kernel tells nobody, and git itself can't wait for what it starts. The handler is
    the user's, so another interpreter stands between, where it is not ignored; that costs 15 ms. Where somebody else
    waits for all children, which no one can see beforehand, the code is known to be lost.

    Attributes:
        is_lost: Whether somebody else has taken the exit code.
    """

    def __init__(
        self, command: Sequence[Argument], *, pass_fds: tuple[int, ...] = (), **options: Any
    ) -> None:
        self.is_lost = False
        self._told = -1
        if signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN or not sys.executable:
            super().__init__(command, pass_fds=pass_fds, **options)
            return
        self._told, tell = os.pipe()
        between = [sys.executable, "-I", "-S", "-c", _TELLS_ITS_END, str(tell)]
        try:
            super().__init__([*between, *command], pass_fds=(*pass_fds, tell), **options)
        except OSError:
            os.close(self._told)
            raise
        finally:
            os.close(tell)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code, or the negative number of the signal that ended it.

        Raises:
            OSError: it could not be started.
        """
        if self.returncode is not None or timeout is not None or self._told >= 0:
            return self._true(super().wait(timeout))
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            self.is_lost = True
            return super().wait()
        super().wait()
        assert ended is not None
        self.returncode = ended.si_status * (1 if ended.si_code == os.CLD_EXITED else -1)
        return self.returncode

    def poll(self) -> int | None:
        """The exit code; None as long as it runs."""
        code = super().poll()
        return code if code is None else self._true(code)

    def _true(self, code: int) -> int:
        if self._told >= 0:
            with open(self._told, "rb") as file:  # noqa: PTH123  (a descriptor)
                told = file.read()
            self._told = -1
            if told.startswith(b"!"):
                number = int(told[1:])
                raise OSError(number, os.strerror(number))
            code = int(told or -signal.SIGKILL)
            self.returncode = code
        return code


def _launch_error(error: OSError, cwd: Path) -> RepositoryError:
    """The error for a git that could not even be started in a directory, by what the system said."""
    if isinstance(error, FileNotFoundError) and not cwd.is_dir():
        return RepositoryError(f"the directory {str(cwd)!r} does not exist")
    if isinstance(error, FileNotFoundError):
        return RepositoryError(
            "git is not installed, or not on PATH", hint=f"install git {_NEEDED}"
        )
    hints = {
        errno.EMFILE: "this process has too many files open: raise its limit (`ulimit -n`)",
        errno.ENFILE: "the system has too many files open: end programs that you do not need",
        errno.EAGAIN: "there are too many processes: raise the limit (`ulimit -u`), or end some",
        errno.ENOMEM: "there is not enough memory: end programs that you do not need",
        errno.EACCES: f"the directory {str(cwd)!r} and the git on PATH must be yours to use",
        errno.E2BIG: "the environment is too large: unset what you do not need",
    }
    hint = hints.get(error.errno or 0)
    return RepositoryError(f"git can't be started: {error.strerror or error}", hint=hint)


class Git:
    """Runs git commands in one repository.

    Args:
        git_dir: The repository's git directory (of a linked worktree: its own).
        work_tree: The root of the work tree; None where there is none.
        hooks: Whether the user's hooks run.
        programs: Whether git starts the programs that the repository's own config names, as it does for what people
            type themselves.
    """

    def __init__(
        self,
        git_dir: Path,
        work_tree: Path | None,
        *,
        hooks: bool = False,
        programs: bool = False,
    ) -> None:
        self.git_dir = git_dir
        self.work_tree = work_tree
        self._options = _ALWAYS if hooks else (*_ALWAYS, *_NO_HOOKS)
        if not programs:
            self._options = (*self._options, *_FOR_READING)
        self._programs = programs

    @cached_property
    def config(self) -> Mapping[str, str]:
        """All of git config; see `GitConfig.values`."""
        return self._config.values

    @property
    def own_config(self) -> Mapping[str, str]:
        """What of `config` the user, the system or the command line says: nothing that lies in the repository."""
        return self._config.own

    def know(self, config: Mapping[str, str]) -> None:
        """Take the config that another process of a run has read. A run executes the repository's code anyway."""
        self.config = config
        self._guard = {}

    @cached_property
    def _guard(self) -> Mapping[str, str]:
        return {} if self._programs else self._config.guard

    @cached_property
    def _config(self) -> GitConfig:
        command = self.command(["config", "-z", "--show-scope", "--list"])
        done = run_command(command, self.cwd, self._environment())
        if done.code:
            raise self.failure(["config"], done)
        return parse_config(done.out)

    def run(
        self,
        *args: Argument,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run `git ARGS` to its end and return its standard output.

        Args:
            args: The subcommand and its arguments.
            stdin: What it reads; nothing when None.
            env: Variables to add to the environment.

        Raises:
            RepositoryError: git failed; the message holds what it said.
        """
        done = self.attempt(*args, stdin=stdin, env=env)
        if done.code:
            raise self.failure(args, done)
        return done.out

    def run_within(
        self, seconds: int, *args: Argument, env: Mapping[str, str] | None = None
    ) -> bytes:
        """As `run`, over objects that may be anybody's.

        Args:
            seconds: How much processor time git gets; what it waits for a remote does not count.
            args: The subcommand and its arguments.
            env: Variables to add to the environment.

        Raises:
            TooLarge: it needs more.
            RepositoryError: git failed; the message holds what it said.
        """
        command, environment = self.command(args), self.environment(env)
        done = run_command(command, self.cwd, environment, seconds=seconds)
        if done.code in {-signal.SIGXCPU, -signal.SIGKILL}:
            raise TooLarge(
                f"`git {os.fsdecode(args[0])}` took more than {seconds} s of processor time"
            )
        if done.code:
            raise self.failure(args, done)
        return done.out

    def attempt(
        self,
        *args: Argument,
        stdin: bytes | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        stdout: IO[bytes] | int = subprocess.PIPE,
        stderr: IO[bytes] | int = subprocess.PIPE,
    ) -> Completed:
        """As `run`, but a failure of git is a value, and its output and messages may go to files.

        Raises:
            RepositoryError: git can't be started.
        """
        command, environment = self.command(args), self.environment(env)
        return run_command(command, self.cwd, environment, stdin, stdout, stderr)

    def converse(
        self,
        *args: Argument,
        env: Mapping[str, str],
        stdin: bytes | None = None,
        stdout: IO[bytes] | int = subprocess.PIPE,
        memory: int | None = None,
    ) -> Completed:
        """As `attempt`, with a repository elsewhere, which may say as much as it likes: only both ends are kept.

        Args:
            args: The subcommand and its arguments.
            env: Variables to add to the environment.
            stdin: What it reads; nothing when None.
            stdout: Where its output goes.
            memory: As in `run_command`.
        """
        command, environment = self.command(args), self.environment(env)
        heard, say = os.pipe()
        said = bytearray()

        def listen() -> None:
            with open(heard, "rb", buffering=0) as pipe:  # noqa: PTH123  (a descriptor)
                while piece := pipe.read(MAX_MESSAGES // 8):
                    said.extend(piece)
                    if len(said) > MAX_MESSAGES:
                        del said[MAX_MESSAGES // 4 : -MAX_MESSAGES // 4]

        from gitflowrun.utilities.threads import start  # few commands need it

        ended = start(listen)
        if ended is None:
            os.close(heard)
            os.close(say)
            raise RepositoryError(
                "git can't be listened to: the system gives no more threads",
                hint=SYSTEM_LIMITS,
            )
        try:
            with open(say, "wb") as messages:  # noqa: PTH123  (a descriptor)
                done = run_command(
                    command, self.cwd, environment, stdin, stdout, messages, memory=memory
                )
        finally:
            ended.acquire()
        return Completed(done.code, done.out, said.decode(errors="replace"))

    def read(
        self, *args: Argument, most: int, stdin: bytes = b"", seconds: int | None = None
    ) -> Completed:
        """As `attempt`, of objects that may be anybody's: their sizes are bounded, and so is the list of them.

        Args:
            args: The subcommand and its arguments.
            most: Bytes that it may print; what prints more is ended.
            stdin: What it reads.
            seconds: How much processor time it gets.

        Raises:
            TooLarge: it prints more.
            RepositoryError: git can't be started.
        """
        command = self.command(("-c", "pack.threads=1", *args))  # partial clones index so
        return read_command(command, self.cwd, self.environment(BOUNDED), most, stdin, seconds)

    def start(
        self,
        *args: Argument,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int = subprocess.PIPE,
        stderr: int = subprocess.DEVNULL,
        inherited: tuple[int, ...] = (),
        new_session: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start `git ARGS` with a pipe to its standard output, and do not wait for it.

        Args:
            args: The subcommand and its arguments.
            env: Variables to add to the environment.
            stdin: What it reads: a file, or a pipe.
            stderr: Where its messages go.
            inherited: Descriptors that it holds open until it ends.
            new_session: Whether it gets a session of its own, away from the terminal's signals.

        Raises:
            RepositoryError: git can't be started.
        """
        try:
            return Process(
                self.command(args),
                cwd=self.cwd,
                env=self.environment(env),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=inherited,
                start_new_session=new_session,
            )
        except OSError as error:
            raise _launch_error(error, self.cwd) from error

    def failure(self, args: Sequence[Argument], done: Completed) -> RepositoryError:
        """The error that says which command failed and what git said."""
        texts = [os.fsdecode(arg) for arg in args]
        while texts[:1] == ["-c"]:
            del texts[:2]
        command = next((text for text in texts if not text.startswith("-")), "")
        hint = self.too_old() if done.code == _USAGE else None
        return RepositoryError(f"git {command}: {done.message}", hint=hint)

    def too_old(self) -> str | None:
        """That the git executable is too old, for people; None where it is not."""
        version = self.version()
        told = f"this is git {version[0]}.{version[1]}; gitflowrun needs {_NEEDED}"
        return told if version < MINIMUM_GIT else None

    def version(self) -> tuple[int, int]:
        """Major and minor version of the git executable."""
        # Without the config, which an old git can't show.
        done = run_command(["git", "version"], self.cwd, clean_environment())
        found = re.search(rb"(\d+)\.(\d+)", done.out)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def cwd(self) -> Path:
        """Where commands run: the top of the work tree, so that paths mean what the index means."""
        return self.work_tree or self.git_dir

    def command(self, args: Sequence[Argument]) -> list[Argument]:
        """The full argument list of a command."""
        return ["git", *self._options, *args]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command."""
        env = self._environment()
        env.update(self._guard)
        env.update(extra or {})
        return env

    def _environment(self) -> dict[str, str]:
        env = clean_environment()
        if allowed := env.get("GIT_ALLOW_PROTOCOL"):  # which goes before the config
            kept = [name for name in allowed.split(":") if name not in NEVER_ALLOWED]
            env["GIT_ALLOW_PROTOCOL"] = ":".join(kept)
        env["GIT_DIR"] = str(self.git_dir)
        if self.work_tree is not None:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        env["GIT_OPTIONAL_LOCKS"] = "0"
        env["GIT_NO_REPLACE_OBJECTS"] = "1"
        env["LANGUAGE"] = "en"  # English messages without touching the character set of LC_CTYPE
        return env


class Resident:
    """A git process that stays, and answers one request after another over its pipes.

    It is started by the first request, and again by the next one after it has ended. Safe to use from several
    threads. After a fork the process, and its answers, belong to the parent: the child starts its own. It has a
    session of its own, so that Ctrl-C at the terminal reaches us alone; it ends when its standard input does,
    whatever kills us.

    Args:
        git: Runs git.
        args: The subcommand that reads requests from its standard input.
    """

    _ENV: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, git: Git, *args: Argument) -> None:
        self._git = git
        self._args = args
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        if self._owner == os.getpid():
            self._end()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Its standard input and output; of a new process, if there is none."""
        if self._process is None or self._owner != os.getpid():
            # Not `_end`: what is forgotten here may be the process of the parent.
            self._process = self._start()
            self._owner = os.getpid()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout

    def _start(self) -> subprocess.Popen[bytes]:
        return self._git.start(*self._args, env=self._ENV, new_session=True)

    def _end(self, patience: float = 0.0) -> None:
        """End the process.

        Args:
            patience: Seconds to let it finish what it was asked; then it is terminated.
        """
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            # git removes its lock files then, which it can't when it is killed. What it has started ends, too: it may
            # fetch, and a server can have such a fetch begin another one, and so on.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


class CatFile(Resident):
    """A resident `git cat-file --batch`: reads any object git can reach, lazily fetched ones included."""

    _ENV: ClassVar = FOR_FILES

    def __init__(self, git: Git) -> None:
        super().__init__(git, "cat-file", "--batch")

    def read(self, oid: Oid, limit: int = RECORD_SIZE) -> tuple[ObjectType, bytes]:
        """The type and content of an object of up to `limit` bytes.

        Raises:
            MissingObject: there is no such object.
            TooLarge: it is larger.
            RepositoryError: git can't read it.
        """
        with self._lock:
            kind, size = self._ask(oid)
            if size > limit:
                self._end()  # or all of it would come through the pipe
                raise TooLarge(
                    f"object {oid} can't be read: it has {size:,} bytes, and no more than {limit:,} are read"
                )
            data = self._pipes()[1].read(size + 1)
            if len(data) <= size:
                self._end()
                raise RepositoryError(
                    "git cat-file ended in the middle of an object",
                    hint="`git fsck --full` says what is damaged",
                )
        return kind, data[:-1]

    def _ask(self, oid: Oid) -> tuple[ObjectType, int]:
        pipe_in, pipe_out = self._pipes()
        try:
            pipe_in.write(b"%s\n" % oid.hex().encode())
            pipe_in.flush()
            answer = pipe_out.readline().split()
        except OSError as error:
            self._end()
            raise RepositoryError(f"git cat-file ended while asked for object {oid}") from error
        if answer[1:] == [b"missing"]:
            raise MissingObject(
                f"object {oid} is missing from the repository",
                hint="`git fsck --full` lists what is damaged; "
                "`git fetch --refetch REMOTE REF` brings all of a ref anew",
            )
        if len(answer) != 3:  # noqa: PLR2004  (oid type size)
            # git dies on an object it can't inflate, after telling standard error.
            self._end()
            raise RepositoryError(
                f"git can't read object {oid}",
                hint="it is damaged, as `git fsck --full` will say, or it was left out of a partial "
                "clone whose remote can't be reached",
            )
        return ObjectType.from_word(answer[1]), int(answer[2])
