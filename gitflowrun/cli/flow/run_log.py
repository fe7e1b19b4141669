"""The run log: the events of a run as lines of text, while it happens.

Standard output carries `Run ID: N`, then one line for each event or line of a task's output; standard error
carries what is said about the run as a whole. On a terminal, unless it is a dumb one, a status line follows the log
at its bottom. It is written to standard error and wiped before every line, so that no byte of it reaches a
file or a pipe.

The scheduler process writes it, so click is not imported here.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, TextIO

from gitflowrun.cli.errors import FLOW, report_error
from gitflowrun.cli.output.terminal import is_terminal, obeys_commands, style_for
from gitflowrun.cli.output.text import (
    clock,
    counted,
    frequency,
    on_hosts,
    printable,
    terminal_safe,
)
from gitflowrun.errors import RunFailed
from gitflowrun.limits import RATE_TASKS, REPORT_SHOWN
from gitflowrun.runs.commit_message import duration
from gitflowrun.runtime.ipc import events
from gitflowrun.runtime.launch.program import spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import RunIdentity

_SAME = "same code, inputs and parameters"
_SUMMARY_EVERY = 300.0  # seconds between the log's summaries of a long run
_WIPE = "\r\x1b[K"
_COMMANDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what a progress bar tells a terminal
_RECENT = 50  # lines of a task in which its error may have been said already
_REPORT = re.compile(r"<flow .*> failed:")  # `StepOutcome.report` begins so
_ENOUGH = 500  # characters of an error that must be the same
# What a task writes that fails for having no terminal: pdb's prompt, ipdb's end, `input`'s.
_ASKED = ("(Pdb)", "bdb.BdbQuit", "EOFError: EOF when reading a line")


class _Interrupted(RunFailed):
    headline = "Interrupted"


class _Foreach:
    """The tasks of a step that a foreach yields.

    Attributes:
        splits: How many each task before it yields; where foreaches are nested, of those that have been reached.
    """

    def __init__(self) -> None:
        self.splits: list[int] = []
        self._done = self._failed = 0
        self._ends: deque[float] = deque(maxlen=RATE_TASKS)

    def note(self, *, ok: bool) -> None:
        """A task has ended."""
        self._done += ok
        self._failed += not ok
        self._ends.append(time.monotonic())

    def told(self) -> str:
        """How many are done and have failed, how fast it goes lately, and how long is left if it goes on so."""
        words = [f"{self._done:,} of {sum(self.splits):,}"]
        if self._failed:
            words.append(f"{self._failed:,} failed")
        span = self._ends[-1] - self._ends[0] if self._ends else 0.0
        if span > 0:
            rate = (len(self._ends) - 1) / span
            words.append(frequency(rate))
            left = sum(self.splits) - self._done - self._failed
            if left > 0 and len(self.splits) == 1:
                words.append(f"{duration(left / rate)} left")
        return ", ".join(words)


class _Report:
    """What a failed task says of its error: of a long one the beginning is shown, and its log has all of it."""

    def __init__(self) -> None:
        self._left = REPORT_SHOWN
        self.hidden = 0

    def shown(self, line: str) -> str | None:
        """What is shown of the next line; None for nothing."""
        shown, had = line[: max(self._left, 0)], self._left > 0
        self._left -= len(line) + 1
        self.hidden += len(line) - len(shown) + (not had)
        if not had:
            return None
        return shown if shown == line else f"{shown}…"


class RunLog:
    """Writes the events of one run as they come.

    Args:
        command: The command that starts the flow, for hints.
        config: git config, for colours.
        git: How `git` is typed here for the repository of the run, for hints.
        out: Where the run log goes.
        err: Where the rest goes.
        run: The run, where its start is not among the events.
        spun: The address of the task that it executes once more, likewise.
    """

    def __init__(
        self,
        command: tuple[str, ...] = ("python", "FLOW.py"),
        config: Mapping[str, str] | None = None,
        git: str = "git",
        out: TextIO | None = None,
        err: TextIO | None = None,
        run: RunIdentity | None = None,
        spun: str | None = None,
    ) -> None:
        self._command = command
        self._git = git
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._style = style_for(self._out, config)
        self._err_style = style_for(self._err, config)
        self._terminal = is_terminal(self._out)
        self._live = obeys_commands(self._err)
        self._held: list[str] | None = None  # what is written at once
        self._status = ""
        self._recent: dict[TaskName, deque[str]] = {}
        self._line: tuple[TaskName, str] | None = None
        self._run = run
        self._spun = spun
        self._reports: dict[TaskName, _Report] = {}
        self._asked = False
        self._inline = False
        self._foreaches: dict[str, _Foreach] = {}
        self._started = self._summarized = time.time()
        self._shows: dict[type, Callable[..., None]] = {
            events.RunStarted: self._run_started,
            events.TaskStarted: self._task_started,
            events.TaskLine: self._task_line,
            events.TaskEnded: self._task_ended,
            events.TaskCloned: self._task_cloned,
            events.StepCloned: self._step_cloned,
            events.TaskTaken: self._task_taken,
            events.TasksTaken: self._tasks_taken,
            events.ForeachSplit: self._foreach_split,
            events.Progress: self._progress,
            events.Notice: self._notice,
            events.Published: self._published,
            events.RunEnded: self._run_ended,
        }

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        self._shows[type(event)](event)

    # ---- the run ----

    def _run_started(self, event: events.RunStarted) -> None:
        self._run = event.identity
        self._started = self._summarized = time.time()
        self._spun = event.spun
        self._emit(f"Run ID: {event.identity.id}\n")
        if event.spun is not None:
            self._log(f"Spinning {event.spun} (run-id {event.identity.id}):", self._style.bold)
            return
        self._log(f"Workflow starting (run-id {event.identity.id}):", self._style.bold)
        if event.origin is not None:
            self._log(f"Cloning {event.origin.pathspec}")

    def _run_ended(self, event: events.RunEnded) -> None:
        self._draw("")
        self._live = False
        status = event.status.value
        if status == "done":
            words = "Done!" if self._spun is None else "Task finished successfully."
            self._log(words, self._style.green)
            return
        interrupted = status == "interrupted"
        kind, verb = (_Interrupted, "interrupted") if interrupted else (RunFailed, "failed")
        if self._spun is None:
            self._log(f"Workflow {verb}.", self._style.red)
        message = event.error or f"the run {'was ' if interrupted else ''}{verb}"
        report_error(kind(message, hint=self._resume_hint()), FLOW, self._err)

    def _resume_hint(self) -> str | None:
        if self._run is None:
            return None
        again = ("resume", self._run.id) if self._spun is None else ("spin", self._spun)
        resume = spelled(self._command, *again)
        terminal = (
            f"steps have no terminal; `GITFLOWRUN_ISOLATION=inline {resume}` runs them in the foreground, "
            "where breakpoint() and input() work\n"
        )
        does = "continues it" if self._spun is None else "tries it again"
        return (
            f"{terminal if self._asked else ''}`{resume}` {does}, "
            f"`{self._git} runs show {self._run.id}` shows what is there"
        )

    # ---- tasks ----

    def _task_started(self, event: events.TaskStarted) -> None:
        words = "Task is starting (retry)." if event.attempt else "Task is starting."
        if event.fallback:
            words = "Task fallback is starting to handle the failure."
        self._task(event.task, event.pid, words, self._style.dim)

    def _task_line(self, event: events.TaskLine) -> None:
        recent = self._recent.get(event.task)
        if recent is None:
            recent = self._recent[event.task] = deque(maxlen=_RECENT)
        shown = event.text if event.shown else self._part(event)
        if shown is None:
            return
        recent.append(shown)
        if event.shown:
            self._inline = True
            return
        text = terminal_safe(shown) if self._terminal else shown
        self._task(
            event.task, event.pid, text, self._style.red if event.system else None, event.time
        )

    def _part(self, event: events.TaskLine) -> str | None:
        """What is shown of a task's line; None for nothing."""
        if event.system or event.stream != "stderr":
            return event.text
        if _REPORT.fullmatch(event.text):
            self._reports[event.task] = _Report()
        report = self._reports.get(event.task)
        return event.text if report is None else report.shown(event.text)

    def _end_report(self, event: events.TaskEnded) -> None:
        """Say how much of what a task has said of its error was not shown, and how all of it is read."""
        report = self._reports.pop(event.task, None)
        if report is None or not report.hidden or self._run is None:
            return
        attempt = f" --attempt {event.attempt}" if event.again else ""
        command = f"{self._git} runs logs --stderr{attempt} {self._run.id}/{event.task}"
        words = f"… {report.hidden:,} more characters: `{command}` prints all"
        self._task(event.task, event.pid, words, self._style.dim)

    def _task_ended(self, event: events.TaskEnded) -> None:
        foreach = self._foreaches.get(event.task.step)
        if foreach and not event.again:
            foreach.note(ok=event.ok)
        recent = self._recent.pop(event.task, ())
        if self._line is not None and self._line[0] == event.task:
            self._line = None
        self._end_report(event)
        if event.ok:
            self._task(event.task, event.pid, "Task finished successfully.", self._style.green)
            return
        if not self._inline:
            self._asked |= any(word in line for line in recent for word in _ASKED)
        error = (event.error or "").partition("\n")[0]
        # A traceback ends with the same words, after the module of the error and before other lines of it.
        if error and not any(error[:_ENOUGH] in line for line in recent):
            self._task(event.task, event.pid, printable(error), self._style.red)
        self._task(event.task, event.pid, "Task failed.", self._style.red)

    def _task_cloned(self, event: events.TaskCloned) -> None:
        origin = f"{event.origin.pathspec}/{event.task}"
        self._task(event.task, None, f"Cloning previously run task {origin}", self._style.dim)

    def _step_cloned(self, event: events.StepCloned) -> None:
        origin = f"{event.origin.pathspec}/{event.step}"
        tasks = counted(event.tasks, "previously run task")
        self._log(self._style.dim(f"Cloning {tasks} of {origin}"))

    def _task_taken(self, event: events.TaskTaken) -> None:
        self._task(event.task, None, f"Taken from {event.origin}: {_SAME}", self._style.dim)

    def _tasks_taken(self, event: events.TasksTaken) -> None:
        others = len(event.runs) - 1
        runs = event.runs[0] + (f" and {counted(others, 'other run')}" if others else "")
        tasks = f"{counted(event.tasks, 'task')} of step {event.step}"
        self._log(self._style.dim(f"{tasks} taken from {runs}: {_SAME}"))

    def _foreach_split(self, event: events.ForeachSplit) -> None:
        self._foreaches.setdefault(event.step, _Foreach()).splits.append(event.children)
        steps = counted(event.children, "child step")
        self._task(event.task, event.pid, f"Foreach yields {steps}.", self._style.cyan)

    # ---- in between ----

    def _progress(self, event: events.Progress) -> None:
        if self._live:
            if event.line is not None:
                self._line = event.line
            self._draw(self._status_line(event))
        now = time.time()
        if now - self._summarized >= _SUMMARY_EVERY:
            self._summarized = now
            running = sum(count for _, count in event.running)
            where = f" {on_hosts(event.hosts)}" if event.hosts else ""
            self._log(
                f"{counted(event.done, 'task')} done, {running:,} running{where}, {event.queued:,} waiting, "
                f"after {duration(event.seconds)}"
            )

    def _status_line(self, event: events.Progress) -> str:
        # The start and not the time since: the line must stay true while nothing happens.
        since = time.strftime("%H:%M:%S", time.localtime(self._started))
        running = ", ".join(
            f"{step if count == 1 else f'{step} x{count}'}{self._how_far(step)}"
            for step, count in event.running
            if not step.startswith("_")
        )
        name = self._run.pathspec if self._run is not None else ""
        is_told = any(step in self._foreaches for step, _ in event.running)
        waiting = f", {event.queued:,} waiting" if event.queued and not is_told else ""
        doing = f", running {running}" if running else ""
        doing += f" {on_hosts(event.hosts)}" if event.hosts else ""
        progress = f"{name}: {counted(event.done, 'task')} done{waiting}{doing} (since {since})"
        task, line = self._line or (None, "")
        if task is None or task.step not in dict(event.running):
            return progress
        return f"{task}: {printable(_COMMANDS.sub('', line))} | {progress}"

    def _how_far(self, step: str) -> str:
        foreach = self._foreaches.get(step)
        return f" ({foreach.told()})" if foreach is not None else ""

    def _published(self, event: events.Published) -> None:
        held: list[str] = []
        self._held = held
        for told in event.events:
            self(told)
        self._held = None
        if held:
            self._emit("".join(held))

    def _notice(self, event: events.Notice) -> None:
        if self._held:
            held, self._held = self._held, None
            self._emit("".join(held))
            held.clear()
            self._held = held
        self._draw("")
        paint = self._err_style.red if event.bad else self._err_style.yellow
        lines = (paint(printable(line)) + "\n" for line in event.text.split("\n"))
        self._write(self._err, "".join(lines))

    # ---- lines ----

    def _task(
        self,
        task: TaskName,
        pid: int | None,
        text: str,
        paint: Callable[[str], str] | None = None,
        when: float | None = None,
    ) -> None:
        run = self._run.id if self._run is not None else "?"
        who = f"[{run}/{task} (pid {pid})]" if pid else f"[{run}/{task}]"
        self._log(text, paint, who, when)

    def _log(
        self,
        text: str,
        paint: Callable[[str], str] | None = None,
        who: str = "",
        when: float | None = None,
    ) -> None:
        time_ = clock(time.time() if when is None else when)
        if self._style.colour:
            time_, who = self._style.dim(time_), self._style.cyan(who)
            text = paint(text) if paint else text
        self._emit(f"{time_} {who} {text}\n" if who else f"{time_} {text}\n")

    def _emit(self, text: str) -> None:
        """Write lines, or hold them where more come."""
        if self._held is not None:
            self._held.append(text)
            return
        if self._status:
            self._write(self._err, _WIPE)
        self._write(self._out, text)
        if self._status:
            self._draw(self._status)

    def _write(self, stream: TextIO, text: str) -> None:
        """Write to a stream, which takes all once that can't be: a run does not end with its terminal or `| head`."""
        try:
            stream.write(text)
            stream.flush()  # at once: whoever reads the pipe wants to see the run while it runs
        except OSError as error:
            if stream is self._out and not isinstance(error, BrokenPipeError):
                self._say_lost(error)

    def _say_lost(self, error: OSError) -> None:
        run = self._run.id if self._run is not None else "@latest"
        text = f"the run log can't be written: {error.strerror}"
        shown = f"`{self._git} runs logs {run}` shows it"
        self._notice(events.Notice(f"{text}; the run goes on, and {shown}", bad=True))

    def _draw(self, status: str) -> None:
        if not self._live or not (status or self._status):
            return
        import shutil

        width = shutil.get_terminal_size().columns - 1
        self._status = status[:width]
        self._write(self._err, _WIPE + self._err_style.dim(self._status))
