"""Runs that go on where others stopped, and runs with the parameters of others."""

from __future__ import annotations

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.read import StoredRun
from tests.helpers.flows import foreach_flow, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo

CHAIN = """
import os
from gitflowrun import FlowSpec, Parameter, current, step

class F(FlowSpec):
    alpha = Parameter("alpha", default=1)
    {more}

    @step
    def start(self):
        print("start runs")
        self.items = ["p", "q", "r"]
        self.next(self.{first}, foreach="items")

    @step
    def a(self):
        self.x = self.input * 2
        self.next(self.b)

    @step
    def b(self):
        if os.environ.get("FAIL") == self.input:
            raise ValueError("as asked")
        self.y = self.x + str(self.foreach_stack())
        self.next(self.join)

    @step
    def join(self, inputs):
        self.ys = [i.y for i in inputs]
        self.origin = current.origin_run_id
        self.next(self.fan)

    @step
    def fan(self):
        self.next(self.left, self.right)

    @step
    def left(self):
        if os.environ.get("FAIL") == "left":
            raise ValueError("as asked")
        self.next(self.meet)

    @step
    def right(self):
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.ys = inputs.left.ys
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    F()
"""


def chain(more: str = "", first: str = "a") -> str:
    """The flow of these tests."""
    return CHAIN.format(more=more, first=first)


def adopted(run: StoredRun) -> set[str]:
    """The tasks of a run that another run has executed."""
    return {str(task.name) for task in run.all_tasks() if task.record.run.uid != run.identity.uid}


def steps_run(run: StoredRun) -> list[str]:
    """The steps of the tasks that the run has executed itself, in order."""
    own = [task.name for task in run.all_tasks() if task.record.run.uid == run.identity.uid]
    return [name.step for name in sorted(own, key=lambda name: int(name.task))]


def test_what_is_finished_is_taken_over_by_reference(repo: GitRepo) -> None:
    """Trees, ids and results are the origin's; only what failed and what follows runs."""
    repo.write("f.py", chain())
    assert repo.flow("f.py", "run", "--alpha", "7", env={"FAIL": "q"}).code == 1
    origin = latest(repo)
    done = repo.flow("f.py", "resume")
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    assert run.identity.id.number == 2
    assert run.info.origin is not None
    assert (run.info.origin.kind, run.info.origin.run) == ("resume", origin.identity)
    assert "start runs" not in done.out
    finished = {str(task.name) for task in origin.all_tasks() if task.record.ok}
    assert adopted(run) == finished
    for name in finished:
        task = TaskName.parse(name)
        assert run.task(task).tree == origin.task(task).tree
    assert steps_run(run) == ["b", "join", "fan", "left", "right", "meet", "end"]
    first_new = min(int(task) for task in run.tasks("join"))
    assert first_new > max(int(task.name.task) for task in origin.all_tasks())
    assert value_of(one_task(run, "end"), "alpha") == 7
    stacks = [f"{item * 2}[({index}, 3, '{item}')]" for index, item in enumerate("pqr")]
    assert value_of(one_task(run, "end"), "ys") == stacks
    assert value_of(one_task(run, "join"), "origin") == "1"
    values = [record.frames[0].value for record in run.records("b")]
    assert sorted(values) == ["p", "q", "r"]
    repo.fsck()


def test_a_resume_can_be_resumed(repo: GitRepo) -> None:
    """By default the newest run is gone on from, whether it was a run or a resume."""
    repo.write("f.py", chain())
    assert repo.flow("f.py", "run", env={"FAIL": "q"}).code == 1
    assert repo.flow("f.py", "resume", env={"FAIL": "left"}).code == 1
    assert repo.flow("f.py", "resume").code == 0
    run = latest(repo)
    assert run.info.origin is not None
    assert run.info.origin.run.id == "2"
    assert steps_run(run) == ["left", "meet", "end"]


