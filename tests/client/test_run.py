"""`Run`: found by its addresses, its state, its data, its tags."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from gitflowrun import Flow, Run
from gitflowrun.errors import InvalidPathspec, NotFound, TaggingError
from gitflowrun.runs.runs import Status
from tests.client.samples import make_failed_run, make_resumed_run, make_run, sample_tasks, start
from tests.helpers.repos import GitRepo


def test_a_run_is_found_by_any_address(here: GitRepo) -> None:
    """`Flow/id`, and what the command line takes: id, @latest, tag, uid; it then has its own name."""
    stored = make_run(here, tags=["best"])
    make_run(here)
    uid = str(stored.identity.uid)
    for address in (
        *("MyFlow/1", "1", "@{-1}", "MyFlow/@{-1}", "@{1}", "@{1}:MyFlow"),
        *("MyFlow/best", "tag:best", "MyFlow/tag:best", f"MyFlow/{uid[:9]}"),
    ):
        run = Run(address)
        assert (run.pathspec, run.id, run.uid) == ("MyFlow/1", "1", uid)
    assert Run("@latest").id == "2"
    make_run(here, tags=["best"])
    for address in ("MyFlow/best", "tag:best"):
        with pytest.raises(InvalidPathspec, match="ambiguous"):
            Run(address)


def test_names_of_digits_alone(here: GitRepo) -> None:
    """What looks like an id is one, and never a tag."""
    make_run(here, tags=["2024"])
    with pytest.raises(NotFound, match="no run 2024"):
        Run("MyFlow/2024")
    make_run(here, "Other", tags=["1"])
    assert Run("MyFlow/1").id == "1"


@pytest.mark.parametrize("wrong", ["MyFlow", "MyFlow/1/start", "", "a/b/c", "MyFlow/", 12, None])
def test_a_malformed_address_is_refused(here: GitRepo, wrong: object) -> None:
    """The wrong number of components is an error of its own."""
    make_run(here)
    with pytest.raises(InvalidPathspec):
        Run(wrong)  # type: ignore[arg-type]


def test_a_missing_run_says_what_there_is(here: GitRepo) -> None:
    """Unknown ids and flows are not found, and the hint helps."""
    make_run(here)
    make_run(here, "Other")
    with pytest.raises(NotFound, match="flow MyFlow has no run 2") as caught:
        Run("MyFlow/2")
    assert caught.value.hint == "run 2 is one of Other"
    with pytest.raises(NotFound) as caught:
        Run("MyFlwo/1")
    assert caught.value.hint == "did you mean MyFlow?"
    with pytest.raises(NotFound, match="no attempts"):
        Run("MyFlow/1", attempt=0)


def test_a_successful_run(here: GitRepo) -> None:
    """State, times, commit and ids of a run that reached its end."""
    make_run(here)
    run = Run("MyFlow/1")
    assert (run.status, run.successful, run.finished, run.user) == ("done", True, True, "ada")
    assert run.commit == here.git("rev-parse", "refs/runs/MyFlow/1")
    assert run.uid == here.git("rev-list", "--max-parents=0", "runs/MyFlow/1")
    assert isinstance(run.created_at, datetime)
    assert run.created_at.tzinfo is None
    assert run.finished_at is not None
    assert timedelta(0) <= run.finished_at - run.created_at < timedelta(minutes=1)
    assert run.created_at == next(iter(Flow("MyFlow"))).created_at
    assert (run.origin_pathspec, run.trigger) == (None, None)
    assert run.parent == Flow("MyFlow")
    assert run.path_components == ["MyFlow", "1"]


NAMED = """
from gitflowrun import FlowSpec, step

class Named(FlowSpec):
    @step
    def start(self):
        self.next(self.last)

    @step(end=True)
    def last(self):
        self.x = 5

if __name__ == "__main__":
    Named()
