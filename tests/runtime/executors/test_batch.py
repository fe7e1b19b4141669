"""Batch isolation: many tasks of a step in one process, one after the other, with what each would do in its own."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import Status
from gitflowrun.runtime.worker.batch_limits import TASKS_A_CHILD
from tests.faults.check import nobody_is_left
from tests.faults.recalls import ITEMS, LONG, RECALLING, WORKERS
from tests.helpers.flows import background, eventually, foreach_flow, latest, value_of
from tests.helpers.repos import GitRepo, Output

BATCH = ("run", "--isolation", "batch")
PID = "self.pid = os.getpid()\n"
RETRIED = "from gitflowrun import retry\n"


def ran(repo: GitRepo, text: str, *words: str, code: int = 0, **env: str) -> Output:
    """Run a flow with batch isolation."""
    repo.write("f.py", text)
    done = repo.flow("f.py", *BATCH, "--max-workers", "1", *words, env=env)
    assert done.code == code, done.out + done.err
    return done


def processes(run: StoredRun, step: str = "work") -> list[int]:
    """The processes of a step's tasks, in their order."""
    return [int(str(value_of(run.task(TaskName(step, it)), "pid"))) for it in run.tasks(step)]


def facts(run: StoredRun) -> dict[str, Any]:
    """What is recorded of a run's tasks, times and processes aside."""
    found = {}
    for step in run.steps():
        for name in run.tasks(step):
            task = run.task(TaskName(step, name))
            record = task.record
            found[str(task.name)] = (
                {it: ref.identity for it, ref in record.artifacts.items()},
                [(it.ok, it.exit_code, it.error) for it in record.attempts],
                record.frames, record.parents, record.transition,
                task.output("stdout"), task.output("stderr"),
            )  # fmt: skip
    return found


MANY = """
import os, random, sys, warnings
from gitflowrun import FlowSpec, Parameter, catch, current, environment, retry, step, timeout

COUNT = 0
SEEN = []

class Many(FlowSpec):
    a = Parameter("a", default=3)

    @step
    def start(self):
        self.names = ["x", "y", "z"]
        self.data = {"k": [1]}
        self.next(self.outer, foreach="names")

    @step
    def outer(self):
        self.numbers = [[n] for n in range(self.a)]
        self.next(self.inner, foreach="numbers")

    @step
    def inner(self):
        global COUNT
        COUNT += 1
        SEEN.append(self.input)
        self.input.append(COUNT)
        self.data["k"] += [len(SEEN)]
        self.made = (self.names, self.input, self.data, current.pathspec.split("/")[2:])
        print("no newline", self.input, end="")
        os.write(2, b"bytes %d" % self.index)
        warnings.warn("shown by each")
        self.next(self.behind)

    @step
    def behind(self):
        self.seen = self.made[1] + [COUNT, len(SEEN)]
        print(self.seen)
        self.next(self.inner_join)

    @step
    def inner_join(self, inputs):
        self.sums = [i.seen for i in inputs]
        self.next(self.outer_join)

    @step
    def outer_join(self, inputs):
        self.all = [i.sums for i in inputs]
        self.next(self.split)

    @step
    def split(self):
        self.kinds = ["retry", "catch", "timeout", "environment", "plain"] * 2
        self.next(self.kept, foreach="kinds")

    @retry(times=1)
    @step
    def kept(self):
        if self.input == "retry" and not current.retry_count:
            sys.exit(7)
        self.x = self.input
        self.next(self.caught)

    @catch(var="error")
    @timeout(seconds=60)
    @environment(vars={"GIVEN": "1"})
    @step
    def caught(self):
        assert os.environ["GIVEN"] == "1"
        if self.input == "catch":
            raise ValueError("caught")
        self.next(self.last)

    @step
    def last(self, inputs):
        self.all = inputs[0].all
        self.errors = [str(i.error and i.error.exception) for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.all, self.errors)

if __name__ == "__main__":
    Many()
"""


