"""Runs that go on where others stopped, and runs with the parameters of others."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.odb import ObjectStore
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunIdentity, Transition
from gitflowrun.runs.runs import RunStore
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.resume import Adoption, _Finished, adopt
from tests.helpers.flows import foreach_flow, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo, copy_repo, make_repo

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


Ran = Callable[[str], GitRepo]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Repositories with a run of this flow that failed at an item, at a step or not at all, each made once."""

    @functools.cache
    def make(fail: str) -> GitRepo:
        repo = make_repo(tmp_path_factory.mktemp("resume") / "made")
        repo.write("f.py", chain())
        assert repo.flow("f.py", "run", env={"FAIL": fail}).code == bool(fail)
        return repo

    return make


@pytest.fixture
def ran(made: Ran, tmp_path: Path) -> Ran:
    """Copies of them."""
    return lambda fail: copy_repo(made(fail), tmp_path / "ran")


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
    assert repo.flow("f.py", "run", "--alpha", "7", "--tag", "once", env={"FAIL": "q"}).code == 1
    origin = latest(repo)
    done = repo.flow("f.py", "resume")
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    assert run.identity.id.number == 2
    assert run.info.origin is not None
    assert (run.info.origin.kind, run.info.origin.run) == ("resume", origin.identity)
    assert (origin.info.tags, run.info.tags) == (("once",), ())
    assert "start runs" not in done.out
    finished = {str(task.name) for task in origin.all_tasks() if task.record.ok}
    assert adopted(run) == finished
    for name in finished:
        task = TaskName.parse(name)
        assert run.task(task).tree == origin.task(task).tree
    # Where the one that fails is the quickest, others of its step have not begun.
    left = 3 - sum(name.startswith("b/") for name in finished)
    assert left >= 1
    assert steps_run(run) == ["b"] * left + ["join", "fan", "left", "right", "meet", "end"]
    first_new = min(int(task) for task in run.tasks("join"))
    assert first_new > max(int(task.name.task) for task in origin.all_tasks())
    assert value_of(one_task(run, "end"), "alpha") == 7
    stacks = [f"{item * 2}[({index}, 3, '{item}')]" for index, item in enumerate("pqr")]
    assert value_of(one_task(run, "end"), "ys") == stacks
    assert value_of(one_task(run, "join"), "origin") == "1"
    values = [record.frames[0].value for record in run.records("b")]
    assert sorted(values) == ["p", "q", "r"]
    repo.fsck()


WIDE = """
import os
from gitflowrun import FlowSpec, step

class Wide(FlowSpec):
    @step
    def start(self):
        self.items = list(range(int(os.environ["N"])))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input
        self.next(self.more)

    @step
    def more(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        assert "FAIL" not in os.environ
        self.xs = [i.x for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Wide()
"""


def test_steps_between_a_split_and_its_join_are_taken_whole(repo: GitRepo) -> None:
    """Their trees are the origin's, few words are said of many tasks, and the join sees all in order."""
    repo.write("f.py", WIDE)
    assert repo.flow("f.py", "run", env={"N": "21", "FAIL": "1"}).code == 1
    done = repo.flow("f.py", "resume", env={"N": "21"})
    assert done.code == 0, done.out + done.err
    assert "Cloning 21 previously run tasks of Wide/1/work" in done.out
    run = latest(repo)
    for step in ("work", "more"):
        trees = [repo.git("rev-parse", f"runs/Wide/{it}:steps/{step}") for it in (1, 2)]
        assert trees[0] == trees[1]
    assert steps_run(run) == ["join", "end"]
    assert value_of(one_task(run, "end"), "xs") == list(range(21))
    failed = RunStore(run.repo).get("Wide", "1")
    parents = [one_task(it, "join").record.parents for it in (failed, run)]
    assert parents[0] == parents[1]
    # Once more, from a run that holds whole steps itself, and from behind the join.
    assert repo.flow("f.py", "resume", "end", "--origin-run-id", "2", env={"N": "21"}).code == 0
    assert steps_run(latest(repo)) == ["end"]
    assert value_of(one_task(latest(repo), "end"), "xs") == list(range(21))
    repo.fsck()


def _adopted(run: StoredRun, *rerun: str, trusted: bool = True) -> tuple[Adoption, int]:
    """What a resumed run adopts, and how many objects are read to find that out."""
    graph = run.info.graph
    shape = Shape.of(graph)
    again = frozenset(step for name in rerun for step in shape.downstream(name))
    reads: list[Oid] = []
    read = ObjectStore.read

    def counted(store: ObjectStore, oid: Oid, *limit: int) -> tuple[ObjectType, bytes]:
        reads.append(oid)
        return read(store, oid, *limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "read", counted)
        executors = frozenset([run.identity.uid] if trusted else [])
        found = adopt(Plan(shape), graph, run, again, executors, 100)
    return found, len(reads)


