"""`Flow` and `Metaflow`: the runs there are, newest first, and as a table of plain values."""

from __future__ import annotations

import sys
from unittest import mock

import pytest

from gitflowrun import Flow, Metaflow
from gitflowrun.client.flow import rows
from gitflowrun.errors import InvalidPathspec, NotFound, RepositoryError, UsageError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.runs.runs import Status
from tests.client.samples import Pickled, make_failed_run, make_run, start
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_measured_run


def test_runs_come_newest_first(here: GitRepo) -> None:
    """Iteration yields runs by descending id, across the numbers of other flows."""
    for flow in ("MyFlow", "Other", "MyFlow"):
        make_run(here, flow)
    assert [run.id for run in Flow("MyFlow")] == ["3", "1"]
    assert [run.pathspec for run in Flow("Other")] == ["Other/2"]


def test_a_run_is_found_by_its_id(here: GitRepo) -> None:
    """`flow['1']` is the run; numbers are taken, too; anything else is a KeyError that helps."""
    make_run(here)
    flow = Flow("MyFlow")
    assert flow["1"].pathspec == flow[1].pathspec == "MyFlow/1"
    assert "1" in flow
    assert "2" not in flow
    assert "production" not in flow
    with pytest.raises(KeyError, match="flow MyFlow has no run 2") as caught:
        flow["2"]
    assert caught.value.hint == "its newest run is 1"  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="is not a run id"):
        flow["production"]


def test_the_latest_runs(here: GitRepo) -> None:
    """The newest of all, and the newest that reached its end."""
    make_run(here)
    make_failed_run(here)
    flow = Flow("MyFlow")
    assert flow.latest_run is not None
    assert flow.latest_run.id == "2"
    assert flow.latest_successful_run is not None
    assert flow.latest_successful_run.id == "1"


def test_no_successful_run_is_none(here: GitRepo) -> None:
    """Where no run reached its end, there is no latest successful one."""
    make_failed_run(here)
    assert Flow("MyFlow").latest_successful_run is None


def test_runs_are_filtered_by_tags(here: GitRepo) -> None:
    """`runs` wants all of its tags, user's or system's."""
    make_run(here, tags=["a"])
    make_run(here, tags=["a", "b"], user="bob")
    flow = Flow("MyFlow")
    assert [run.id for run in flow.runs("a")] == ["2", "1"]
    assert [run.id for run in flow.runs("a", "b")] == ["2"]
    assert [run.id for run in flow.runs("user:ada")] == ["1"]
    assert [run.id for run in flow.runs("python_version:3.11.7", "b")] == ["2"]
    assert list(flow.runs("c")) == []


def test_a_flow_is_found_without_git(here: GitRepo) -> None:
    """Whether a flow has runs shows in its own refs: no process lists those of all flows. Damaged ones count."""
    make_run(here)
    make_run(here, "Lost")
    here.git("update-ref", "refs/runs/Gone/@odd", "refs/runs/MyFlow/1")
    with mock.patch.object(Git, "attempt", autospec=True, side_effect=Git.attempt) as asked:
        assert Flow("MyFlow").id == "MyFlow"
    assert not asked.called
    (here.path / ".git/refs/runs/Lost/2").write_text("")
    assert Flow("Lost").id == "Lost"
    with pytest.raises(NotFound, match="no runs of flow 'Gone'"):
        Flow("Gone")


def test_unknown_flows_name_the_nearest(here: GitRepo) -> None:
    """A flow without runs is not found, and the hint has names like it."""
    make_run(here, "TrainFlow")
    with pytest.raises(NotFound, match="no runs of flow 'TrianFlow'") as caught:
        Flow("TrianFlow")
    assert caught.value.hint == "did you mean TrainFlow?"
    for wrong in ("", "MyFlow/1", None):
        with pytest.raises(InvalidPathspec):
            Flow(wrong)  # type: ignore[arg-type]


def test_a_flow_is_as_old_as_its_first_run(here: GitRepo) -> None:
    """Its time is that of its first run; it has no tags, no parent, and stands for itself."""
    make_run(here, tags=["x"])
    make_run(here)
    flow = Flow("MyFlow")
    assert flow.created_at == flow["1"].created_at
    assert (flow.tags, flow.parent, flow.id) == (frozenset(), None, "MyFlow")
    assert flow.path_components == ["MyFlow"]
    assert str(flow) == repr(flow) == "Flow('MyFlow')"


