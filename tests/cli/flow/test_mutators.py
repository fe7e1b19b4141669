"""Decorators and mutators of users by the command line: in all kinds of processes, in resumed runs, where they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.client import Flow
from gitflowrun.runs.commit_message import Status
from tests.helpers.flows import latest, one_task, value_of

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo

FLOW = """
import sys
from gitflowrun import *


@user_step_decorator
def noted(step_name, flow, inputs, attributes):
    flow.notes = [*getattr(flow, "notes", []), (step_name, attributes)]
    yield
    flow.after = step_name


class Adds(FlowMutator):
    def init(self, *names):
        self.names = names

    def pre_mutate(self, flow):
        print("pre_mutate is called")
        for name in self.names:
            flow.add_parameter(name, Parameter(name, default=1, help="An added one."))
        flow.remove_parameter("gone")

    def mutate(self, flow):
        for name, one in flow.steps:
            one.add_decorator("noted", deco_kwargs={"resources": one.has_decorator("resources")})


@Adds("added", "also")
class F(FlowSpec):
    gone = Parameter("gone", default=0)

    @retry(times=1)
    @step
    def start(self):
        self.sum = self.added + self.also
        self.next(self.middle)

    @noted(by="hand")
    @step
    def middle(self):
        FAILS
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""


def ran(repo: GitRepo, flow: str, *words: str, code: int = 0, **env: str) -> Any:
    """The result of running a flow."""
    repo.write("f.py", flow)
    done = repo.flow("f.py", *(words or ("run",)), env=env)
    assert done.code == code, done.out + done.err
    return done


@pytest.mark.parametrize("kind", ["fork", "batch", "fresh", "inline"])
@pytest.mark.sample("fork", "batch", "inline")
def test_all_kinds_of_processes(repo: GitRepo, kind: str) -> None:
    """A mutator changes the flow alike wherever its tasks run; what it prints is shown once."""
    done = ran(
        repo, FLOW.replace("FAILS", "pass"), "run", "--added", "5", "--with", "resources",
        GITFLOWRUN_ISOLATION=kind,
    )  # fmt: skip
    assert (done.out + done.err).count("pre_mutate is called") == 1
    run = latest(repo)
    assert value_of(one_task(run, "end"), "sum") == 6
    assert value_of(one_task(run, "end"), "notes") == [
        ("start", {"resources": True}),
        ("middle", {"by": "hand"}),
        ("end", {"resources": True}),
    ]
    assert value_of(one_task(run, "end"), "after") == "end"
    assert set(run.info.parameters) == {"added", "also"}


def test_options_of_added_parameters(repo: GitRepo) -> None:
    """They are in the help and are read; that of a removed one is not there."""
    done = ran(repo, FLOW, "run", "--help")
    assert "--added INTEGER" in done.out
    assert "An added one.  [default: 1]" in done.out
    assert "--gone" not in done.out
    assert "No such option" in ran(repo, FLOW, "run", "--gone", "1", code=2).err


def test_a_run_that_goes_on(repo: GitRepo) -> None:
    """`resume` has the added parameters of its origin, and calls decorators of the steps that it runs."""
    ran(repo, FLOW.replace("FAILS", "1 / 0"), "run", "--added", "7", code=1)
    assert value_of(one_task(latest(repo), "start"), "sum") == 8
    ran(repo, FLOW.replace("FAILS", "pass"), "resume")
    run = latest(repo)
    assert value_of(one_task(run, "end"), "sum") == 8
    assert [name for name, _ in value_of(one_task(run, "end"), "notes")] == [  # type: ignore[attr-defined]
        "start",
        "middle",
        "end",
    ]


def test_where_they_are_shown(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """`show`, `git runs show` and the graph in the client name them, added ones with who has added them."""
    flow = FLOW.replace("FAILS", "pass")
    done = ran(repo, flow, "show")
    assert "Step start\n    @noted\n    @retry\n" in done.out
    ran(repo, flow)
    rows = [line.split() for line in repo.runs("show", "1").out.splitlines()]
    assert [row[-2:] for row in rows if row[:1] == ["start"]] == [["@noted", "@retry"]]
    assert [row[-1:] for row in rows if row[:1] == ["end"]] == [["@noted"]]
    monkeypatch.chdir(repo.path)
    run: Any = Flow("F").latest_run
    graph = run["end"].task["_graph_info"].data
    (row,) = graph["steps"]["end"]["decorators"]
    assert (row["name"], row["inserted_by"]) == ("__main__.noted", ["__main__.Adds"])
    assert graph["decorators"][0]["attributes"] == {"_args": ["added", "also"]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("self.names = names", "raise KeyError('x')", "Adds.init of flow 'F' failed: KeyError"),
        ("flow.remove_parameter", "flow.nope", "Adds.pre_mutate of flow 'F' failed: Attribute"),
        ('"noted", deco', '"notde", deco', "there is no decorator 'notde' for steps"),
        ("@noted(by", "@noted('x')(by", "@noted can't take the argument 'x'"),
        ('@Adds("added"', '@retry\n@Adds("added"', "@retry is for steps, and 'F' is none"),
    ],
    ids=range(5),
)
def test_mistakes(repo: GitRepo, old: str, new: str, expected: str) -> None:
    """They end the program with 1, the file and the line, and no traceback of ours; no run begins."""
    done = ran(repo, FLOW.replace(old, new), "run", code=1)
    assert expected in done.err
    assert "f.py:" in done.err
    assert "Traceback" not in done.err
    assert "Run ID" not in done.out


def test_a_mistake_that_a_task_finds(repo: GitRepo) -> None:
    """The run is recorded as failed, with what the decorator did wrong."""
    flow = FLOW.replace("    yield\n", "    yield 5\n")
    done = ran(repo, flow, "run", code=1)
    assert "@noted of step 'start' yields 5" in done.err + done.out
    assert "Traceback" not in done.err + done.out
    assert latest(repo).status is Status.FAILED