def test_all_is_as_in_forks(repo: GitRepo) -> None:
    """Artifacts, attempts, frames, parents and output of nested foreaches, and of steps with decorators."""
    repo.write("f.py", MANY)
    found = []
    for kind in ("fork", "batch"):
        done = repo.flow("f.py", "run", "--isolation", kind, "--max-workers", "3")
        assert done.code == 0, done.out + done.err
        run = latest(repo)
        assert run.info.environment["isolation"] == kind
        found.append(_in_order(facts(run)))
    assert found[0] == found[1]


def _in_order(found: dict[str, Any]) -> dict[Any, Any]:
    """The facts by step and frames: with several workers the numbers of later tasks differ from run to run."""
    rows: dict[Any, Any] = {}
    for name, (artifacts, attempts, frames, _, transition, *output) in found.items():
        key = name.partition("/")[0], tuple((it.index, it.value) for it in frames)
        artifacts.pop("made", None)  # it has the task's number
        rows[key] = (artifacts, attempts, transition, output)
    return rows


def test_processes_are_shared_and_replaced(repo: GitRepo) -> None:
    """Up to so many tasks run in one, each as a task of its own."""
    count = TASKS_A_CHILD + 20
    ran(repo, foreach_flow(PID), "--n", str(count), "--max-num-splits", str(count))
    run = latest(repo)
    pids = Counter(processes(run))
    assert max(pids.values()) <= TASKS_A_CHILD
    assert 2 <= len(pids) < count / 10
    for task in run.tasks("work"):
        (attempt,) = run.task(TaskName("work", task)).record.attempts
        assert attempt.ok
        assert 0 < attempt.cpu < 1
        assert attempt.max_rss > 1 << 20


def test_long_tasks_get_processes_of_their_own(repo: GitRepo) -> None:
    """A fork costs nothing beside them."""
    ran(repo, foreach_flow(f"{PID}time.sleep(1)"), "--n", "2")
    assert len(set(processes(latest(repo)))) == 2


HEAD = """
import atexit, builtins, decimal, gc, locale, logging, resource, subprocess, tempfile, threading, weakref
from gitflowrun import retry
BOUND = None
GROWN = []
KEPT = []
class Thing:
    def __del__(self): print("deleted")
"""
LOOK = """
self.pid = os.getpid()
os.umask(mask := os.umask(0o22))
self.seen = [
    BOUND, list(GROWN), os.getcwd(), dict(os.environ), list(sys.path), list(sys.argv), mask,
    sys.getrecursionlimit(), gc.isenabled(),
    threading.active_count(), signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL, print.__module__,
    resource.getrlimit(resource.RLIMIT_CORE)[0], sys.gettrace() is None, logging.root.level, decimal.getcontext().prec,
    signal.getitimer(signal.ITIMER_REAL)[0], os.getpriority(os.PRIO_PROCESS, 0), hasattr(type(self), "extra"),
    type(sys.stdout).__name__, locale.setlocale(locale.LC_ALL), "lazy" in sys.modules,
    time.tzname, type(os.environ).__name__, len(sys.meta_path), os.fstat(0).st_rdev, sys.stderr.encoding,
    gc.get_threshold(),
]
print("out", self.index)
"""
PUT_BACK = {
    "bound": "globals().update(BOUND=Thing())",
    "directory": "os.chdir('/')",
    "variable": "os.environ.pop('HOME', 0); os.environ['MORE'] = '1'",
    "path": "sys.path.insert(0, '/nowhere'); sys.argv.append('x')",
    "umask": "os.umask(0o77)",
    "recursion": "sys.setrecursionlimit(2345)",
    "collector": "gc.disable()",
    "stream": "sys.stdout = open(os.devnull, 'w')",
    "builtin": "builtins.print = lambda *_: None",
    "decimals": "decimal.getcontext().prec = 3",
    "library": "import wave",
    "zone": "os.environ['TZ'] = 'America/New_York'; time.tzset()",
    "environment": "os.environ = dict(os.environ, MORE='1')",
    "other path": "sys.path = [*sys.path, '/nowhere']; sys.argv = None",
    "finder": "sys.meta_path.insert(0, Thing())",
}
ENDS = {
    "grown": "GROWN.append(1)",
    "thread": "threading.Thread(target=lambda: (time.sleep(0.1), print('thread ended'))).start()",
    "daemon": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "handler": "atexit.register(print, 'at exit')",
    "finalizer": "KEPT.append(self.pid); weakref.finalize(KEPT[0].__class__, print, 'at exit')",
    "signal": "signal.signal(signal.SIGUSR1, print)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
    "file": "sys.kept = open('kept.txt', 'w'); sys.kept.write('all')",
    "child": "subprocess.Popen(['sleep', '0.1'])",
    "awaited": "subprocess.run(['true'])",
    "limit": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "trace": "sys.settrace(lambda *_: None)",
    "level": "logging.root.setLevel(10)",
    "attribute": "type(self).extra = 1",
    "module": "import lazy",
    "timer": "signal.setitimer(signal.ITIMER_REAL, 50)",
    "zone of C": "was = dict(os.environ); os.environ.update(TZ='Asia/Tokyo'); time.tzset()\n"
    "os.environ.clear(); os.environ.update(was)",
    "input": "other = os.open('/dev/zero', os.O_RDONLY); os.dup2(other, 0); os.close(other)",
    "output": "other = os.open('other.txt', os.O_WRONLY | os.O_CREAT); os.dup2(other, 1); os.close(other)",
    "errors": "other = os.open('/dev/null', os.O_RDWR); os.dup2(other, 2); os.close(other)",
    "closed": "os.close(2)",
    "no waiting": "os.set_blocking(1, False)",
    "encoding": "sys.stderr.reconfigure(encoding='latin-1')",
    "threshold": "gc.set_threshold(5)",
}