def test_all_flows(here: GitRepo) -> None:
    """`Metaflow()` yields the flows, the one begun last first."""
    make_run(here, "First")
    make_run(here, "Second")
    make_run(here, "First")
    assert Metaflow().flows == list(Metaflow()) == [Flow("Second"), Flow("First")]
    assert Metaflow()["First"] == Flow("First")
    assert "First" in Metaflow()
    assert "Third" not in Metaflow()
    with pytest.raises(KeyError, match="no runs of flow 'Third'"):
        Metaflow()["Third"]


def test_a_listing_asks_git_once(here: GitRepo) -> None:
    """Status, times and tags of all runs come from one look at the refs."""
    for _ in range(5):
        make_run(here, tags=["x"])
    flow = Flow("MyFlow")
    with mock.patch.object(Git, "read", autospec=True, side_effect=Git.read) as asked:
        runs = list(flow)
        assert all(run.successful and run.finished_at for run in runs)
        assert all("x" in run.tags for run in runs)
    assert asked.call_count == 1


def test_the_data_of_a_run_cost_six_objects(here: GitRepo) -> None:
    """Of a listed run neither commit nor INFO is read: trees down to the end task, its record, the payload."""
    stored = make_run(here)
    (run,) = Flow("MyFlow")
    with (
        mock.patch.object(PackReader, "read", autospec=True, side_effect=PackReader.read) as read,
        mock.patch.object(
            PackReader, "read_into", autospec=True, side_effect=PackReader.read_into
        ) as payload,
    ):
        assert run.data is not None
        assert run.data.result == 42
    asked = {call.args[1] for call in read.call_args_list}
    assert len(asked) + payload.call_count == 6
    info = here.git("rev-parse", f"{stored.commit}:INFO")
    assert asked.isdisjoint({stored.commit, Oid.from_hex(info)})


def test_a_running_run_is_looked_at_again(here: GitRepo) -> None:
    """A run found while it ran tells how it ended once it has."""
    with start(here) as writer:
        (run,) = Flow("MyFlow")
        assert (run.status, run.successful, run.finished_at) == ("running", False, None)
        writer.commit([], status=Status.DONE)
    assert (run.status, run.successful, run.finished) == ("done", True, True)
    assert run.finished_at is not None


def test_listing_loads_no_heavy_library(here: GitRepo) -> None:
    """Reading runs, artifacts and tags imports neither pygit2 nor numpy nor pandas."""
    make_run(here, tags=["x"])
    program = (
        "import sys; from gitflowrun import Flow; run = Flow('MyFlow')['1']; "
        "print(run.data.result, run.tags, run.successful, run['join'].task.metadata_dict); "
        "print({'pygit2', 'numpy', 'pandas', 'click', 'asyncio'} & set(sys.modules))"
    )
    done = here.python("-c", program)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "set()"


def test_a_row_for_each_run(here: GitRepo) -> None:
    """Status, times, tags, parameters and the scalars of the end task, newest first."""
    make_run(here, result=0.9, tags=["best"])
    make_failed_run(here)
    failed, done = rows(Flow("MyFlow"))
    assert (done["run_id"], done["status"], done["user"]) == ("1", "done", "ada")
    assert (done["alpha"], done["result"], done["name"], done["tags"]) == (
        0.5,
        0.9,
        "net",
        ("best",),
    )
    assert done["seconds"] >= 0
    assert done["finished_at"] > done["created_at"]
    assert (failed["status"], failed["finished_at"], failed["alpha"]) == ("failed", None, 0.5)
    assert "result" not in failed


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, b"bytes", "x" * 5000, Pickled()])
def test_only_scalars_become_cells(here: GitRepo, value: object) -> None:
    """Containers, long texts and pickles stay out, and nothing is unpickled."""
    make_run(here, result=value)
    (row,) = rows(Flow("MyFlow"))
    assert "result" not in row


def test_numpy_scalars_become_cells(here: GitRepo) -> None:
    """A metric is often a numpy number."""
    numpy = pytest.importorskip("numpy")
    make_run(here, result=numpy.float64(0.25))
    (row,) = rows(Flow("MyFlow"))
    assert row["result"] == 0.25


def test_names_of_columns_do_not_collide(here: GitRepo) -> None:
    """An artifact called like a column of every run gets `data.` in front."""
    make_run(here)
    with mock.patch("gitflowrun.client.flow._cells", return_value=[("status", 3)]):
        (row,) = rows(Flow("MyFlow"))
    assert (row["status"], row["data.status"]) == ("done", 3)


