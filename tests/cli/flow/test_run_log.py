"""The run log, line by line."""

from __future__ import annotations

import io
import re

import pytest

from gitflowrun.cli.flow.run_log import RunLog
from gitflowrun.git.objects import Oid
from gitflowrun.limits import REPORT_SHOWN
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runtime.ipc.events import (
    Event,
    ForeachSplit,
    Notice,
    Progress,
    Published,
    RunEnded,
    RunStarted,
    StepCloned,
    TaskCloned,
    TaskEnded,
    TaskLine,
    TaskStarted,
)

RUN = RunIdentity("Train", RunId("12"), Oid(bytes(20)))
ORIGIN = RunIdentity("Train", RunId("11"), Oid(bytes(20)))
TASK = TaskName("work", "3")
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", re.MULTILINE)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _log(*events: Event) -> list[str]:
    """The lines of the log, times cut off."""
    out, err = io.StringIO(), io.StringIO()
    console = RunLog(("python", "-m", "pkg.train"), out=out, err=err)
    for event in (RunStarted(RUN), *events):
        console(event)
    assert err.getvalue() == ""
    return TIME.sub("", out.getvalue()).splitlines()[2:]


def test_the_log_begins_with_the_run_id() -> None:
    """The first line is `Run ID: N` alone, the next Metaflow's."""
    out = io.StringIO()
    RunLog(out=out, err=io.StringIO())(RunStarted(RUN))
    first, second = out.getvalue().splitlines()
    assert first == "Run ID: 12"
    assert TIME.match(second)
    assert second.endswith(" Workflow starting (run-id 12):")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (("Traceback", "mine.errors.Bad: no luck"), "Bad: no luck"),
        (("ValueError: first", "second", "hint: do this"), "ValueError: first\nsecond"),
        (("Task failed: killed by SIGSEGV.",), "killed by SIGSEGV"),
    ],
)
def test_what_the_task_has_said_is_not_repeated(lines: tuple[str, ...], error: str) -> None:
    """Whatever stands before or after it: the error is there once."""
    said = [TaskLine(TASK, 1, "stderr", line, 1.0) for line in lines]
    log = _log(*said, TaskEnded(TASK, 1, ok=False, attempt=0, seconds=1.0, error=error))
    assert len(log) == len(lines) + 1
    assert log[-1].endswith("Task failed.")
    silent = _log(TaskEnded(TASK, 1, ok=False, attempt=0, seconds=1.0, error=error))
    assert error.split("\n", maxsplit=1)[0] in silent[0]


def test_a_task_is_followed_from_start_to_end() -> None:
    """Events and output lines of a task carry its name and process id."""
    assert _log(
        TaskStarted(TASK, 99, 0),
        TaskLine(TASK, 99, "stdout", "hello", 1.5),
        ForeachSplit(TASK, 99, "next", 3),
        TaskEnded(TASK, 99, ok=True, attempt=0, seconds=1.0),
    ) == [
        "[12/work/3 (pid 99)] Task is starting.",
        "[12/work/3 (pid 99)] hello",
        "[12/work/3 (pid 99)] Foreach yields 3 child steps.",
        "[12/work/3 (pid 99)] Task finished successfully.",
    ]


def test_a_line_has_the_time_it_was_written() -> None:
    """The time of an output line is the task's, not the log's."""
    out = io.StringIO()
    RunLog(out=out, err=io.StringIO())(TaskLine(TASK, 9, "stderr", "x", 1.5))
    assert out.getvalue().startswith("1970-01-01 00:00:01.500 ")


def test_a_retry_says_so() -> None:
    """A failed attempt is told with its error, the next one as a retry."""
    assert _log(
        TaskEnded(TASK, 9, ok=False, attempt=0, seconds=1.0, error="killed", again=True),
        TaskStarted(TASK, 10, 1),
        TaskEnded(TASK, 10, ok=False, attempt=1, seconds=1.0, error="killed", again=True),
        TaskStarted(TASK, 11, 2, fallback=True),
    ) == [
        "[12/work/3 (pid 9)] killed",
        "[12/work/3 (pid 9)] Task failed.",
        "[12/work/3 (pid 10)] Task is starting (retry).",
        "[12/work/3 (pid 10)] killed",
        "[12/work/3 (pid 10)] Task failed.",
        "[12/work/3 (pid 11)] Task fallback is starting to handle the failure.",
    ]


def test_an_error_is_told_once() -> None:
    """What a task's traceback has ended with is not said again."""
    words = "ValueError: no"
    assert _log(
        TaskLine(TASK, 9, "stderr", words, 1.5),
        TaskEnded(TASK, 9, ok=False, attempt=0, seconds=1.0, error=f"{words}\nmore"),
    ) == ["[12/work/3 (pid 9)] ValueError: no", "[12/work/3 (pid 9)] Task failed."]