@pytest.mark.parametrize("all_of", [PUT_BACK, ENDS], ids=["put back", "ends"])
def test_what_tasks_leave_is_not_met_by_the_next(repo: GitRepo, all_of: dict[str, str]) -> None:
    """Every second task leaves one thing: it is put back, or another process begins, and each starts as the first."""
    codes = [*all_of.values()]
    made = "\n".join(
        f"if self.input == {2 * number + 1}:\n    " + code.replace("\n", "\n    ")
        for number, code in enumerate(codes)
    )
    repo.write("lazy.py", "print('lazy')\n")
    ran(repo, foreach_flow(LOOK + made, head=HEAD), "--n", str(2 * len(codes) + 1))
    run = latest(repo)
    tasks = [run.task(TaskName("work", it)) for it in run.tasks("work")]
    seen = [value_of(it, "seen") for it in tasks]
    assert [name for name, it in zip(all_of, seen[2::2], strict=True) if it != seen[0]] == []
    lines = [it.output("stdout").split(b"\n")[0] for it in tasks]
    assert lines == [b"out %d" % it for it in range(len(tasks))]
    pids = processes(run)
    goes_on = [
        name for name, it, then in zip(all_of, pids[1::2], pids[2::2], strict=True) if it == then
    ]
    assert goes_on == ([*all_of] if all_of is PUT_BACK else [])
    assert pids[:-1:2] == pids[1::2]


@pytest.mark.slow
@pytest.mark.parametrize("left", [*PUT_BACK, *ENDS])
def test_what_a_task_leaves_is_not_met_by_the_next(repo: GitRepo, left: str) -> None:
    """It is put back, and the process goes on; or the process ends with the task, and another one begins."""
    code = {**PUT_BACK, **ENDS}[left]
    repo.write("lazy.py", "print('lazy')\n")
    body = LOOK + "\n".join(f"if self.input == 1: {part}" for part in code.split("\n"))
    ran(repo, foreach_flow(body, head=HEAD), "--n", "4")
    run = latest(repo)
    tasks = [run.task(TaskName("work", it)) for it in run.tasks("work")]
    seen = [value_of(it, "seen") for it in tasks]
    assert seen == [seen[0]] * 4
    assert [it.output("stdout").split(b"\n")[0] for it in tasks] == [
        b"out %d" % it for it in range(4)
    ]
    pids = processes(run)
    assert pids[0] == pids[1]
    assert pids[2] == pids[3]
    assert (pids[1] == pids[2]) == (left in PUT_BACK)