def test_a_data_frame(here: GitRepo) -> None:
    """`to_pandas` filters by tags and keeps the columns in order."""
    pandas = pytest.importorskip("pandas")
    make_run(here, result=1, tags=["keep"])
    make_run(here, result=2)
    frame = Flow("MyFlow").to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns)[:3] == ["run_id", "status", "user"]
    assert list(frame["result"]) == [2, 1]
    assert list(Flow("MyFlow").to_pandas("keep")["run_id"]) == ["1"]
    assert next(iter(Flow("MyFlow").to_pandas("nobody").columns)) == "run_id"


def test_queries(here: GitRepo) -> None:
    """`runs` and `to_pandas` take the queries of `git runs list`, within the flow and the namespace."""
    here.commit()
    make_measured_run(here, {"lr": "0.1"}, {"acc": 0.5})
    make_measured_run(here, {"lr": "0.2"}, {"acc": 0.75}, tags=["keep"])
    make_measured_run(here, {"lr": "0.3"}, {"acc": 0.9}, flow="Other")
    flow = Flow("MyFlow")
    assert [run.id for run in flow.runs(where="acc > 0.4")] == ["2", "1"]
    assert [run.id for run in flow.runs("keep", where="lr < 1")] == ["2"]
    assert [run.id for run in flow.runs(where="acc > 0.8")] == []
    with pytest.raises(UsageError, match="metric or parameter 'ac'"):
        list(flow.runs(where="ac > 1"))
    (first, _) = rows(flow.runs(where="acc > 0"))
    assert first["code_commit"] == here.git("rev-parse", "HEAD")
    assert (first["dirty"], first["origin"]) == (False, None)


def test_notebooks_show_what_tells_runs_apart(here: GitRepo) -> None:
    """Parameters that differ and metrics are columns; what is equal is none, and all is escaped."""
    make_measured_run(here, {"lr": "0.1", "seed": "1"}, {"acc": 0.123456789})
    make_measured_run(here, {"lr": "<b>", "seed": "1"}, {"note": "a & b"})
    page = Flow("MyFlow")._repr_html_()
    heads = "".join(f"<th>{it}</th>" for it in ("tags", "lr", "note", "acc"))
    assert heads in page
    assert "<td>&lt;b&gt;</td><td>a &amp; b</td><td></td>" in page
    assert "<td>0.1</td><td></td><td>0.123457</td>" in page
    page = Flow("MyFlow")["1"]._repr_html_()
    assert "<tr><td>lr</td><td>0.1</td></tr><tr><td>seed</td><td>1</td></tr>" in page
    assert "<pre>runtime:dev user:ada</pre>" in page


def test_chosen_columns_of_a_data_frame(here: GitRepo) -> None:
    """In the order in which they are asked for; one that no run has is empty."""
    pytest.importorskip("pandas")
    make_run(here, result=1)
    frame = Flow("MyFlow").to_pandas(columns=["result", "nothing", "run_id"], where="done")
    assert list(frame.columns) == ["result", "nothing", "run_id"]
    assert list(frame["result"]) == [1]


def test_without_pandas_there_is_a_hint(here: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    make_run(here)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas") as caught:
        Flow("MyFlow").to_pandas()
    assert "pip install" in (caught.value.hint or "")


def test_a_damaged_run_has_its_place(here: GitRepo) -> None:
    """A loop over runs meets it as damaged, and goes on; what else is asked of it, and its name, is an error."""
    for number in range(3):
        make_run(here, tags=["kept"] if number == 1 else [])
    ref = here.path / ".git/refs/runs/MyFlow/2"
    kept = ref.read_text()
    ref.write_text("")
    runs = list(Flow("MyFlow"))
    assert [run.id for run in runs] == ["3", "2", "1"]
    assert [run.status for run in runs] == ["done", "damaged", "done"]
    assert [run.successful for run in runs] == [True, False, True]
    for what in ("created_at", "user", "data", "uid"):
        with pytest.raises(RepositoryError, match="MyFlow/2 is damaged"):
            getattr(runs[1], what)
    assert [run.id for run in Flow("MyFlow").runs("kept")] == ["2"]
    assert "<td>2</td><td>damaged</td>" in Flow("MyFlow")._repr_html_()
    with pytest.warns(UserWarning, match=r"^MyFlow/2 is damaged and without values; "):
        frame = Flow("MyFlow").to_pandas()
    assert list(frame["run_id"]) == ["3", "2", "1"]
    assert list(frame["status"]) == ["done", "damaged", "done"]
    assert frame["tags"][1] == ("kept",)
    with pytest.raises(RepositoryError, match="MyFlow/2 is damaged"):
        Flow("MyFlow")["2"]
    ref.write_text(kept)
    assert [run.id for run in Flow("MyFlow")] == ["3", "2", "1"]
