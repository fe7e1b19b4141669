"""Namespaces: a fresh process sees all runs, a namespace only those with its tag; objects remember theirs."""

from __future__ import annotations

import pickle

import pytest

from gitflowrun import Flow, Metaflow, Run, Task, default_namespace, get_namespace, namespace
from gitflowrun.errors import NamespaceMismatch, NotFound, TaggingError
from tests.client.samples import make_run
from tests.helpers.repos import GitRepo


@pytest.fixture
def shared(here: GitRepo) -> GitRepo:
    """A repository with a run of ada's, and one of bob's with a tag."""
    make_run(here)
    make_run(here, user="bob", tags=["nightly"])
    return here


def test_a_fresh_process_sees_every_run(shared: GitRepo) -> None:
    """Nothing is hidden before somebody asks for it; also without a repository."""
    assert shared.path
    assert get_namespace() is None
    assert [run.id for run in Flow("MyFlow")] == ["2", "1"]


def test_the_users_namespace(shared: GitRepo) -> None:
    """`default_namespace()` is `user:<name>`, and other people's runs are outside of it."""
    assert shared.path
    assert default_namespace() == get_namespace() == "user:ada"
    assert [run.id for run in Flow("MyFlow")] == ["1"]
    assert Flow("MyFlow").latest_run == Run("MyFlow/1")
    with pytest.raises(NamespaceMismatch, match="MyFlow/2 is not in the namespace 'user:ada'"):
        Run("MyFlow/2")
    for kind in (KeyError, NamespaceMismatch):
        with pytest.raises(kind, match="namespace"):
            Flow("MyFlow")["2"]
    assert "2" not in Flow("MyFlow")


def test_any_tag_is_a_namespace(shared: GitRepo) -> None:
    """A namespace is a tag that runs must have, given by people or by the system."""
    assert shared.path
    assert namespace("nightly") == "nightly"
    assert [run.id for run in Flow("MyFlow")] == ["2"]
    namespace("runtime:dev")
    assert [run.id for run in Flow("MyFlow")] == ["2", "1"]
    assert namespace(None) is None
    assert [run.id for run in Flow("MyFlow")] == ["2", "1"]
    with pytest.raises(TaggingError):
        namespace("")


def test_a_flow_is_in_a_namespace_when_one_of_its_runs_is(shared: GitRepo) -> None:
    """Another namespace makes the flow itself a mismatch, which is also a NotFound."""
    assert shared.path
    namespace("user:carol")
    for wrong in (lambda: Flow("MyFlow"), lambda: Task("MyFlow/1/start/1")):
        with pytest.raises(NamespaceMismatch):
            wrong()
    with pytest.raises(NotFound):
        Flow("MyFlow")
    assert list(Metaflow()) == []
    assert "MyFlow" not in Metaflow()
    for kind in (KeyError, NamespaceMismatch):
        with pytest.raises(kind):
            Metaflow()["MyFlow"]


def test_the_check_can_be_left_out(shared: GitRepo) -> None:
    """`_namespace_check=False` opens what lies outside, and says that it does."""
    assert shared.path
    namespace("user:carol")
    run = Run("MyFlow/1", _namespace_check=False)
    assert not run.is_in_namespace()
    assert run["start"].task is not None


def test_objects_remember_their_namespace(shared: GitRepo) -> None:
    """What was made in a namespace stays in it, children and pickles included."""
    assert shared.path
    namespace("user:bob")
    flow = Flow("MyFlow")
    kept = pickle.dumps(flow)
    namespace("user:ada")
    assert [run.id for run in flow] == ["2"]
    assert flow["2"]["start"].is_in_namespace()
    assert [run.id for run in pickle.loads(kept)] == ["2"]


@pytest.mark.parametrize(("setting", "expected"), [("user", "user:ada"), ("team", "team")])
def test_the_start_can_be_set(here: GitRepo, setting: str, expected: str) -> None:
    """`runs.namespace` in git config says where processes start; the environment overrules it."""
    here.git("config", "runs.namespace", setting)
    assert get_namespace() == expected
    assert namespace("other") == get_namespace() == "other"
    assert namespace(None) is get_namespace() is None


def test_the_environment_sets_the_start(here: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """GITFLOWRUN_NAMESPACE overrules git config; empty, it is global; METAFLOW_USER says who we are."""
    here.git("config", "runs.namespace", "team")
    monkeypatch.setenv("METAFLOW_USER", "zoe")
    monkeypatch.setenv("GITFLOWRUN_NAMESPACE", "user")
    assert (
        here.flow("-c", "import gitflowrun; print(gitflowrun.get_namespace())").out == "user:zoe\n"
    )
    monkeypatch.setenv("GITFLOWRUN_NAMESPACE", "")
    assert here.flow("-c", "import gitflowrun; print(gitflowrun.get_namespace())").out == "None\n"
