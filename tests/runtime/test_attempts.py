"""Tasks that are tried again, from a flow's `run` to what is recorded of each attempt."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from gitflowrun.porcelain.checks.fsck import RunsCheck
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import observe
from gitflowrun.runs.read import StoredTask
from tests.helpers.flows import background, eventually, latest, one_task, value_of
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo, store_of

FLOW = """
import os, signal, sys, time
from pathlib import Path
from gitflowrun import FlowSpec, current, retry, step

class F(FlowSpec):
    @step
    def start(self):
        self.items = [0, 1, 2]
        self.next(self.work, foreach="items")

    @retry(times={times})
    @step
    def work(self):
        self.tried = current.retry_count
        print("attempt", self.tried, "of item", self.input)
        {code}
        self.next(self.join)

    @step
    def join(self, inputs):
        self.tried = [it.tried for it in inputs]
        self.next(self.end)

    @step
    def end(self):
        {end}

if __name__ == "__main__":
    F()
"""
FAIL = "if self.tried < self.input: raise ValueError(f'no {self.tried}')"


def flow(code: str = FAIL, end: str = "pass", times: int = 2) -> str:
    """A foreach whose step does this."""
    return FLOW.format(code=code, end=end, times=times)


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
@pytest.mark.sample("fork", "batch", "inline")
def test_a_step_is_tried_again_until_it_succeeds(repo: GitRepo, isolation: str) -> None:
    """Each attempt is a process of its own, with its number; all of each is recorded."""
    repo.write("f.py", flow())
    repo.commit()
    done = repo.flow("f.py", "run", "--max-workers", "1", env={"GITFLOWRUN_ISOLATION": isolation})
    assert done.code == 0, done.err
    assert done.out.count("Task failed.") == 3
    assert done.out.count("Task is starting (retry).") == 3
    run = latest(repo)
    assert run.state.status is Status.DONE
    assert run.state.tasks == 6
    assert value_of(one_task(run, "join"), "tried") == [0, 1, 2]
    for item, task in enumerate(run.tasks_of("work")):
        assert [(it.number, it.ok) for it in task.record.attempts] == [
            (number, number == item) for number in range(item + 1)
        ]
        for number in range(item + 1):
            seen = task.at_attempt(number)
            assert value_of(seen, "tried") == number
            assert f"attempt {number} of item {item}" in seen.output("stdout").decode()
            assert (b"ValueError" in seen.output("stderr")) is (number < item)
    assert [*RunsCheck(open_repo(repo), read_data=True).all()] == []


def test_all_attempts_fail(repo: GitRepo) -> None:
    """The run fails with the last one's error, and has all of them; `resume` tries the task anew, as often."""
    repo.write("f.py", flow("raise ValueError(f'no {self.tried}')", times=1))
    repo.commit()
    done = repo.flow("f.py", "run", "--max-workers", "1")
    assert done.code == 1
    assert "failed: ValueError: no 1" in done.err
    (task,) = latest(repo).tasks_of("work")
    assert [it.error for it in task.record.attempts] == ["ValueError: no 0", "ValueError: no 1"]
    assert (task.status, latest(repo).state.failed_step) == ("failed", "work")
    repo.write("f.py", flow(times=2))
    resumed = repo.flow("f.py", "resume")
    assert resumed.code == 0, resumed.err
    counts = [len(task.record.attempts) for task in latest(repo).tasks_of("work")]
    assert counts == [1, 2, 3]


def test_what_was_tried_again_is_taken_over_with_its_attempts(repo: GitRepo) -> None:
    """A resumed run has the very trees of the tasks that succeeded, and what their attempts have left.

    So it has those of a task whose exception was caught.
    """
    caught = flow(end="raise ValueError('not yet')").replace("retry, step", "catch, retry, step", 1)
    head, joins, tail = caught.partition("    @step\n    def join(self, inputs):\n")
    repo.write(
        "f.py", f"{head}    @catch(var='bad')\n{joins}        raise KeyError('caught')\n{tail}"
    )
    repo.commit()
    assert repo.flow("f.py", "run").code == 1
    first = latest(repo)
    repo.write("f.py", flow())
    resumed = repo.flow("f.py", "resume")
    assert resumed.code == 0, resumed.err
    run = latest(repo)
    assert run.id != first.id
    assert [task.tree for task in run.tasks_of("work")] == [
        it.tree for it in first.tasks_of("work")
    ]
    assert one_task(run, "join").tree == one_task(first, "join").tree
    *_, last = run.tasks_of("work")
    assert value_of(last.at_attempt(0), "tried") == 0
    assert [*RunsCheck(open_repo(repo), read_data=True).all()] == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL) if self.tried == 0 else None", 2),
        ("os._exit(3) if self.tried == 0 else None", 2),
        ("sys.exit(3) if self.tried == 0 else None", 2),
        ("os._exit(202) if self.tried == 0 else None", 1),
        ("sys.exit(202) if self.tried == 0 else None", 1),
    ],
)
@pytest.mark.sample(2)
def test_a_process_that_ends_otherwise(repo: GitRepo, code: str, count: int) -> None:
    """Is tried again as well, unless its exit status is the one that forbids it."""
    repo.write("f.py", flow(code))
    repo.commit()
    done = repo.flow("f.py", "run", "--max-workers", "1")
    task, *_ = latest(repo).tasks_of("work")
    assert len(task.record.attempts) == count
    assert done.code == (0 if count > 1 else 1)
    exits = {attempt.exit_code for attempt in task.record.attempts[:1]}
    assert exits == {
        -signal.SIGKILL if "SIGKILL" in code else int(code.split("(")[1].split(")", maxsplit=1)[0])
    }


def test_a_scheduler_that_is_killed_between_two_attempts(repo: GitRepo) -> None:
    """What was published of the first one is there; the task is unfinished, and is done anew by `resume`."""
    repo.write("f.py", flow("if not self.tried: raise ValueError('no 0')\n        time.sleep(600)"))
    repo.commit()
    running = background(repo, "f.py", "run", "--max-workers", "1")
    try:
        task = eventually(lambda: _tried_again(repo))
        assert task is not None, running.text()
        assert (task.status, task.record.attempts[0].error) == ("running", "ValueError: no 0")
        assert task.at_attempt(0).output("stdout") == b"attempt 0 of item 0\n"
        assert eventually(partial(task.output, "stdout")) == b"attempt 1 of item 0\n"
        os.kill(running.children()["scheduler"], signal.SIGKILL)
        running.wait()
    finally:
        running.process.kill()
    task = _tried_again(repo)
    assert task is not None
    assert (latest(repo).status, task.status) == (Status.INTERRUPTED, "unfinished")
    assert task.at_attempt(0).output("stdout") == b"attempt 0 of item 0\n"
    assert task.output("stdout") == b"attempt 1 of item 0\n"
    repo.write("f.py", flow())
    resumed = repo.flow("f.py", "resume")
    assert resumed.code == 0, resumed.err
    assert [len(it.record.attempts) for it in latest(repo).tasks_of("work")] == [1, 2, 3]


def _tried_again(repo: GitRepo) -> StoredTask | None:
    """The first task of which a first attempt is published and a second one runs, or ran."""
    runs = store_of(repo)
    run = runs.latest()
    observed = observe(run) if run else None
    if observed is None or not observed.has_step("work"):
        return None
    task = next(observed.tasks_of("work"))
    return task if task.number == 1 and task.record.attempts else None