ENDINGS = {
    "bound": b"out 1\ndeleted\n",
    "thread": b"out 1\nthread ended\n",
    "handler": b"out 1\nat exit\n",
    "module": b"out 1\nlazy\n",
}


@pytest.mark.parametrize("left", ENDINGS)
@pytest.mark.sample(2)
def test_what_is_left_ends_with_its_task(repo: GitRepo, left: str) -> None:
    """And what that writes is in the task's log, nowhere else."""
    code = {**PUT_BACK, **ENDS}[left]
    repo.write("lazy.py", "print('lazy')\n")
    ran(repo, foreach_flow(f"{LOOK}if self.input == 1: {code}", head=HEAD), "--n", "3")
    run = latest(repo)
    outputs = [run.task(TaskName("work", it)).output("stdout") for it in run.tasks("work")]
    assert outputs == [b"out 0\n", ENDINGS[left], b"out 2\n"]


def test_what_each_task_writes_is_its_own(repo: GitRepo) -> None:
    """However much that is, with lines that have no end, by processes that keep their pipes."""
    sizes = (0, 1, 65_535, 65_536, 0, 200_000, 3, 131_072)
    body = (
        f"{PID}size = {sizes}[self.index]\n"
        "os.write(1, b'%d' % self.index * size)\nprint('x' * size, end='', file=sys.stderr)"
    )
    ran(repo, foreach_flow(body), "--n", str(len(sizes)))
    run = latest(repo)
    for index, task in enumerate(run.tasks("work")):
        stored = run.task(TaskName("work", task))
        assert stored.output("stdout") == b"%d" % index * sizes[index]
        assert stored.output("stderr") == b"x" * sizes[index]
    assert len(set(processes(run))) == 1


@pytest.mark.parametrize(
    ("crime", "error"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("os._exit(0)", "the process ended with exit status 0 before its step had returned"),
        ("os.closerange(3, 4096)", "the step has closed the descriptors of its process"),
        ("atexit.register(os._exit, 3)", "the process ended with exit status 3 after its step"),
        ("raise ValueError('no')", "ValueError: no"),
        ("sys.exit(9)", "SystemExit: 9"),
    ],
)
@pytest.mark.sample(3)
def test_a_task_that_dies_takes_no_other_with_it(repo: GitRepo, crime: str, error: str) -> None:
    """It alone has failed, and is tried again in a process of its own."""
    body = f"{PID}print(self.input)\nif self.input == 3 and not current.retry_count: {crime}"
    text = foreach_flow(body, head=HEAD).replace(
        "    @step\n    def work", "    @retry(times=1)\n    @step\n    def work"
    )
    ran(repo, text, "--n", "7", "--max-workers", "2")
    run = latest(repo)
    for index, task in enumerate(run.tasks("work")):
        stored = run.task(TaskName("work", task))
        first, *more = stored.record.attempts
        assert stored.output("stdout") == b"%d\n" % index
        assert (first.ok, len(more)) == ((False, 1) if index == 3 else (True, 0))
        if index == 3:
            assert error in str(first.error)
    assert len(set(processes(run))) < 7


def test_what_closes_the_low_descriptors(repo: GitRepo) -> None:
    """As programs do that make daemons of themselves: its result arrives, and the process ends with it."""
    ran(repo, foreach_flow(f"{PID}if self.input == 1: os.closerange(3, 100)"), "--n", "3")
    first, second, third = processes(latest(repo))
    assert first == second != third