def test_clones_name_their_origin() -> None:
    """An adopted task names the task it comes from; it has no process."""
    assert _log(TaskCloned(TASK, ORIGIN)) == [
        "[12/work/3] Cloning previously run task Train/11/work/3"
    ]


def test_a_step_of_clones_is_one_line() -> None:
    """Of a step that was adopted whole it is said how many tasks it has."""
    assert _log(StepCloned("work", 10_000, ORIGIN)) == [
        "Cloning 10,000 previously run tasks of Train/11/work"
    ]


def test_success_is_done() -> None:
    """The last line of a good run is `Done!`."""
    assert _log(RunEnded(Status.DONE, 3, 1.0)) == ["Done!"]


@pytest.mark.parametrize(
    ("status", "last", "headline"),
    [
        (Status.FAILED, "Workflow failed.", "Step failure"),
        (Status.INTERRUPTED, "Workflow interrupted.", "Interrupted"),
    ],
)
def test_failure_tells_how_to_go_on(status: Status, last: str, headline: str) -> None:
    """A stopped run ends its log on stdout, and says on stderr what happened and what to do."""
    out, err = io.StringIO(), io.StringIO()
    console = RunLog(("python", "my train.py"), out=out, err=err)
    console(RunStarted(RUN))
    console(RunEnded(status, 3, 1.0, "Step work (task-id 3) failed."))
    assert out.getvalue().splitlines()[-1].endswith(last)
    assert f"{headline}: Step work (task-id 3) failed." in err.getvalue()
    assert "`python 'my train.py' resume 12` continues it" in err.getvalue()


def test_notices_go_to_stderr() -> None:
    """What is said about the run is no part of its log."""
    out, err = io.StringIO(), io.StringIO()
    RunLog(out=out, err=err)(Notice("left out: big.bin\x1b[2J"))
    assert out.getvalue() == ""
    assert err.getvalue() == "left out: big.bin\\e[2J\n"


class _Counted(io.StringIO):
    """A stream that counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_what_a_commit_tells_is_written_at_once() -> None:
    """The ends of a thousand tasks are one write, and what is said in between comes in between."""
    screen = _Counted()
    log = RunLog(out=screen, err=screen)
    ends = [
        TaskEnded(TaskName("work", str(number)), 1, ok=True, attempt=0, seconds=1.0)
        for number in range(1000)
    ]
    log(Published(ends))
    assert screen.writes == 1
    log(Published([*ends, Notice("a key is missing"), *ends]))
    assert screen.writes == 4
    lines = TIME.sub("", screen.getvalue()).splitlines()
    shown = [f"[?/{end.task} (pid 1)] Task finished successfully." for end in ends]
    assert lines == [*shown, *shown, "a key is missing", *shown]
    log(ends[0])
    assert screen.writes == 5


def test_nothing_is_drawn_when_piped() -> None:
    """Progress leaves no trace in a file or a pipe."""
    assert _log(Progress(1, 2, (("work", 3),), 1.0)) == []


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_dumb_terminal_gets_no_commands(
    term: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that knows no commands, or may know none, shows lines alone."""
    if term:
        monkeypatch.setenv("TERM", term)
    else:
        monkeypatch.delenv("TERM", raising=False)
    terminal = _Terminal()
    console = RunLog(("train.py",), out=terminal, err=terminal)
    console(RunStarted(RUN))
    console(Progress(1, 2, (("work", 3),), 1.0))
    console(RunEnded(Status.DONE, 6, 2.0))
    assert terminal.getvalue().splitlines()[-1].endswith("Done!")
    assert "\x1b" not in terminal.getvalue()
    assert "\r" not in terminal.getvalue()


def test_a_terminal_sees_progress_below_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status line is wiped before each line of the log and at the end."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    console = RunLog(("python", "-m", "pkg.train"), out=terminal, err=terminal)
    console(RunStarted(RUN))
    console(Progress(1, 2, (("work", 3), ("other", 1)), 1.0))
    console(TaskLine(TASK, 9, "stdout", "hello", 1.5))
    console(RunEnded(Status.DONE, 6, 2.0))
    shown = terminal.getvalue()
    assert "Train/12: 1 task done, 2 waiting, running work x3, other (since " in shown
    assert re.search(r"\r\x1b\[K1970-01-01 [^\n]*hello\n\r\x1b\[K", shown)
    last_line = shown.split("\n")[-2]
    assert last_line.rpartition("\r\x1b[K")[2].endswith("Done!")