def test_many_finished_tasks_are_adopted_together(repo: GitRepo) -> None:
    """None of them is read by itself, which would take long, unless one is to run again."""
    repo.write("f.py", WIDE)
    for width in ("3", "30"):
        assert repo.flow("f.py", "run", env={"N": width, "FAIL": "1"}).code == 1
    few, many = (StoredRun(run.repo, run.flow, run.id, run.commit) for run in both(repo))
    (of_few, reads), (of_many, as_many) = _adopted(few), _adopted(many)
    assert as_many == reads
    assert of_few.steps == of_many.steps == ("work", "more")
    assert [name.step for name in of_many.names] == ["_parameters", "start"]
    assert of_many.first_id == 1 + max(int(task.name.task) for task in many.all_tasks())
    for other, _ in (_adopted(many, "more"), _adopted(many, trusted=False)):
        assert other.steps == ()
        assert len([name for name in other.names if name.step == "work"]) == 30
        assert other.first_id == of_many.first_id


def both(repo: GitRepo) -> list[StoredRun]:
    """Runs 1 and 2."""
    store = RunStore(Repository.discover(repo.path))
    return [store.get("Wide", number) for number in ("1", "2")]


def test_a_resume_can_be_resumed(ran: Ran) -> None:
    """By default the newest run is gone on from, whether it was a run or a resume."""
    repo = ran("q")
    assert repo.flow("f.py", "resume", env={"FAIL": "left"}).code == 1
    assert repo.flow("f.py", "resume").code == 0
    run = latest(repo)
    assert run.info.origin is not None
    assert run.info.origin.run.id == "2"
    assert steps_run(run) == ["left", "meet", "end"]


def test_a_step_runs_again_and_so_does_what_follows_it(ran: Ran) -> None:
    """A named step of a finished run: it and its successors run, the rest is taken over."""
    repo = ran("")
    done = repo.flow("f.py", "resume", "join")
    assert done.code == 0
    assert steps_run(latest(repo)) == ["join", "fan", "left", "right", "meet", "end"]
    told = re.findall("Cloning previously run task F/1/(.+)", done.out)
    assert {*told} == adopted(latest(repo)) - {"_parameters/0"}
    assert len({*told}) == len(told) > 2
    assert repo.flow("f.py", "resume", "start", "--origin-run-id", "1").code == 0
    run = latest(repo)
    assert adopted(run) == {"_parameters/0"}
    assert run.info.origin is not None
    assert run.info.origin.run.id == "1"


def test_a_finished_run_is_taken_over_whole(ran: Ran) -> None:
    """Nothing is left to run; the new run is done and shows the same data."""
    repo = ran("")
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
    ran: Ran, more: str, first: str, again: bool
) -> None:
    """A new step in between makes what follows run; a new parameter has its default."""
    repo = ran("left")
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


GROWN = """
    old = Parameter("old", default="o")
    flag = 1
    def _resumable(context):
        print("computed", file=sys.stderr)
        return 41
    late = Parameter("late-one", default=_resumable, type=int)
    env = Parameter("env", type=int)
    file = IncludeFile("file", default="notes.txt")
    rate = 0.5
"""


def grown(more: str, said: str = "") -> str:
    """The flow of these tests with attributes `more`, whose `left` prints what `said` computes."""
    program = chain(more).replace("import FlowSpec", "import FlowSpec, IncludeFile")
    head = f"print('GOT', {said}); self.next(self.meet)"
    return program.replace("import os\n", "import os, sys\n", 1).replace(
        "self.next(self.meet)", head, 1
    )


