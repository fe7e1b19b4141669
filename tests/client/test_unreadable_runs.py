"""A stranger's run that can't be read is left out of what is said of all runs, and nothing else is."""

from __future__ import annotations

import pytest

from gitflowrun import Flow, Run, metadata, namespace
from gitflowrun.cli.git_runs.main import main
from gitflowrun.errors import NotFound
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run
from tests.security.forge import Forge, Forgery, info


@pytest.fixture
def both(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with an honest run, and one whose INFO is no record."""
    make_run(repo, tags=["good"])
    forged = Forgery(info={**info(), "flow_name": "MyFlow", "run_id": "5"}, raw_info=b"no record")
    Forge(repo).write(forged, "refs/runs/MyFlow/5")
    monkeypatch.chdir(repo.path)
    metadata(str(repo.path))
    return repo


@pytest.mark.usefixtures("both")
def test_the_client_goes_on() -> None:
    """Loops in a namespace, tables and data frames warn, and have the other runs."""
    namespace("user:ada")
    with pytest.warns(UserWarning, match="MyFlow/5 is damaged and left out"):
        assert [run.id for run in Flow("MyFlow")] == ["1"]
    with pytest.warns(UserWarning, match="MyFlow/5"):
        assert "<td>1</td>" in Flow("MyFlow")._repr_html_()
    namespace(None)
    assert [run.id for run in Flow("MyFlow").runs("good")] == ["1"]
    with pytest.warns(UserWarning, match="MyFlow/5"):
        assert list(Flow("MyFlow").to_pandas()["run_id"]) == ["1"]


@pytest.mark.parametrize("flow", ["a-b", "0x", "a.b", "$(id)"])
def test_refs_that_no_flow_can_have(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, flow: str
) -> None:
    """What lies below a name that no class can have is no run, for an address neither, nor for the client."""
    make_run(repo)
    repo.git(
        "update-ref", f"refs/runs/{flow}/7", repo.git("rev-parse", "refs/runs/MyFlow/1").strip()
    )
    monkeypatch.chdir(repo.path)
    metadata(str(repo.path))
    namespace(None)
    with pytest.raises(NotFound):
        Run(f"{flow}/7")
    assert main(["show", f"{flow}/7"]) == 128
