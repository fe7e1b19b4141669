"""Runs as a table: what is known of every run, parameters, metrics; nothing that needs unpickling."""

from __future__ import annotations

import sys
from unittest import mock

import pytest

from gitflowrun import Flow
from gitflowrun.client.flow import rows
from gitflowrun.errors import UsageError
from tests.client.samples import Pickled, make_failed_run, make_run
from tests.helpers.repos import GitRepo


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


def test_without_pandas_there_is_a_hint(here: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    make_run(here)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas") as caught:
        Flow("MyFlow").to_pandas()
    assert "pip install" in (caught.value.hint or "")
