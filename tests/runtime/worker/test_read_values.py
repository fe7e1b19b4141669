"""What a step only reads stays what it was, and joins compare values where pickles differ."""

from __future__ import annotations

from tests.helpers.flows import latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo

FLOW = """
from gitflowrun import FlowSpec, step

class Model:
    '''Loading it makes two lists of one, as libraries do that rebuild their parts.'''
    def __init__(self, are_two=False):
        self.names = self.labels = ["a", "b"]
        if are_two:
            self.labels = list(self.names)
    def __setstate__(self, state):
        vars(self).update({name: list(value) for name, value in state.items()})

class Cached:
    '''Equal to others whatever it has computed.'''
    def __init__(self, value, cache):
        self.value, self.cache = value, cache
    def __eq__(self, other):
        return self.value == other.value
    __hash__ = None

class F(FlowSpec):
    @step
    def start(self):
        self.model, self.touched = Model(), Model()
        self.next(self.look, self.work)

    @step
    def look(self):
        assert self.model.names == ["a", "b"] and self.touched.labels == ["a", "b"]
        self.cached, self.alike, self.broken = Cached(1, "x"), Model(), Model
        self.next(self.join)

    @step
    def work(self):
        self.touched.labels.append("c")
        self.cached, self.alike, self.broken = Cached(1, "y"), Model(are_two=True), Model
        self.next(self.join)

    @step
    def join(self, inputs):
        from gitflowrun.errors import MergeError
        try:
            self.merge_artifacts(inputs)
        except MergeError as error:
            self.disputed = error.artifact_names
        self.merge_artifacts(inputs, exclude=["touched", "cached"])
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    F()
"""


def test_a_value_that_was_only_read_is_not_stored_again(repo: GitRepo) -> None:
    """Though it is pickled to other bytes now; one that was changed in place is; a join tells them apart."""
    repo.write("f.py", FLOW)
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.out + done.err
    run = latest(repo)
    made = {step: one_task(run, step) for step in ("start", "look", "work", "end")}
    found = {
        (name, step): (ref.identity, ref.producer.step)
        for step, task in made.items()
        for name, ref in task.record.artifacts.items()
    }
    for step in ("look", "work", "end"):
        assert found["model", step] == found["model", "start"]
    assert found["touched", "look"] == found["touched", "start"]
    assert found["touched", "work"][1] == "work"
    assert value_of(made["end"], "disputed") == ["cached", "touched"]
    assert found["alike", "look"] != found["alike", "work"]
    assert found["alike", "end"] == found["alike", "look"]


def test_a_value_that_was_stored_under_a_raised_recursion_limit_is_read_without(
    repo: GitRepo,
) -> None:
    """A step that only reads it needs no limit of its own, and stores nothing; its changes in place are kept."""
    head = (
        "class Node:\n    after = None\n"
        "def chain(n):\n    first = last = Node()\n"
        "    for _ in range(n):\n        last.after = Node()\n        last = last.after\n    return first"
    )
    start = "sys.setrecursionlimit(50_000)\nself.read = chain(400)\nself.grown = chain(400)"
    end = "self.read.after\nself.grown.more = 1\nassert sys.getrecursionlimit() < 50_000"
    repo.write("f.py", linear_flow(start, end, head=head))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.err
    artifacts = one_task(latest(repo), "end").record.artifacts
    assert artifacts["read"].producer.step == "start"
    assert artifacts["grown"].producer.step == "end"