"""


def test_the_end_may_have_another_name(here: GitRepo) -> None:
    """The end task is that of the step which the flow marks as its end."""
    here.write("named.py", NAMED)
    assert here.flow("named.py", "run").code == 0
    run = Run("Named/1")
    assert run.end_task is not None
    assert run.end_task.parent.id == "last"
    assert run.data is not None
    assert run.data.x == 5
    assert run._graph_endpoints == ("start", "last")


def test_a_failed_run(here: GitRepo) -> None:
    """A run that failed is neither successful nor finished, and has no data."""
    make_failed_run(here)
    for run in (Run("MyFlow/1"), Flow("MyFlow").latest_run):
        assert run is not None
        assert (run.status, run.successful, run.finished) == ("failed", False, False)
        assert (run.finished_at, run.data, run.end_task) == (None, None, None)


def test_a_running_run_grows(here: GitRepo) -> None:
    """An object made while the run had no task sees the ones that end later."""
    with start(here) as writer:
        run = Run("MyFlow/1")
        assert (list(run), run.data, run.status) == ([], None, "running")
        with pytest.raises(KeyError, match="has no step 'start'"):
            run["start"]
        writer.commit(sample_tasks(writer.identity).done[:2])
        assert [step.id for step in run] == ["start"]
        writer.commit([], status=Status.INTERRUPTED)
    assert run.status == "interrupted"


def test_a_dead_run_says_so(here: GitRepo) -> None:
    """A run whose process is gone without a word does not pretend to be running."""
    start(here).close()
    assert Run("MyFlow/1").status == "interrupted"
    assert not Run("MyFlow/1").finished


def test_steps_come_last_first_without_private_ones(here: GitRepo) -> None:
    """Iteration follows the graph backwards; `_parameters` is only found by name."""
    make_run(here)
    run = Run("1")
    assert [step.id for step in run] == ["end", "join", "train", "start"]
    assert [step.id for step in run.steps()] == [step.id for step in run]
    assert list(run.steps("no such tag")) == []
    assert "train" in run
    assert "_parameters" in run
    assert "Train" not in run
    with pytest.raises(KeyError) as caught:
        run["trian"]
    assert caught.value.hint == "did you mean train?"  # type: ignore[attr-defined]


def test_data_is_that_of_the_end(here: GitRepo) -> None:
    """Artifacts of the end task, inherited ones and parameters included."""
    make_run(here, result={"best": [1, 2]})
    run = Run("1")
    assert run.data is not None
    assert run.data.result == {"best": [1, 2]}
    assert run.data.alpha == 0.5
    assert run.end_task == run["end"].task


def test_tags_are_those_of_now(here: GitRepo) -> None:
    """Tags given through one object, or by git, show in all others, steps and tasks included."""
    make_run(here, tags=["first"])
    run, other = Run("1"), Run("1")
    (listed,) = Flow("MyFlow")
    step = run["start"]
    assert run.user_tags == {"first"}
    assert run.system_tags == {"user:ada", "runtime:dev", "python_version:3.11.7"}
    run.add_tag("second")
    assert step.task is not None
    for part in (run, other, listed, step, step.task, step.task["items"]):
        assert part.user_tags == {"first", "second"}
        assert part.tags == run.user_tags | run.system_tags
        assert isinstance(part.tags, frozenset)
    assert "runs/MyFlow/second/1" in here.git("tag", "-l")


def test_tagging_changes_nothing_else(here: GitRepo) -> None:
    """Time, order and commit of a run stay what they are when it is tagged."""
    make_run(here)
    make_run(here)
    run = Run("1")
    before = (run.created_at, run.commit, Flow("MyFlow").latest_run)
    run.add_tag("x")
    assert (run.created_at, run.commit, Flow("MyFlow").latest_run) == before


@pytest.mark.parametrize("tag", [5, None, [5], {None: 1}, object()])
def test_tags_of_a_wrong_type_are_tagging_errors(here: GitRepo, tag: Any) -> None:
    """Whatever takes a tag refuses what is none by an error of ours that names it; nothing changes."""
    make_run(here)
    run = Run("MyFlow/1")
    calls: list[Callable[[], object]] = [
        lambda: run.add_tag(tag), lambda: run.remove_tags(tag), lambda: run.replace_tag("a", tag),
        lambda: run.has_tag(tag), lambda: list(run.steps(tag)), lambda: list(Flow("MyFlow").runs(tag)),
        lambda: list(run["start"].tasks(tag)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TaggingError, match="not text"):
            call()
    assert run.user_tags == set()


def test_all_ways_to_tag(here: GitRepo) -> None:
    """Singular and plural forms take one tag or many; replacing is one change."""
    make_run(here)
    run = Run("1")
    run.add_tag("a")
    run.add_tag(["b", "c"])
    run.add_tags({"d"})
    run.add_tag(b"bytes")
    assert run.user_tags == {"a", "b", "c", "d", "bytes"}
    run.remove_tag("a")
    run.remove_tag(["b", "not there"])
    run.remove_tags(["bytes"])
    assert run.user_tags == {"c", "d"}
    run.replace_tag("c", "e")
    run.replace_tags(["d", "e"], ["f"])
    run.replace_tag(["f"], ["g", "ünï cödé / with spaces"])
    assert run.user_tags == {"g", "ünï cödé / with spaces"}


def test_a_tag_is_moved(here: GitRepo) -> None:
    """It names one run of the flow then, and all objects know at once."""
    for _ in range(3):
        make_run(here, tags=["prod"])
    first, second = Run("1"), Run("2")
    assert "prod" in first.user_tags
    assert second.move_tag("prod") == ("MyFlow/1", "MyFlow/3")
    assert first.user_tags == frozenset()
    assert second.user_tags == {"prod"}
    assert Run("MyFlow/prod").id == "2"
    with pytest.raises(TaggingError):
        second.move_tag("user:ada")


@pytest.mark.parametrize("wrong", ["", "x" * 501, 5, b"\xff"])
def test_tags_that_cannot_be(here: GitRepo, wrong: object) -> None:
    """Empty, overlong and non-text tags are refused, and nothing is changed."""
    make_run(here)
    run = Run("1")
    with pytest.raises(TaggingError):
        run.replace_tags([], ["fine", wrong])  # type: ignore[list-item]
    assert run.user_tags == frozenset()


def test_system_tags_stay(here: GitRepo) -> None:
    """Adding a system tag is passed over; removing one is refused with the whole change."""
    make_run(here, tags=["x"])
    run = Run("1")
    run.add_tag("user:ada")
    assert run.user_tags == {"x"}
    with pytest.raises(TaggingError, match="user:ada"):
        run.remove_tags(["x", "user:ada"])
    assert run.user_tags == {"x"}


def test_no_tag_at_all_is_an_error(here: GitRepo) -> None:
    """A change without a tag is a mistake, as in Metaflow."""
    make_run(here)
    with pytest.raises(TaggingError, match="no tag was given"):
        Run("1").add_tag([])


def test_a_resumed_run_names_its_origin(here: GitRepo) -> None:
    """`origin_pathspec` is the run it was made from."""
    make_resumed_run(here, make_run(here))
    assert Run("2").origin_pathspec == "MyFlow/1"


def test_runs_are_equal_when_they_are_the_same(here: GitRepo) -> None:
    """Two objects of one run are equal and hash alike; its text is how to make it."""
    make_run(here)
    make_run(here)
    assert Run("MyFlow/1") == Run("1") == Flow("MyFlow")["1"]
    assert Run("1") != Run("2")
    assert len({Run("1"), Run("MyFlow/1"), Flow("MyFlow")["1"]}) == 1
    assert eval(repr(Run("1"))) == Run("1")


def test_notebooks_show_runs(here: GitRepo) -> None:
    """Flow, run and task show themselves as tables, everything escaped."""
    make_run(here, tags=["<b>bold</b>"])
    run = Run("1")
    assert run.end_task is not None
    for page in (Flow("MyFlow")._repr_html_(), run._repr_html_(), run.end_task._repr_html_()):
        assert page.startswith("<p><b>")
        assert "<table>" in page
    assert "&lt;b&gt;bold" in run._repr_html_()
    assert "<td>train</td><td>2</td>" in run._repr_html_()
    assert "_parameters" not in run._repr_html_()
    assert not re.search(r"<b>bold", run._repr_html_())