@pytest.mark.parametrize("place", ["batch.ended", "batch.waits", "batch.taken"])
@pytest.mark.sample(2)
def test_a_process_that_is_killed_between_tasks(repo: GitRepo, place: str) -> None:
    """A task that it had not read of has not begun: another process does it, and it has not failed."""
    text = foreach_flow(f"{PID}print(self.input)", head=RETRIED).replace(
        "    @step\n    def work", "    @retry(times=1)\n    @step\n    def work"
    )
    ran(repo, text, "--n", "9", "--max-workers", "2", GITFLOWRUN_FAILPOINTS=f"{place}=kill:2")
    run = latest(repo)
    attempts = [run.task(TaskName("work", it)).record.attempts for it in run.tasks("work")]
    assert len(attempts) == 9
    assert all(it[-1].ok for it in attempts)
    failed = sum(len(it) - 1 for it in attempts)
    assert failed == 0 if place == "batch.waits" else failed > 0
    assert value_of(run.task(TaskName("join", run.tasks("join")[0])), "total") == 36


def test_a_failure_of_ours(repo: GitRepo) -> None:
    """The task has failed, and its log says where."""
    done = ran(repo, foreach_flow(PID), code=1, GITFLOWRUN_FAILPOINTS="batch.taken=EIO")
    assert "gitflowrun failed: OSError" in done.out + done.err
    run = latest(repo)
    (failed,) = [it for it in run.tasks("work") if not run.task(TaskName("work", it)).record.ok]
    text = run.task(TaskName("work", failed)).output("stderr").decode()
    assert "Traceback" in text
    assert "batch_child.py" in text


@pytest.mark.parametrize("part", ["zygote", "scheduler"])
def test_the_death_of_what_is_above(repo: GitRepo, tmp_path: Path, part: str) -> None:
    """Without the zygote tasks get fresh interpreters; without the scheduler a resumed run goes on."""
    marker = tmp_path / "marker"
    work = f"{PID}print('did', self.input, flush=True)\nif self.input == 5 and not os.path.exists('go'): time.sleep(60)"
    repo.write("f.py", foreach_flow(work))
    env = {"MARKER": str(marker)}
    flow = background(repo, "f.py", *BATCH, "--n", "9", "--max-workers", "2", env=env)
    flow.wait_for("did 5")
    repo.write("go", "")
    os.kill(flow.children()[part], signal.SIGKILL)
    assert flow.wait() == (0 if part == "zygote" else 1)
    if part == "scheduler":
        nobody_is_left(marker)
        assert repo.flow("f.py", "resume", "--isolation", "batch").code == 0
    run = latest(repo)
    assert run.status is Status.DONE
    assert len(run.tasks("work")) == 9


NOTED = (
    "def note(it):\n    with open('noted', 'a') as log: log.write(f'{it} ')\n"
    "def noted():\n    with open('noted') as log: return log.read().split()\n"
)


def test_a_long_task_keeps_none_waiting(repo: GitRepo) -> None:
    """What its process was given ahead begins where another one has nothing to do, before it has ended."""
    ran(repo, RECALLING, "--max-workers", WORKERS, MARKER=str(repo.path / "noted"))
    run = latest(repo)
    assert len(run.tasks("work")) == ITEMS
    noted = (repo.path / "noted").read_text().split()
    assert sorted(noted) == sorted(f"work{it}.0" for it in range(ITEMS))
    attempts = {}
    for task in run.tasks("work"):
        record = run.task(TaskName("work", task)).record
        (attempts[record.frames[-1].index],) = record.attempts
    assert all(it.started <= attempts[LONG].finished for it in attempts.values())


def test_what_waits_for_a_process_that_ends_slowly(repo: GitRepo) -> None:
    """It begins in the other one: that of the first task has exit handlers that take long."""
    body = (
        "note(self.input)\n"
        "if not self.input: atexit.register(lambda: [time.sleep(0.02) for _ in range(500) if len(noted()) < 9])\n"
        "if self.input == 1: time.sleep(0.2)"
    )
    started = time.monotonic()
    ran(repo, foreach_flow(body, head=HEAD + NOTED), "--n", "9", "--max-workers", "2")
    assert time.monotonic() - started < 9, "it has waited for the handlers"
    assert sorted((repo.path / "noted").read_text().split()) == [str(it) for it in range(9)]


