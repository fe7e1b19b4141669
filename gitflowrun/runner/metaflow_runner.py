"""`Runner`: runs of a flow file, started by a Python program and followed through client objects.

How a program learns which run it has started:

1. It makes a FIFO and opens it for reading, so that whoever writes there finds a reader.
2. It starts the flow's program with `--runner-attribute-file FIFO`.
3. The scheduler has given the run its number and published its first commits; it writes run id, flow and repository
   to the FIFO as one JSON document.
4. Whoever waits reads it, closes the FIFO and removes it. A program that has ended and written nothing there has
   failed before there was a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeVar

from gitflowrun.client.base import Scope, make
from gitflowrun.names import Pathspec
from gitflowrun.runner.click_api import MetaflowAPI, extended, failure
from gitflowrun.runner.subprocess_manager import STREAMS, CommandManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from typing_extensions import Self

    from gitflowrun.client import Run, Task

    _Made = Callable[["CommandManager", "_Announcement"], "T"]

T = TypeVar("T")
_PIPE_SIZE = 64 << 10
_PAUSE = 0.02  # seconds


class ExecutingProcess:
    """A program of a flow that a `Runner` has started.

    Attributes:
        runner: The runner.
        command_obj: The flow's program: `.command`, `.process`, `.log_files`.
    """

    def __init__(self, runner: Runner, command_obj: CommandManager) -> None:
        self.runner = runner
        self.command_obj = command_obj

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.cleanup()

    @property
    def returncode(self) -> int | None:
        """The exit code of the flow's program; None while it runs."""
        return self.command_obj.process.poll()

    @property
    def status(self) -> str:
        """`running`, `successful`, `failed`, or `timeout` when `wait` has ended it."""
        if self.command_obj.timeout:
            return "timeout"
        code = self.returncode
        if code is None:
            return "running"
        return "failed" if code else "successful"

    @property
    def stdout(self) -> str:
        """What the flow's program has written to standard output so far: the run log."""
        return self.command_obj.output("stdout").decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to standard error."""
        return self.command_obj.output("stderr").decode(errors="replace")

    async def wait(self, timeout: float | None = None, stream: str | None = None) -> Self:
        """Wait until the run has ended. One that takes too long is interrupted, and its status is `timeout`.

        Args:
            timeout: Seconds; for ever when None.
            stream: `stdout` or `stderr`, to see its lines meanwhile.

        Raises:
            ValueError: there is no such stream.
        """
        if stream is not None:
            _check_stream(stream)
        await self.command_obj.wait_async(timeout, stream)
        return self

    async def stream_log(
        self, stream: str, position: int | None = None
    ) -> AsyncIterator[tuple[int, str]]:
        """The lines of a stream, as they are written, until the run has ended.

        Args:
            stream: `stdout` or `stderr`.
            position: Where to begin, as an earlier line came with it; at the beginning when None.

        Yields:
            The position behind a line, and the line.

        Raises:
            ValueError: there is no such stream.
        """
        _check_stream(stream)
        async for found in self.command_obj.lines(stream, position or 0):
            yield found


class ExecutingRun(ExecutingProcess):
    """A run that a `Runner` has started.

    Attributes:
        run: The run, for whatever the client API can say of it, also while it runs.
    """

    def __init__(self, runner: Runner, command_obj: CommandManager, run: Run) -> None:
        super().__init__(runner, command_obj)
        self.run = run


class ExecutingTask(ExecutingProcess):
    """A task that a `Runner` spins.

    Attributes:
        task: The task, for whatever the client API can say of it, also while it runs.
    """

    def __init__(self, runner: Runner, command_obj: CommandManager, task: Task) -> None:
        super().__init__(runner, command_obj)
        self.task = task


def _check_stream(stream: str) -> None:
    if stream not in STREAMS:
        raise ValueError(f"no such stream: {stream!r}; there are {' and '.join(STREAMS)}")


class Runner:
    """Starts runs of a flow file.

        with Runner("flow.py", show_output=False) as runner:
            result = runner.run(alpha=3, tags=["try"])
            print(result.status, result.run.data.accuracy)

    As a context manager, also in `async with`, it removes the files of the output at the end.

    Args:
        flow_file: The file.
        show_output: Whether `run`, `resume` and `spin` show what the flow's program writes.
        profile: METAFLOW_PROFILE of the flow's program.
        env: Variables of the environment to be added to that of this process.
        cwd: The directory that the flow's program starts in; the current one when None.
        file_read_timeout: Seconds until which the program must have begun a run.
        **kwargs: Options that stand before the command, such as `quiet=True` or `decospecs=["retry"]`.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(
        self,
        flow_file: str | os.PathLike[str],
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **kwargs: Any,
    ) -> None:
        self.flow_file = os.path.abspath(flow_file)  # noqa: PTH100  (links stay as they are)
        if not os.path.isfile(self.flow_file):  # noqa: PTH113
            raise FileNotFoundError(f"there is no flow file {self.flow_file!r}")
        self.show_output = show_output
        self.env = extended(env, profile)
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.file_read_timeout = file_read_timeout
        self.top_level_kwargs = kwargs
        self._api = MetaflowAPI(self.flow_file, self.env, self.cwd, file_read_timeout)
        self._commands: list[CommandManager] = []

    def __enter__(self) -> Runner:
        return self

    async def __aenter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    async def __aexit__(self, *_: object) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        """Remove the files of the output. Runs that have not ended go on, and their output is in git."""
        for command in self._commands:
            command.cleanup()

    def run(self, **kwargs: Any) -> ExecutingRun:
        """Run the flow to its end. That it fails is no exception: see `status`.

        Args:
            **kwargs: Parameters of the flow and options of `run`, in snake case.

        Raises:
            ValueError: there is no such parameter or option.
            TypeError: a value is not of its type.
            RuntimeError: the program has ended before there was a run; the text has all its output.
            TimeoutError: it has not begun one in time.
        """
        return self._execute("run", kwargs, self._executing)

    def resume(self, **kwargs: Any) -> ExecutingRun:
        """Resume a run of the flow: `step_to_rerun`, `origin_run_id` and the options of `resume`. Raises as `run`."""
        return self._execute("resume", kwargs, self._executing)

    def spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """Run one task of an earlier run again, outside of the history, to its end.

        Args:
            pathspec: The step or the task, as `spin` of the flow takes it: `train`, `12/train/3`.
            **kwargs: Options of `spin`, in snake case: `persist`, `skip_decorators`, `artifacts_module`, ...

        Raises as `run`.
        """
        return self._execute("spin", {"pathspec": pathspec, **kwargs}, self._executing_task)

    async def async_run(self, **kwargs: Any) -> ExecutingRun:
        """Begin a run, and return as soon as it has a number. Raises as `run`."""
        return await self._begin("run", kwargs, self._executing)

    async def async_resume(self, **kwargs: Any) -> ExecutingRun:
        """Begin to resume a run, and return as soon as the new one has a number. Raises as `run`."""
        return await self._begin("resume", kwargs, self._executing)

    async def async_spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """Begin to spin a task, and return as soon as that has an id. Arguments as of `spin`; raises as `run`."""
        return await self._begin("spin", {"pathspec": pathspec, **kwargs}, self._executing_task)

    def _execute(self, command: str, arguments: dict[str, Any], made: _Made[T]) -> T:
        words = self._words(command, arguments)
        with _Announcement() as announcement:
            program = self._start(words, announcement)
            try:
                while not announcement.is_there():
                    left = self._left(program, announcement)
                    if program.wait(show=self.show_output, other=announcement.fd, seconds=left):
                        break
                executing = made(program, announcement)
                program.wait(show=self.show_output)
            except BaseException as error:
                self._give_up(program, error)
                raise
        return executing

    def _give_up(self, program: CommandManager, error: BaseException) -> None:
        """End what nobody waits for any more; an interrupt is passed on, and so is the next one."""
        if not isinstance(error, KeyboardInterrupt):
            program.end(show=self.show_output)
            return
        while program.process.poll() is None:
            program.interrupt()
            try:
                program.wait(show=self.show_output)
            except KeyboardInterrupt:
                continue

    async def _begin(self, command: str, arguments: dict[str, Any], made: _Made[T]) -> T:
        words = await asyncio.get_running_loop().run_in_executor(
            None, self._words, command, arguments
        )
        with _Announcement() as announcement:
            program = self._start(words, announcement)
            try:
                while not announcement.is_there() and program.process.poll() is None:
                    self._left(program, announcement)
                    await asyncio.sleep(_PAUSE)
                return made(program, announcement)
            except BaseException:
                program.interrupt()
                raise

    def _words(self, command: str, arguments: dict[str, Any]) -> list[str]:
        words: list[str] = getattr(self._api(**self.top_level_kwargs), command)(**arguments)
        return words

    def _start(self, words: list[str], announcement: _Announcement) -> CommandManager:
        # The option stands behind the command, which it belongs to.
        place = len(self._api.program) + 1
        words[place:place] = ["--runner-attribute-file", announcement.path]
        program = CommandManager(words, {**self.env, **self._api.variables}, self.cwd)
        self._commands.append(program)
        announcement.began = time.monotonic()
        return program

    def _left(self, program: CommandManager, announcement: _Announcement) -> float:
        """The seconds until which there must be a run. Raises TimeoutError when they are over."""
        left = announcement.began + self.file_read_timeout - time.monotonic()
        if left <= 0:
            raise TimeoutError(
                f"process {program.process.pid} has begun no run within {self.file_read_timeout} seconds"
            )
        return left

    def _executing(self, program: CommandManager, announcement: _Announcement) -> ExecutingRun:
        """The run that was begun. Raises RuntimeError where there is none."""
        scope, facts = self._announced(program, announcement)
        run: Run = make(Pathspec(facts["flow_name"], facts["run_id"]), scope)
        return ExecutingRun(self, program, run)

    def _executing_task(
        self, program: CommandManager, announcement: _Announcement
    ) -> ExecutingTask:
        """The same of a task that is spun."""
        scope, facts = self._announced(program, announcement)
        names = (facts[name] for name in ("flow_name", "run_id", "step_name", "task_id"))
        task: Task = make(Pathspec(*names), scope)
        return ExecutingTask(self, program, task)

    def _announced(
        self, program: CommandManager, announcement: _Announcement
    ) -> tuple[Scope, dict[str, str]]:
        if not announcement.is_there():
            out, err = (program.output(stream) for stream in STREAMS)
            code = program.process.poll()
            raise RuntimeError(failure(program.command, code, out, err))
        facts = announcement.facts
        return Scope(facts["metadata"], None, checked=False), facts


class _Announcement:
    """The FIFO through which a flow's program says which run it has begun.

    Attributes:
        path: The FIFO.
        fd: Our end of it.
        began: When the program was started, of the clock that is never set.
        facts: What was said.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="gitflowrun-fifo-")
        self.path = f"{self._folder}/attributes"
        os.mkfifo(self.path, 0o600)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.began = 0.0
        self.facts: dict[str, str] = {}
        self._read = b""

    def __enter__(self) -> _Announcement:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        shutil.rmtree(self._folder, ignore_errors=True)

    def is_there(self) -> bool:
        """Whether all of it is there."""
        if not self.facts:
            try:
                self._read += os.read(self.fd, _PIPE_SIZE)
                self.facts = json.loads(self._read)
            except (BlockingIOError, ValueError):  # a part of it is there, or nothing
                return False
        return True
