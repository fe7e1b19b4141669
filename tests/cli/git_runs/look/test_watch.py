"""`git runs watch`: how far a run is, until it ends, on terminals of any size, in pipes and as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from gitflowrun.cli.git_runs.look import watch
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.porcelain.progress import ProgressWatch
from gitflowrun.runs.create import create_run
from gitflowrun.runs.live import LiveState, StartedTask
from gitflowrun.runs.records import Attempt, RunIdentity, Transition
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import draft, finished_task, make_run, open_repo, store_of

GRAPH = {
    "start_step": "start",
    "end_step": "end",
    "steps": {
        "start": {"type": "split-foreach", "next": ["work"], "matching_join": "join"},
        "work": {"type": "linear", "next": ["join"]},
        "join": {"type": "join", "next": ["end"]},
        "end": {"type": "end", "next": []},
    },
}
ITEMS = 4


class Going:
    """A run that goes on as its test says, without a scheduler."""

    def __init__(self, writer: RunWriter, live: LiveState) -> None:
        self.writer, self.live = writer, live

    def start(self, task: str, output: str = "", host: str = "") -> None:
        """A task has been started, and has written something."""
        name = TaskName.parse(task)
        self.live.start(StartedTask(name, time.time(), (), (), host=host))
        if output:
            self.live.write(name, "stdout", output.encode())

    def end(self, task: str, *, ok: bool = True, seconds: float = 1.0, ago: float = 0.0) -> None:
        """A task has ended, after so many seconds and so long ago."""
        made: FinishedTask = finished_task(self.writer.identity, task)
        end = time.time() - ago
        attempt = Attempt(0, end - seconds, end, ok, error=None if ok else "ValueError: no")
        moved = Transition(("work",), "items", ITEMS) if task.startswith("start/") else None
        record = replace(made.record, attempts=(attempt,), transition=moved)
        self.writer.commit([replace(made, record=record)])
        self.live.drop(TaskName.parse(task))

    def finish(self, status: Status = Status.DONE) -> None:
        """The run ends."""
        self.writer.commit([], status=status)
        self.live.close()


@pytest.fixture
def going(repo: GitRepo) -> Iterator[Going]:
    """A run whose foreach is about to begin: one of four items has ended, one runs."""
    repository = open_repo(repo)
    info = replace(draft(), graph=GRAPH)
    with create_run(repository, info, take_snapshot(repository)) as writer:
        run = Going(writer, LiveState(repository, writer.identity.uid))
        run.start("start/1")
        run.end("start/1")
        for number in (2, 3):
            run.start(f"work/{number}", f"epoch {number}\nloss 0.{number}\n")
        yield run


def then(monkeypatch: pytest.MonkeyPatch, *moves: Callable[[], None]) -> None:
    """Each time that `watch` waits, the next thing happens."""
    waiting = iter(moves)
    monkeypatch.setattr(
        watch, "time", SimpleNamespace(sleep=lambda _: next(waiting)(), monotonic=time.monotonic)
    )


def test_numbers_of_a_run_that_goes_on(repo: GitRepo, going: Going) -> None:
    """Done, running, failed and the items of the foreach; how fast, and how long it will take."""
    look = ProgressWatch(open_repo(repo), store_of(repo).get("MyFlow", "1")).look
    start, work, join, end = look().steps
    assert (start.done, start.running, start.total) == (1, 0, 1)
    assert (work.step, work.done, work.running, work.total) == ("work", 0, 2, ITEMS)
    assert (work.rate, work.left) == (None, None)
    assert [(it.step, it.done, it.total) for it in (join, end)] == [("join", 0, 1), ("end", 0, 1)]
    going.end("work/2", seconds=20, ago=10)
    going.end("work/3", seconds=10, ago=10)
    going.start("work/4")
    now = look()
    work = now.steps[1]
    assert (work.done, work.running, now.tasks) == (2, 1, 3)
    assert work.rate == pytest.approx(0.1, rel=0.05)
    assert work.left == pytest.approx(10, abs=2)  # two more at 0.1/s, 10 s ago


def test_a_foreach_that_is_not_reached_has_no_number(repo: GitRepo) -> None:
    """Nobody knows how many items it will have."""
    repository = open_repo(repo)
    info = replace(draft(), graph=GRAPH)
    with create_run(repository, info, take_snapshot(repository)):
        found = ProgressWatch(repository, RunStore(repository).get("MyFlow", "1")).look()
    assert [(it.step, it.total) for it in found.steps] == [
        ("start", 1), ("work", None), ("join", 1), ("end", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "graph",
    [{}, {"steps": 3}, {"steps": {"a": 1, "b": {"next": None}}, "start_step": ["x"]}],
)
def test_a_graph_that_is_none_has_no_numbers(repo: GitRepo, graph: dict[str, object]) -> None:
    """Whatever a stranger's run says of its graph, its tasks are counted."""
    from gitflowrun.porcelain import progress

    run = make_run(repo)
    stored = store_of(repo).get("MyFlow", run.id)
    totals = progress._totals(graph, {})
    assert set(totals.values()) <= {None, 1}
    assert ProgressWatch(open_repo(repo), stored).look().tasks == 4