def test_what_has_failed_is_tried_again_before_what_waits(repo: GitRepo) -> None:
    """Nothing that was given ahead gets its place, however long the others take."""
    body = (
        "note(f'{self.input}.{current.retry_count}')\n"
        "if self.input == 1 and not current.retry_count: raise ValueError"
    )
    text = foreach_flow(body, head=NOTED + RETRIED).replace(
        "    @step\n    def work", "    @retry(times=1)\n    @step\n    def work"
    )
    ran(repo, text, "--n", "6", "--max-workers", "1")
    noted = (repo.path / "noted").read_text().split()
    assert noted == ["0.0", "1.0", "1.1", "2.0", "3.0", "4.0", "5.0"]


def test_nothing_that_waits_begins_when_a_run_ends(repo: GitRepo) -> None:
    """A task has failed: the others end, and what their processes were given ahead is not executed."""
    body = (
        "note(self.input)\n"
        "if not self.input:\n"
        "    while len(noted()) < 2: time.sleep(0.01)\n"
        "    raise ValueError\n"
        "time.sleep(1)"
    )
    ran(repo, foreach_flow(body, head=NOTED), "--n", "9", "--max-workers", "2", code=1)
    assert sorted((repo.path / "noted").read_text().split()) == ["0", "1"]
    run = latest(repo)
    assert [run.task(TaskName("work", it)).record.ok for it in run.tasks("work")] == [False, True]


def test_a_task_begins_when_the_one_before_has_ended(repo: GitRepo) -> None:
    """And not when it was given to its process; people see what runs, and not what waits.

    By the clock of the process: the scheduler, which may be busy, hears of it later.
    """
    done = ran(repo, foreach_flow("print(self.input)\ntime.sleep(0.1)"), "--n", "5")
    run = latest(repo)
    attempts = [run.task(TaskName("work", it)).record.attempts[0] for it in run.tasks("work")]
    for attempt, following in pairwise(attempts):
        assert attempt.finished - attempt.started >= 0.1
        assert attempt.started + 0.1 <= attempt.finished <= following.started
        assert following.started < attempt.finished + 0.1
    told = re.findall(r"work/(\d+) \(pid \d+\)\] Task is starting", done.out + done.err)
    assert told == list(run.tasks("work"))


def test_a_task_finds_itself_before_its_scheduler_has_heard_of_it(repo: GitRepo) -> None:
    """It was given ahead, and the scheduler is busy when it begins: it waits for its record, whichever way it asks."""
    body = (
        "if not self.input:\n    time.sleep(0.3); os.remove('go')\n"
        "if self.input == 1:\n    open('asks', 'w').close()\n"
        "self.own = current.task_id in [it.id for it in current.run['work']]\n"
        "assert Task(current.pathspec, _namespace_check=False).pathspec == current.pathspec"
    )
    repo.write("f.py", foreach_flow(body, head="from gitflowrun import Task\n"))
    repo.write("go", "")
    env = {"GITFLOWRUN_FAILPOINTS": f"live.started=pause:{repo.path / 'go'}"}
    flow = background(repo, "f.py", *BATCH, "--n", "3", "--max-workers", "1", env=env)
    assert eventually((repo.path / "asks").exists)
    time.sleep(0.2)
    repo.write("go", "")
    assert flow.wait() == 0, flow.output.read_text()
    run = latest(repo)
    assert all(value_of(run.task(TaskName("work", it)), "own") for it in run.tasks("work"))


def test_an_interrupt(repo: GitRepo) -> None:
    """The tasks that run see it, what has ended is kept, and a resumed run goes on."""
    work = (
        "if self.input > 4 and not os.path.exists('go'):\n"
        "    try: print('waiting', flush=True); time.sleep(600)\n"
        "    finally: print('cleaned up', flush=True)"
    )
    repo.write("f.py", foreach_flow(work))
    flow = background(repo, "f.py", *BATCH, "--n", "9", "--max-workers", "2")
    flow.wait_for("(?s)waiting.*waiting")
    flow.ctrl_c()
    assert flow.wait() == 130
    run = latest(repo)
    assert run.status is Status.INTERRUPTED
    ended = [run.task(TaskName("work", it)) for it in run.tasks("work")]
    assert [it.record.ok for it in ended] == [True] * 5 + [False] * 2
    assert all(b"cleaned up" in it.output("stdout") for it in ended[5:])
    repo.write("go", "")
    assert repo.flow("f.py", "resume", "--isolation", "batch").code == 0