def test_parameters_that_the_origin_lacks_are_evaluated_once_and_recorded(repo: GitRepo) -> None:
    """Environment, function, file and constants: what tasks use is in the run's parameters, beside the origin's."""
    repo.write("notes.txt", "remember\n")
    repo.write("f.py", grown("old = Parameter('old', default='o')\n    flag = 1\n"))
    assert repo.flow("f.py", "run", "--alpha", "7", env={"FAIL": "left"}).code == 1
    # Since then one was removed, one changed its type and a constant its value.
    more = GROWN.replace('old = Parameter("old", default="o")', "pass").replace(
        "flag = 1", "flag = 2"
    )
    program = grown(more, "self.alpha, self.late, self.env, self.file, self.rate, self.flag")
    repo.write("f.py", program.replace('"alpha", default=1', '"alpha", default="x", type=str'))
    done = repo.flow("f.py", "resume", env={"METAFLOW_RUN_ENV": "9", "METAFLOW_RUN_ALPHA": "8"})
    assert done.code == 0, done.out + done.err
    assert "GOT 7 41 9 remember" in done.out
    assert " 0.5 1\n" in done.out
    assert (done.out + done.err).count("computed") == 1
    run = latest(repo)
    expected = {
        "alpha": 7, "old": "o", "late": 41, "env": 9, "file": "remember\n", "rate": 0.5, "flag": 1
    }  # fmt: skip
    for step in ("_parameters", "meet", "end"):
        task = one_task(run, step)
        assert {name: value_of(task, name) for name in expected} == expected, step
    assert run.info.parameters == {
        "alpha": "7", "old": "o", "late-one": "41", "env": "9", "file": "notes.txt"
    }  # fmt: skip
    assert not {"_parameters", "left"} - {*steps_run(run)}
    assert "start" not in steps_run(run)
    assert "late-one  (none) -> 41" in repo.call("diff", "1", "2").out
    # The next one has all it needs, and takes the task over as it is.
    assert repo.flow("f.py", "resume").code == 0
    trees = [repo.git("rev-parse", f"runs/F/{it}:steps/_parameters") for it in (2, 3)]
    assert trees[0] == trees[1]
    repo.fsck()


def test_a_required_parameter_that_the_origin_lacks_is_asked_for(ran: Ran) -> None:
    """Before there is a run, with commands that work."""
    repo = ran("left")
    repo.write("f.py", chain("extra = Parameter('my-extra', required=True, type=int)"))
    done = repo.flow("f.py", "resume", "fan")
    assert done.code == 2
    assert "parameter 'my-extra' must be given" in done.err
    again = "GITFLOWRUN_RUN_MY_EXTRA=VALUE"
    assert f"`{again} " in done.err
    assert "f.py resume fan`" in done.err
    assert "f.py run --clone 1 --my-extra VALUE`" in done.err
    assert latest(repo).id == "1"
    bad = repo.flow("f.py", "resume", "fan", env={"GITFLOWRUN_RUN_MY_EXTRA": "x"})
    assert bad.code == 2
    assert "GITFLOWRUN_RUN_MY_EXTRA" in bad.err
    assert repo.flow("f.py", "resume", "fan", env={"GITFLOWRUN_RUN_MY_EXTRA": "3"}).code == 0
    assert value_of(one_task(latest(repo), "end"), "extra") == 3
    assert repo.flow("f.py", "run", "--clone", "1", "--my-extra", "4").code == 0
    assert value_of(one_task(latest(repo), "end"), "extra") == 4


def test_a_clone_lists_the_parameters_that_it_has(repo: GitRepo) -> None:
    """One that was removed since is none of them; one whose option was renamed has its new name."""
    repo.write("f.py", linear_flow().replace("    @step", HAS_TWO + "    @step", 1))
    assert repo.flow("f.py", "run", "--gone", "1", "--kept", "2").code == 0
    renamed = HAS_TWO.replace('gone = Parameter("gone")', "").replace('"kept"', '"now"')
    repo.write("f.py", linear_flow().replace("    @step", renamed + "    @step", 1))
    for command, texts in (
        (("run", "--clone", "1"), {"now": "2"}),
        (("resume", "1"), {"gone": "1", "now": "2"}),
    ):
        assert repo.flow("f.py", *command).code == 0
        run = latest(repo)
        assert run.info.parameters == texts
        assert set(one_task(run, "_parameters").record.artifacts) == {
            "kept", *(texts.keys() & {"gone"})
        }  # fmt: skip


HAS_TWO = """
    gone = Parameter("gone")
    kept = Parameter("kept")

"""


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


@pytest.mark.parametrize(
    ("splits", "maker", "possible"),
    [
        (None, "a/1", True),
        (3, "a/1", True),
        (4, "a/1", False),
        (3, "a/2", False),
        (4, "a/2", False),
    ],
)
def test_what_a_strangers_record_may_say(splits: int | None, maker: str, possible: bool) -> None:
    """A foreach as wide as the limit allows, and artifacts that tasks made which are taken over as well."""
    name, run = TaskName("a", "1"), RunIdentity("F", RunId("1"), Oid(bytes(20)))
    made = frozenset([TaskName.parse(maker)])
    found = _Finished(Parent(name, run.uid), run, Transition(("b",), "x", splits), (), made)
    assert found.is_possible({name}, 3) is possible