def test_a_step_runs_again_and_so_does_what_follows_it(repo: GitRepo) -> None:
    """A named step of a finished run: it and its successors run, the rest is taken over."""
    repo.write("f.py", chain())
    assert repo.flow("f.py", "run").code == 0
    assert repo.flow("f.py", "resume", "join").code == 0
    assert steps_run(latest(repo)) == ["join", "fan", "left", "right", "meet", "end"]
    assert repo.flow("f.py", "resume", "start", "--origin-run-id", "1").code == 0
    run = latest(repo)
    assert adopted(run) == {"_parameters/0"}
    assert run.info.origin is not None
    assert run.info.origin.run.id == "1"


def test_a_finished_run_is_taken_over_whole(repo: GitRepo) -> None:
    """Nothing is left to run; the new run is done and shows the same data."""
    repo.write("f.py", chain())
    assert repo.flow("f.py", "run").code == 0
    assert repo.flow("f.py", "resume", "1").code == 0
    run = latest(repo)
    assert steps_run(run) == []
    assert run.status.value == "done"
    assert repo.git("rev-parse", "runs/F/1:data") == repo.git("rev-parse", "runs/F/2:data")


@pytest.mark.parametrize(
    ("more", "first", "again"),
    [
        ("\n    @step\n    def new(self):\n        self.next(self.a)\n", "new", True),
        ("\n    beta = Parameter('beta', default=2)\n", "a", False),
    ],
)
def test_a_changed_flow_runs_again_from_where_it_changed(
    repo: GitRepo, more: str, first: str, again: bool
) -> None:
    """A new step in between makes what follows run; a new parameter has its default."""
    repo.write("f.py", chain())
    assert repo.flow("f.py", "run", env={"FAIL": "left"}).code == 1
    program = chain(more, first).replace(
        "self.next(self.meet)", "assert self.alpha == 1; self.next(self.meet)"
    )
    if not again:
        program = program.replace("assert self.alpha == 1", "assert self.beta == 2")
    repo.write("f.py", program)
    done = repo.flow("f.py", "resume")
    assert done.code == 0, done.out
    steps = steps_run(latest(repo))
    assert ("start" in steps) == again
    assert steps[-3:] == ["right", "meet", "end"] or steps[-2:] == ["meet", "end"]


def test_a_bad_origin_leaves_no_run_behind(repo: GitRepo) -> None:
    """Whatever can't be resumed is refused before there is a run, with a hint."""
    repo.write("f.py", chain())
    repo.write("g.py", linear_flow(name="G"))
    for args in (
        ("resume",),
        ("resume", "7"),
        ("resume", "--origin-run-id", "x/y/z"),
        ("run", "--clone", "9"),
    ):
        done = repo.flow("f.py", *args)
        assert done.code == 1, args
        assert "Traceback" not in done.err
    assert repo.git("for-each-ref", "refs/runs") == ""
    assert repo.flow("g.py", "run").code == 0
    assert repo.flow("f.py", "resume", "1").code == 1
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/runs") == "refs/runs/G/1"


def test_a_clone_starts_anew_with_the_parameters_of_its_origin(repo: GitRepo) -> None:
    """Parameters that are given win; new ones have their defaults, computed once in the launcher process."""
    head = "def late(context):\n    print('computed', os.getpid(), file=sys.stderr)\n    return 'late'\n"
    program = foreach_flow("self.k = self.kind", head=head)
    with_kind = program.replace(
        "default=4)", "default=4)\n    kind = Parameter('kind-of', default='a')"
    )
    repo.write("f.py", with_kind)
    assert repo.flow("f.py", "run", "--n", "2", "--kind-of", "b").code == 0
    with_more = with_kind.replace(
        "default='a')", "default='a')\n    when = Parameter('when', default=late)"
    )
    repo.write("f.py", with_more)
    done = repo.flow("f.py", "run", "--clone", "1", "--n", "3")
    assert done.code == 0, done.err
    assert done.err.count("computed") == 1
    run = latest(repo)
    parameters = one_task(run, "_parameters")
    values = {name: value_of(parameters, name) for name in ("n", "kind", "when")}
    assert values == {"n": 3, "kind": "b", "when": "late"}
    assert run.info.parameters == {"n": "3", "kind-of": "b", "when": "late"}
    assert run.info.origin is not None
    assert run.info.origin.kind == "clone"
    assert adopted(run) == set()
    assert len(run.tasks("work")) == 3
    repo.fsck()