def test_each_task_has_its_own_peak(repo: GitRepo) -> None:
    """As far as the system can begin it anew: a small task after a large one has not used what that did."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system can't begin it anew")
    ran(
        repo,
        foreach_flow(f"{PID}data = b'x' * (100 << 20 if self.input == 1 else 1); del data"),
        "--n",
        "3",
    )
    run = latest(repo)
    peaks = [run.task(TaskName("work", it)).record.attempts[0].max_rss for it in run.tasks("work")]
    assert peaks[1] - peaks[0] > 90 << 20
    assert peaks[1] - peaks[2] > 90 << 20
    assert len(set(processes(run))) == 1


DECORATED = "from gitflowrun import isolation\n"


@pytest.mark.parametrize(
    ("mark", "words", "is_shared"),
    [
        ("@isolation", (), True),
        ("@isolation(kind='batch')", (), True),
        ("@isolation(kind='fork')", ("--isolation", "batch"), False),
        ("", ("--isolation", "fork"), False),
        ("", ("--with", "isolation:kind=batch"), True),
    ],
)
@pytest.mark.sample(3)
def test_a_step_may_say_it(
    repo: GitRepo, mark: str, words: tuple[str, ...], is_shared: bool
) -> None:
    """Above what the run says."""
    text = foreach_flow(PID, head=DECORATED)
    repo.write(
        "f.py", text.replace("    @step\n    def work", f"    {mark}\n    @step\n    def work")
    )
    done = repo.flow("f.py", "run", "--max-workers", "1", *words)
    assert done.code == 0, done.err
    assert (len(set(processes(latest(repo)))) == 1) == is_shared


def test_a_kind_that_is_none(repo: GitRepo) -> None:
    """The kinds are named."""
    text = foreach_flow(PID, head=DECORATED)
    repo.write(
        "f.py",
        text.replace(
            "    @step\n    def work", "    @isolation(kind='bath')\n    @step\n    def work"
        ),
    )
    done = repo.flow("f.py", "run")
    assert done.code == 1
    assert "there is no kind 'bath'" in done.err
    assert "did you mean batch" in done.err
    assert repo.flow("f.py", "run", "--isolation", "bath").code == 2


def test_where_tasks_are_not_forked(repo: GitRepo) -> None:
    """Fresh interpreters, with the usual notice; the option counts more than the environment."""
    head = "import threading\nthreading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n"
    done = ran(repo, foreach_flow(PID, head=head), "--n", "2")
    assert "Each task gets a fresh interpreter" in done.out + done.err
    assert latest(repo).info.environment["isolation"] == "fresh"
    ran(repo, foreach_flow(PID), "--n", "2", GITFLOWRUN_ISOLATION="fresh")
    assert latest(repo).info.environment["isolation"] == "batch"
    assert len(set(processes(latest(repo)))) == 1


def test_the_step_cache_needs_a_process_for_each(repo: GitRepo) -> None:
    """What a task loads is noted by its process; the run says so."""
    done = ran(repo, foreach_flow(PID), "--n", "2", "--cache")
    assert "Each task gets a process of its own" in done.out + done.err
    assert latest(repo).info.environment["isolation"] == "fork"
    assert len(set(processes(latest(repo)))) == 2


IDLE = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"


@pytest.mark.parametrize(("head", "policy"), [("", os.SCHED_BATCH), (IDLE, os.SCHED_IDLE)])
def test_tasks_do_not_interrupt_the_scheduler(repo: GitRepo, head: str, policy: int) -> None:
    """The kernel does not let them take its place when it wakes them; whoever has chosen a policy keeps it."""
    body = "self.policy = os.sched_getscheduler(0)"
    ran(repo, foreach_flow(body, head=f"import os\n{head}\n"), "--n", "2")
    run = latest(repo)
    found = [value_of(run.task(TaskName("work", it)), "policy") for it in run.tasks("work")]
    assert found == [policy, policy]