def test_a_pipe_gets_a_line_when_something_happens(
    going: Going, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each step that went on; nothing where nothing happened; then how it ended, and exit code 0."""
    nothing = lambda: None  # noqa: E731
    then(monkeypatch, nothing, lambda: going.end("work/2"), nothing, going.finish)
    done = runs("watch", "1")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:3] == [
        "MyFlow/1/start: 1/1 done",
        "MyFlow/1/work: 0/4 done, 2 running",
        "MyFlow/1/work: 1/4 done, 1 running",
    ]
    assert re.fullmatch(r"MyFlow/1: done in .*, 2 tasks", lines[-1])
    assert len(lines) == 5  # the run's end took the running task along
    assert "\x1b" not in done.out


def test_a_run_that_fails(going: Going, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, which task, its error, and where to look."""
    then(monkeypatch, lambda: going.end("work/2", ok=False), lambda: going.finish(Status.FAILED))
    done = runs("watch")
    assert done.code == 1
    assert "MyFlow/1/work/2: ValueError: no" in done.out
    assert "`git runs logs MyFlow/1/work/2` shows what it has written" in done.out


def test_json_is_a_line_for_each_change(
    going: Going, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with all numbers, and the last lines of output; the last one with the end."""
    then(monkeypatch, lambda: None, lambda: going.end("work/2"), going.finish)
    rows = [json.loads(line) for line in runs("watch", "--json", "1").out.splitlines()]
    assert [row["status"] for row in rows] == ["running", "running", "done"]
    assert rows[0]["output"] == [["work/3", "epoch 3"], ["work/3", "loss 0.3"]]
    assert [row["steps"][1]["done"] for row in rows] == [0, 1, 1]
    assert rows[1]["steps"][1] == {
        "step": "work", "done": 1, "running": 1, "failed": 0, "total": 4, "rate": None, "left": None,
    }  # fmt: skip


@pytest.mark.parametrize(("status", "code"), [(Status.DONE, 0), (Status.INTERRUPTED, 1)])
def test_of_a_run_that_has_ended(repo: GitRepo, runs: Runs, status: Status, code: int) -> None:
    """How it ended, at once; without RUN the newest one counts where none runs."""
    make_run(repo, status=status)
    done = runs("watch")
    assert done.code == code
    assert f"MyFlow/1: {status.value} in" in done.out
    assert "running" not in done.out


def test_a_pipe_gets_a_sign_of_life(
    runs: Runs, going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing has happened for a while: that the run goes on, and what it wrote last."""
    monkeypatch.setattr(watch, "WATCH_SILENCE", -1.0)
    then(monkeypatch, lambda: None, going.finish)
    lines = runs("watch", "1").out.splitlines()
    assert re.fullmatch(r"MyFlow/1: running for \S+ \w+, work/3: loss 0.3", lines[-2])


def test_tasks_of_other_machines_are_counted_by_machine(
    runs: Runs, going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the sign of life and as JSON; a task that runs says where; those that have ended are not counted."""
    monkeypatch.setattr(watch, "WATCH_SILENCE", -1.0)
    for number, host in ((4, "node2"), (5, "node2"), (6, "node1")):
        going.start(f"work/{number}", host=host)
    assert "Runs on:  node1\n" in runs("show", "1/work/6").out
    assert "Runs on" not in runs("show", "1/work/2").out
    assert json.loads(runs("show", "1/work/6", "--json").out)["host"] == "node1"
    then(monkeypatch, lambda: None, lambda: going.end("work/5"), lambda: None, going.finish)
    lines = runs("watch", "1").out.splitlines()
    told = [it for it in lines if it.startswith("MyFlow/1: running on")]
    assert [it.partition(" for ")[0].rpartition(" on ")[2] for it in told] == [
        "node2 (2), node1 (1)", "node1 (1), node2 (1)",
    ]  # fmt: skip


def test_a_terminal_says_on_which_machines_tasks_run(
    capsys: pytest.CaptureFixture[str], going: Going, repo: GitRepo
) -> None:
    """Below the steps, in a line of its own, if there are any."""
    from gitflowrun.cli.output.terminal import Screen

    look = ProgressWatch(open_repo(repo), store_of(repo).get("MyFlow", "1")).look
    watch._Block(Screen(sys.stdout)).draw(look())
    assert "node" not in capsys.readouterr().out
    going.start("work/4", host="node2")
    watch._Block(Screen(sys.stdout)).draw(look())
    assert "1 on node2 (1)\n" in capsys.readouterr().out


def test_a_terminal_is_drawn_when_something_changes(
    capsys: pytest.CaptureFixture[str], going: Going, repo: GitRepo
) -> None:
    """And not each time that the run is looked at."""
    from gitflowrun.cli.output.terminal import Screen

    block = watch._Block(Screen(sys.stdout))
    now = replace(
        ProgressWatch(open_repo(repo), store_of(repo).get("MyFlow", "1")).look(), seconds=5.0
    )
    for seconds in (5.0, 5.0, 6.0):
        block.draw(replace(now, seconds=seconds))
    assert capsys.readouterr().out.count("running for") == 2
    assert going


def test_without_runs(runs: Runs) -> None:
    """What to do."""
    done = runs("watch")
    assert done.code == 128
    assert "python FLOW.py run" in done.err


@contextmanager
def terminal(columns: int, lines: int) -> Iterator[tuple[int, int]]:
    """A terminal of that size: our end, and the program's."""
    ours, theirs = pty.openpty()
    resize(ours, columns, lines)
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def resize(fd: int, columns: int, lines: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def shown(data: str, columns: int) -> list[str]:
    """What a terminal of that width shows: newlines, returns, so many up, clear, colours; long lines are broken."""
    screen: list[str] = [""]
    row = column = 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|.|\n", data, re.DOTALL):
        if token.startswith("\x1b"):
            number = int(re.sub(r"\D", "", token) or 1)
            if token.endswith("A"):
                row = max(row - number, 0)
            elif token.endswith("J"):
                screen[row:] = [screen[row][:column]]
        elif token in "\r\n":
            column = 0
            row += token == "\n"
        else:
            if column == columns:
                row, column = row + 1, 0
            screen += [""] * (row + 1 - len(screen))
            screen[row] = screen[row][:column] + token + screen[row][column + 1 :]
            column += 1
        screen += [""] * (row + 1 - len(screen))
    return screen


@pytest.mark.parametrize(
    ("columns", "lines", "env"),
    [(40, 24, {"COLUMNS": "90"}), (100, 24, {}), (40, 6, {"NO_COLOR": "1"})],
)
@pytest.mark.sample(1)
def test_a_terminal_shows_it_in_place(
    repo: GitRepo, going: Going, columns: int, lines: int, env: dict[str, str]
) -> None:
    """No line is longer than the window nor the block higher, and each is drawn over the one before."""
    long = "a long line " * 20
    going.live.write(TaskName.parse("work/3"), "stdout", f"{long}\n".encode())
    with terminal(columns, lines) as (ours, theirs):
        process = subprocess.Popen(
            [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "watch", "1"], cwd=repo.path,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
        )  # fmt: skip
        os.close(theirs)
        seen = read_until(ours, "loss 0.3" if lines > 6 else "a long line")
        going.end("work/2")
        seen += read_until(ours, "1/4")
        going.finish()
        seen += read_until(ours, "2 tasks")
        assert process.wait(60) == 0
    whole = shown(seen, columns)
    assert "".join(whole).count("MyFlow/1 done") == 1
    assert "MyFlow/1 running" not in "".join(whole)
    assert max(len(line) for line in whole) <= columns
    assert ("\x1b[3" in seen) == ("NO_COLOR" not in env)
    frames = [re.sub(r"\x1b\[\d*[A-Za-z]", "", it) for it in seen.split("\x1b[J")]
    assert max(len(line.rstrip("\r")) for it in frames for line in it.split("\n")) < columns
    assert max(it.count("\n") for it in frames[:-1]) < lines


def read_until(fd: int, text: str) -> str:
    """What a terminal gets until there is a text in it."""
    seen = b""
    deadline = time.monotonic() + 60
    while text.encode() not in seen and time.monotonic() < deadline:
        try:
            seen += os.read(fd, 65536)
        except OSError:  # nobody writes any more
            break
    assert text.encode() in seen, seen.decode()
    return seen.decode()


def test_a_window_that_becomes_narrower(
    capsys: pytest.CaptureFixture[str], going: Going, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that it has broken are gone over as well: nothing of the former block stays."""
    from gitflowrun.cli.output.terminal import Screen

    look = ProgressWatch(open_repo(repo), store_of(repo).get("MyFlow", "1")).look
    going.live.write(TaskName.parse("work/3"), "stdout", b"x" * 90 + b"\n")
    block = watch._Block(Screen(sys.stdout))
    monkeypatch.setenv("LINES", "30")
    drawn = ""
    for columns in (100, 30):
        monkeypatch.setenv("COLUMNS", str(columns))
        block.draw(look())
        drawn = capsys.readouterr().out
    ups = re.match(r"\x1b\[(\d+)A\r\x1b\[J", drawn)
    assert ups is not None
    assert int(ups[1]) > drawn.count("\n")


def test_the_run_that_is_running_comes_first(
    repo: GitRepo, going: Going, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RUN, whatever has been made since."""
    identity: RunIdentity = make_run(repo)
    assert identity.id == "2"
    then(monkeypatch, going.finish)
    assert "MyFlow/1: done" in runs("watch").out
