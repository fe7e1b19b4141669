"""Flows with switches, loops and gangs, executed for real: what is recorded, resumed, and told by the client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.records import GANG
from gitflowrun.runs.runs import Status
from tests.helpers.flows import latest, one_task, value_of
from tests.helpers.repos import GitRepo

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredRun

HEAD = "import os, time\nfrom gitflowrun import FlowSpec, Parameter, catch, current, parallel, retry, step\n"
FOOT = "\nif __name__ == '__main__':\n    F()\n"

LOOP = (
    HEAD
    + """
class F(FlowSpec):
    bad = Parameter('bad', default=-1)

    @step
    def start(self):
        self.items = [2, 3]
        self.next(self.begin, foreach='items')

    @step
    def begin(self):
        self.seen = []
        self.next(self.loop)

    @step
    def loop(self):
        self.seen.append(list(self._iteration_stack))
        if len(self.seen) == self.bad and not os.path.exists('mended'):
            raise ValueError('bad')
        self.again = 'more' if len(self.seen) < self.input else 'done'
        self.next({'more': self.loop, 'done': self.after}, condition='again')

    @step
    def after(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.seen = [it.seen for it in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    + FOOT
)

END_FAILS = """    def end(self):
        if not os.path.exists('mended'):
            raise ValueError('bad')"""


def steps_of(run: StoredRun) -> dict[str, int]:
    """How many tasks each public step has."""
    return {step: len(run.tasks(step)) for step in run.steps() if not step.startswith("_")}


def ask(repo: GitRepo, code: str) -> object:
    """What the client prints as JSON for the newest run `r` of the flow F."""
    head = "import json\nfrom gitflowrun import Flow, namespace\nnamespace(None)\nr = Flow('F').latest_run\n"
    done = repo.flow("-c", f"{head}print(json.dumps({code}))")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_step_repeats_itself_for_each_item_of_a_foreach(repo: GitRepo) -> None:
    """Each iteration is a task of its own, which follows the one before and knows how many there were."""
    repo.write("f.py", LOOP)
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.err
    run = latest(repo)
    assert steps_of(run) == {"start": 1, "begin": 2, "loop": 5, "after": 2, "join": 1, "end": 1}
    assert value_of(one_task(run, "end"), "seen") == [[[0], [1]], [[0], [1], [2]]]
    records = sorted(run.records("loop"), key=lambda it: it.place)
    assert [record.place for record in records] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert [record.parents[0].step for record in records] == [
        "begin",
        "loop",
        "begin",
        "loop",
        "loop",
    ]
    assert records[4].parents == (records[3].name,)
    jumps = [record.transition for record in records]
    assert [jump and jump.case for jump in jumps] == ["more", "done", "more", "more", "done"]
    assert ask(repo, "sorted(t['_iteration_stack'].data[0] for t in r['loop'])") == [0, 0, 1, 1, 2]
    assert ask(repo, "sorted(s.id for s in r['loop'].child_steps)") == ["after", "loop"]
    assert ask(repo, "sorted(s.id for s in r['loop'].parent_steps)") == ["begin", "loop"]
    shown = repo.runs("show", f"{run.id}/loop")
    assert "iteration 2" in shown.out, shown.out + shown.err
    repo.fsck()


def test_a_resumed_run_takes_over_the_iterations_that_were_finished(repo: GitRepo) -> None:
    """And goes on where the loop had failed."""
    repo.write("f.py", LOOP)
    assert repo.flow("f.py", "run", "--bad", "3").code == 1
    failed = latest(repo)
    assert failed.status is Status.FAILED
    repo.write("mended", "")
    done = repo.flow("f.py", "resume")
    assert done.code == 0, done.err
    run = latest(repo)
    assert steps_of(run)["loop"] == 5
    assert value_of(one_task(run, "end"), "seen") == [[[0], [1]], [[0], [1], [2]]]
    own = [record for record in run.records("loop") if record.run.uid == run.identity.uid]
    assert [record.place for record in own] == [(1, 2)]


SWITCH = (
    HEAD
    + """
class F(FlowSpec):
    way = Parameter('way', default='a')
    fail = Parameter('fail', default=False)

    @step
    def start(self):
        self.next(self.choose)

    @step
    def choose(self):
        self.next({'a': self.one, 'b': self.two, 3: self.end}, condition='way')

    @step
    def one(self):
        self.x = 1
        self.next(self.meet)

    @step
    def two(self):
        self.x = 2
        self.next(self.meet)

    @step
    def meet(self):
        if self.fail and not os.path.exists('mended'):
            raise ValueError('bad')
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    + FOOT
)


@pytest.mark.parametrize(("way", "x"), [("a", 1), ("b", 2)])
def test_the_case_of_a_value_follows_and_no_other(repo: GitRepo, way: str, x: int) -> None:
    """The step where cases meet runs once, after the one that was chosen."""
    repo.write("f.py", SWITCH)
    done = repo.flow("f.py", "run", "--way", way)
    assert done.code == 0, done.err
    run = latest(repo)
    chosen = {1: "one", 2: "two"}[x]
    assert steps_of(run) == {"start": 1, "choose": 1, chosen: 1, "meet": 1, "end": 1}
    assert value_of(one_task(run, "end"), "x") == x
    assert ask(repo, "[s.id for s in r['choose'].child_steps]") == [chosen]
    assert ask(repo, "[s.id for s in r['meet'].parent_steps]") == [chosen]
    assert ask(repo, "r['choose'].task['_transition'].data") == [[chosen], None]
    assert ask(repo, "r['choose'].task['_graph_info'].data['steps']['choose']['switch_cases']") == {
        "a": "one", "b": "two", "3": "end",
    }  # fmt: skip


@pytest.mark.parametrize("way", ["c", "3"])
@pytest.mark.sample(1)
def test_a_value_without_a_case_fails_the_step(repo: GitRepo, way: str) -> None:
    """The error names the line, the value and the cases; text is not taken for a number."""
    repo.write("f.py", SWITCH)
    done = repo.flow("f.py", "run", "--way", way)
    assert done.code == 1
    assert f"self.way of step 'choose' is {way!r}, which is no case of its switch" in done.out
    assert "the cases are 'a', 'b', 3" in done.out
    line = 1 + SWITCH.split("\n").index(
        "        self.next({'a': self.one, 'b': self.two, 3: self.end}, condition='way')"
    )
    assert f"f.py:{line}" in done.out
    assert "Traceback" not in done.out + done.err
    run = latest(repo)
    assert run.status is Status.FAILED
    assert steps_of(run) == {"start": 1, "choose": 1}


def test_a_switch_whose_case_has_changed_is_done_again(repo: GitRepo) -> None:
    """A resumed run adopts a switch as long as the case that it chose leads where it led."""
    repo.write("f.py", SWITCH)
    assert repo.flow("f.py", "run", "--fail", "true").code == 1
    repo.write("mended", "")
    other = SWITCH.replace("'b': self.two, 3: self.end", "'b': self.end, 3: self.two")
    repo.write("f.py", other)
    assert repo.flow("f.py", "resume").code == 0
    run = latest(repo)
    assert [one_task(run, step).record.run.uid == run.identity.uid for step in ("choose", "one", "meet")] == [
        False, False, True,
    ]  # fmt: skip
    repo.write(
        "f.py", SWITCH.replace("'a': self.one, 'b': self.two", "'a': self.two, 'b': self.one")
    )
    assert repo.flow("f.py", "resume", "1").code == 0
    run = latest(repo)
    assert one_task(run, "choose").record.run.uid == run.identity.uid
    assert value_of(one_task(run, "end"), "x") == 2
    assert "one" not in run.steps()


GANG_FLOW = (
    HEAD
    + """
class F(FlowSpec):
    n = Parameter('n', default=3)
    wait = Parameter('wait', default=True)

    @step
    def start(self):
        self.items = ['p', 'q']
        self.next(self.each, foreach='items')

    @step
    def each(self):
        self.next(self.work, num_parallel=self.n)

    TRY
    @parallel
    @step
    def work(self):
        gang = current.parallel
        assert (gang.node_index, gang.node_index) == (self.index, self.input)
        place = os.path.join(os.environ['MEET'], f'{gang.control_task_id}-{current.retry_count}-')
        open(f'{place}{gang.node_index}', 'w').close()
        if FAIL:
            raise ValueError('bad')
        while self.wait and not all(os.path.exists(f'{place}{node}') for node in range(gang.num_nodes)):
            time.sleep(0.01)
        self.x = (gang.main_ip, gang.num_nodes, gang.node_index, os.environ['MF_PARALLEL_NODE_INDEX'])
        self.told = [current.is_parallel, self.foreach_stack()]
        self.next(self.join)

    @step
    def join(self, inputs):
        assert current.parallel is None and not current.is_parallel
        self.xs = [it.x for it in inputs]
        self.told = [it.told for it in inputs]
        self.next(self.all)

    @step
    def all(self, inputs):
        self.xs = [it.xs for it in inputs]
        self.told = inputs[1].told
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    + FOOT
)


def gang_flow(fail: str = "False", again: str = "") -> str:
    """A flow with a gang for each of two items, some nodes of which fail."""
    return GANG_FLOW.replace("FAIL", fail).replace("    TRY\n", f"    {again}\n" if again else "")


@pytest.mark.parametrize(
    "kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow), "inline"]
)
def test_the_nodes_of_a_gang_run_at_the_same_time(repo: GitRepo, kind: str) -> None:
    """However few tasks may run: each waits for all others. In one process they run one after the other."""
    repo.write("f.py", gang_flow())
    env = {"MEET": str(repo.path.parent), "GITFLOWRUN_ISOLATION": kind}
    wait = str(kind != "inline").lower()
    done = repo.flow("f.py", "run", "--max-workers", "1", "--n", "2", "--wait", wait, env=env)
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    assert (
        value_of(one_task(run, "end"), "xs")
        == [[("127.0.0.1", 2, node, str(node)) for node in range(2)]] * 2
    )
    assert value_of(one_task(run, "end"), "told") == [
        [True, [(1, 2, "q"), (node, None, node)]] for node in range(2)
    ]
    assert (
        run.tasks("work") == ["4", "5", "4_node_1", "5_node_1"] or run.tasks("work")[0].isdecimal()
    )
    record = run.task(TaskName("work", run.tasks("work")[-1])).record
    assert (record.frames[-1].var, record.frames[-1].num_splits, record.frames[-1].index) == (
        GANG,
        2,
        1,
    )
    repo.fsck()


def test_catch_on_a_gang(repo: GitRepo) -> None:
    """What the nodes that ended well have done is there; of the one that was killed, how it was."""
    text = gang_flow("gang.node_index == 1", "@catch(var='bad', print_exception=False)")
    text = text.replace("raise ValueError('bad')", "os.kill(os.getpid(), 9)")
    joined = "[it.x for it in inputs]"
    assert joined in text
    text = text.replace(joined, "[(getattr(it, 'x', [None])[-1], str(it.bad)) for it in inputs]")
    text = text.replace("it.told for it", "it.bad is None for it")
    repo.write("f.py", text)
    env = {"MEET": str(repo.path.parent)}
    done = repo.flow("f.py", "run", "--wait", "false", "--n", "2", env=env)
    assert done.code == 0, done.out + done.err
    xs: Any = value_of(one_task(latest(repo), "end"), "xs")
    first, second = xs[0]
    assert first == ("0", "None")
    assert second[0] is None
    assert second[1].strip().endswith("and its code could not say why: killed by SIGKILL")
    repo.fsck()


def test_the_client_knows_the_nodes_of_a_gang(repo: GitRepo) -> None:
    """By the names of Metaflow: control tasks, their mappers, world size, index."""
    repo.write("f.py", gang_flow())
    done = repo.flow("f.py", "run", env={"MEET": str(repo.path.parent)})
    assert done.code == 0, done.out + done.err
    controls = ask(repo, "sorted(t.id for t in r['work'].control_tasks())")
    assert isinstance(controls, list)
    assert len(controls) == 2
    assert ask(repo, "r['work'].control_task.id") in controls
    assert ask(repo, "r['end'].control_task") is None
    task = f"r['work']['{controls[0]}']"
    assert ask(repo, f"{task}['_control_mapper_tasks'].data") == [
        f"1/work/{controls[0]}{node}" for node in ("", "_node_1", "_node_2")
    ]
    assert ask(repo, f"[{task}.index, r['work']['{controls[0]}_node_2'].index]") == [0, 2]
    facts = (
        "('internal_task_type', 'parallel-world-size', 'foreach-stack', 'foreach-execution-path')"
    )
    told = ask(
        repo,
        f"[[t.metadata_dict.get(n) for n in {facts}] for t in ({task}, r['work']['{controls[0]}_node_1'])]",
    )
    assert isinstance(told, list)
    assert told[0][:2] == ["control_task", 3]
    assert told[1][:2] == [None, 3]
    assert told[0][2] in (["items=p"], ["items=q"])
    assert told[1][3].endswith(",work:1")
    assert ask(
        repo, f"['_unbounded_foreach' in {task}, '_unbounded_foreach' in r['end'].task]"
    ) == [True, False]
    assert ask(
        repo, "['_control_mapper_tasks' in r['each'].task, r['each'].task['_foreach_var'].data]"
    ) == [False, GANG]
    shown = repo.runs("show", "1/work")
    assert "node 2 of 3" in shown.out, shown.out + shown.err


def test_a_gang_is_tried_again_as_a_whole(repo: GitRepo) -> None:
    """All nodes run in the second attempt, and those of the first are kept with them."""
    fails = "self.index == 1 and not current.retry_count"
    repo.write(
        "f.py",
        gang_flow(fails, "@retry(times=1)").replace("self.wait and", "current.retry_count and"),
    )
    done = repo.flow("f.py", "run", "--n", "2", env={"MEET": str(repo.path.parent)})
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    assert [[it.ok for it in record.attempts] for record in run.records("work")] == [
        [False, True]
    ] * 4


def test_a_resumed_run_runs_a_gang_again_that_was_not_whole(repo: GitRepo) -> None:
    """Under new ids; one that was whole is taken over."""
    fails = "self.index == 1 and self.foreach_stack()[0][0] == 1 and not os.path.exists('mended')"
    repo.write("f.py", gang_flow(fails))
    env = {"MEET": str(repo.path.parent)}
    assert (
        repo.flow("f.py", "run", "--n", "2", "--wait", "false", "--max-workers", "1", env=env).code
        == 1
    )
    failed = latest(repo)
    bad = next(record for record in failed.records("work") if not record.ok)
    repo.write("mended", "")
    done = repo.flow("f.py", "resume", env=env)
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    own = [record.name.task for record in run.records("work") if record.run.uid == run.identity.uid]
    assert sorted(own)[1:] == [f"{min(own)}_node_1"]
    assert bad.name.task not in own
    assert steps_of(run)["work"] == 4
    assert len(value_of(one_task(run, "end"), "xs")) == 2  # type: ignore[arg-type]


def test_loops_that_have_ended_are_taken_over_as_they_are(repo: GitRepo) -> None:
    """With the foreach that they lie in: their trees are those of the origin."""
    repo.write("f.py", LOOP.replace("    def end(self):\n        pass", END_FAILS))
    assert repo.flow("f.py", "run").code == 1
    before = latest(repo)
    repo.write("mended", "")
    done = repo.flow("f.py", "resume")
    assert done.code == 0, done.err
    run = latest(repo)
    assert run.identity != before.identity
    for step in ("begin", "loop", "after"):
        assert run.step_tree(step) == before.step_tree(step)
    assert one_task(run, "end").record.run.uid == run.identity.uid


def test_a_loop_is_run_again_from_its_first_round(repo: GitRepo) -> None:
    """Where `resume` names its step."""
    repo.write("f.py", LOOP)
    assert repo.flow("f.py", "run").code == 0
    done = repo.flow("f.py", "resume", "loop")
    assert done.code == 0, done.err
    run = latest(repo)
    assert [record.run.uid == run.identity.uid for record in run.records("loop")] == [True] * 5
    assert [record.run.uid == run.identity.uid for record in run.records("begin")] == [False] * 2


def test_runs_with_other_numbers_of_rounds_are_compared(repo: GitRepo) -> None:
    """Round by round, by every command that compares."""
    repo.write("f.py", LOOP)
    assert repo.flow("f.py", "run").code == 0
    repo.write("f.py", LOOP.replace("[2, 3]", "[2, 4]"))
    assert repo.flow("f.py", "run").code == 0
    told = repo.runs("diff", "1", "2")
    assert "loop: 5 -> 6 tasks" in told.out, told.out + told.err
    for command in (
        ("compare", "1", "2"),
        ("log", "2"),
        ("show", "2"),
        ("fsck", "2"),
        ("watch", "2"),
    ):
        done = repo.runs(*command)
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