def test_a_terminal_sees_how_far_a_foreach_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are done and have failed of how many, how fast it goes, and how long is left."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    terminal = _Terminal()
    console = RunLog(("train.py",), out=terminal, err=terminal)
    console(RunStarted(RUN))
    console(ForeachSplit(TaskName("start", "1"), 9, "work", 10))
    console(Progress(1, 8, (("work", 2),), 1.0))
    assert "running work x2 (0 of 10) (since" in terminal.getvalue()
    for number in range(4):
        now += 2.0
        console(
            TaskEnded(TaskName("work", str(number + 2)), 1, ok=number != 2, attempt=0, seconds=1.0)
        )
    failed = TaskEnded(TaskName("work", "9"), 1, ok=False, attempt=0, seconds=1.0, again=True)
    console(failed)  # which is tried again
    console(Progress(4, 4, (("work", 2),), 8.0))
    told = "Train/12: 4 tasks done, running work x2 (3 of 10, 1 failed, 0.5/s, 12 s left)"
    assert told in terminal.getvalue().rpartition("\r\x1b[K")[2]
    console(
        ForeachSplit(TaskName("start", "6"), 9, "work", 10)
    )  # of a foreach around it: more may come
    console(Progress(4, 4, (("work", 2),), 8.0))
    assert "(3 of 20, 1 failed, 0.5/s)" in terminal.getvalue().rpartition("\r\x1b[K")[2]


def test_a_terminal_sees_on_which_machines_tasks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with most tasks come first; no name commands the terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    console = RunLog(("train.py",), out=terminal, err=terminal)
    console(RunStarted(RUN))
    console(Progress(1, 0, (("work", 3),), 1.0, hosts=(("n1", 1), ("n2\x1b[2J", 2))))
    assert "running work x3 on n2\\e[2J (2), n1 (1) (since" in terminal.getvalue()


def test_output_can_not_command_the_terminal() -> None:
    """A terminal gets a task's colours but no other escape; a pipe gets every byte."""
    line = TaskLine(TASK, 9, "stdout", "\x1b[31mred\x1b[2J", 1.5)
    piped, terminal = io.StringIO(), _Terminal()
    RunLog(out=piped, err=io.StringIO())(line)
    RunLog(out=terminal, err=io.StringIO())(line)
    assert "\x1b[31mred\x1b[2J" in piped.getvalue()
    assert "\x1b[31mred\\e[2J\x1b[m" in terminal.getvalue()


def test_a_terminal_sees_a_line_that_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar stands first in the status line, without its commands, as long as its task runs."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    console = RunLog(("train.py",), out=terminal, err=terminal)
    console(RunStarted(RUN))
    console(Progress(1, 0, (("work", 1),), 1.0, (TASK, "\x1b[2K 50%|##  | 1/2\x1b]0;x")))
    drawn = terminal.getvalue().rpartition("\r\x1b[K")[2]
    assert drawn.startswith("work/3:  50%|##  | 1/2\\e]0;x | Train/12: 1 task done")
    console(TaskEnded(TASK, 1, ok=True, attempt=0, seconds=1.0))
    console(Progress(2, 0, (("work", 1),), 1.0))
    assert "50%" not in terminal.getvalue().rpartition("\r\x1b[K")[2]


def test_long_runs_are_summed_up_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five minutes the log itself says how far the run is."""
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    out = io.StringIO()
    console = RunLog(out=out, err=io.StringIO())
    console(RunStarted(RUN))
    for moment in (1100.0, 1301.0, 1302.0):
        now = moment
        console(Progress(4, 2, (("work", 3),), now - 1000))
    lines = TIME.sub("", out.getvalue()).splitlines()
    assert lines[2:] == ["4 tasks done, 3 running, 2 waiting, after 5 min 1 s"]


def _said(*lines: str, again: bool = False) -> list[str]:
    """What is shown of lines of a task's standard error, and of its end."""
    found = _log(
        *(TaskLine(TASK, 9, "stderr", line, 1.5) for line in lines),
        TaskEnded(TASK, 9, ok=False, attempt=0, seconds=1.0, error="E: no", again=again),
    )
    return [line.partition(" (pid 9)] ")[2] for line in found]


def test_of_an_error_of_megabytes_the_beginning_is_shown() -> None:
    """And how to read the rest; whatever the task has written before is shown as it is, and so is a short one."""
    start = "<flow Train step work[0] (input: 1)> failed:"
    long = "x" * 50_000
    line = "y" * 99
    left = REPORT_SHOWN - len(start) - 1
    read = "`git runs logs --stderr{} 12/work/3` prints all"
    assert _said(long, start, "E: no") == [long, start, "E: no", "Task failed."]
    hidden = 50_000 - left + 2 * 100
    more = f"… {hidden:,} more characters: {read.format('')}"
    assert _said(start, long, line, line) == [
        start,
        f"{'x' * left}…",
        more,
        "E: no",
        "Task failed.",
    ]
    count = (left + 99) // 100
    shown = [*[line] * (count - 1), f"{line[: left - 100 * (count - 1)]}…"]
    more = f"… {100 * 5_000 - left - 1:,} more characters: {read.format(' --attempt 0')}"
    said = _said(start, *[line] * 5_000, again=True)
    assert said[:-3] == [start, *shown]
    assert said[-3:] == [more, "E: no", "Task failed."]
    printed = TaskLine(TASK, 9, "stdout", start, 1.5), TaskLine(TASK, 9, "stderr", long, 1.5)
    assert _log(*printed)[1].endswith(long)
