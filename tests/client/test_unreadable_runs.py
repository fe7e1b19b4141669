"""A stranger's run that can't be read is said to be damaged, and keeps nobody from the others."""

from __future__ import annotations

import pytest

from gitflowrun import Flow, Run, metadata, namespace
from gitflowrun.cli.git_runs.main import main
from gitflowrun.errors import CorruptRecord, NotFound
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
    """Loops in a namespace, tables and data frames have the other runs, and this one where nobody knows whose it is."""
    namespace("user:ada")
    assert [run.id for run in Flow("MyFlow")] == ["5", "1"]
    with pytest.raises(CorruptRecord, match="INFO of MyFlow/5"):
        _ = next(iter(Flow("MyFlow"))).system_tags
    assert "<td>1</td>" in Flow("MyFlow")._repr_html_()
    with pytest.warns(UserWarning, match="MyFlow/5 is damaged and not looked at"):
        assert [run.id for run in Flow("MyFlow").runs("runtime:dev")] == ["1"]
    namespace(None)
    assert [run.id for run in Flow("MyFlow").runs("good")] == ["1"]
    with pytest.warns(UserWarning, match="MyFlow/5"):
        frame = Flow("MyFlow").to_pandas()
    assert list(frame["run_id"]) == ["5", "1"]
    assert frame["status"][0] == "damaged"


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
