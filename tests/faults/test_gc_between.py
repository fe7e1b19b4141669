"""The user's own gc takes what nothing reaches yet, between two steps of ours that rely on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import RepositoryError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.deletion.trash import Trash
from gitflowrun.porcelain.transfer.sync import Outcome
from gitflowrun.runs.maintenance import ensure_dedup_index
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import GroupObjects
from gitflowrun.runs.write import RunWriter
from tests.faults.test_failpoints import RUNS
from tests.helpers.clones import clone, get, ids, outcomes, refs, send
from tests.helpers.flows import background, eventually
from tests.helpers.packs import blob, noise
from tests.helpers.repacks import (
    add_bulk,
    missing,
    stopped_while_listing,
    stopped_while_writing,
)
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import digest, finished_task, make_run, open_repo, start_run, with_packs

PAYLOAD = noise(100_000, 7)


@pytest.fixture
def people(tmp_path: Path) -> tuple[GitRepo, GitRepo]:
    """A hub with a run, and Ada's clone, which lacks it and in which a repack takes a while."""
    make_repo(tmp_path / "first")
    GitRepo(tmp_path).git("clone", "-q", "--bare", "first", "hub")
    hub = GitRepo(tmp_path / "hub")
    ada, bob = clone(hub, "ada"), clone(hub, "bob")
    make_run(bob)
    send(bob)
    add_bulk(ada, 1 << 20)
    return hub, ada


def test_what_was_fetched_is_kept(tmp_path: Path, people: tuple[GitRepo, GitRepo]) -> None:
    """A gc that begins before any ref names what has come, and ends at any time, leaves it."""
    hub, ada = people
    go, there = tmp_path / "go", tmp_path / "there"
    points = f"ref.claimed=tell:{there}; ref.claimed=pause:{go}"
    fetching = background(ada, *RUNS, "fetch", env={"GITFLOWRUN_FAILPOINTS": points})
    assert eventually(there.exists)
    with stopped_while_writing(ada, "repack", "-a", "-d", "-f"):
        go.touch()
        assert eventually(lambda: ids(ada) == ids(hub))
    ada.git("gc", "-q", "--prune=now")
    assert fetching.wait() == 0, fetching.text()
    assert ids(ada) == ids(hub)
    ada.fsck()


def test_what_was_here_already_is_kept(people: tuple[GitRepo, GitRepo]) -> None:
    """A repack that began before a fetch takes what belongs to no ref, so the fetch does not rely on finding it."""
    hub, ada = people
    get(ada)
    for ref in [*refs(ada), *refs(ada, "refs/runs-remotes/")]:
        ada.git("update-ref", "-d", ref)
    with stopped_while_writing(ada, "repack", "-a", "-d", "-f"):
        assert outcomes(get(ada)) == [Outcome.NEW]
    assert missing(ada) == []
    ada.fsck()
    assert ids(ada) == ids(hub)


def _stored(repository: Repository, run: RunWriter, name: str) -> None:
    """A task that writes the payload."""
    pack = repository.packs.write([blob(PAYLOAD)])
    run.commit([with_packs(finished_task(run.identity, name, {"x": PAYLOAD}), pack.name)])


def _found(repository: Repository) -> bool:
    """Whether the payload is found stored."""
    index = DedupIndex(repository.state_dir, repository.objects)
    return bool(index.lookup([digest(PAYLOAD)]))


@pytest.mark.parametrize("moment", ["after the look-up", "before the last look"])
def test_a_payload_that_was_found_is_gone(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nothing is published that relies on it; stored anew, it is."""
    repository = open_repo(repo)
    ensure_dedup_index(repository)
    with start_run(repo, "F") as first:
        _stored(repository, first, "start/1")
    repo.git(
        "update-ref", "-d", "refs/runs/F/1"
    )  # by the user's git: the payload stays, and nothing reaches it
    with start_run(repo, "F") as run:
        before = refs(repo)
        assert _found(repository)
        if moment == "after the look-up":
            repo.git("gc", "-q", "--prune=now")
        else:
            look = GroupObjects.check_again
            monkeypatch.setattr(
                GroupObjects,
                "check_again",
                lambda group: (repo.git("gc", "-q", "--prune=now"), look(group)),
            )
        task = finished_task(run.identity, "start/1", {"x": PAYLOAD})
        with pytest.raises(RepositoryError, match="is not in the repository"):
            run.commit([with_packs(task)])
        monkeypatch.undo()
        assert refs(repo) == before
        assert not _found(repository)
        _stored(repository, run, "start/1")
        run.commit([], status=Status.DONE)
    repo.fsck()
    assert repo.call("fsck", "--read-data").code == 0


def test_a_payload_that_a_run_has_is_not_taken(repo: GitRepo) -> None:
    """Where another run reaches it, a gc at any moment leaves what was found."""
    repository = open_repo(repo)
    ensure_dedup_index(repository)
    with start_run(repo, "F") as first:
        _stored(repository, first, "start/1")
    with start_run(repo, "F") as run:
        assert _found(repository)
        repo.git("gc", "-q", "--prune=now")
        run.commit([with_packs(finished_task(run.identity, "start/1", {"x": PAYLOAD}))])
    repo.git("update-ref", "-d", "refs/runs/F/1")
    repo.git("gc", "-q", "--prune=now")
    assert repo.call("fsck", "--read-data").code == 0


@pytest.mark.parametrize("place", ["p", "runs-x", "zz"])
@pytest.mark.parametrize("is_restored", [False, True], ids=["rm", "restore"])
@pytest.mark.sample(3)
def test_a_run_that_moves_while_refs_are_listed(
    repo: GitRepo, place: str, is_restored: bool
) -> None:
    """A repack that has read the place a run comes to, and not yet the one it leaves, takes nothing of it."""
    uid = make_run(repo, tags=["best"]).uid
    repo.git("notes", "--ref=runs", "add", "-m", "a good one", str(uid))
    repository = open_repo(repo)
    trash, run = Trash(repository), RunStore(repository).get("MyFlow", "1")
    if is_restored:
        trash.put([run])
    repo.git("repack", "-a", "-d", "-q")
    repo.git("pack-refs", "--all")
    with stopped_while_listing(repo, place, "repack", "-a", "-d", "-q"):
        if is_restored:
            trash.restore(trash.runs())
        else:
            trash.put([run])
    assert missing(repo) == []
    repo.fsck()
    assert repo.call("fsck", "--read-data").code == 0
    if is_restored:
        assert repo.git("notes", "--ref=runs", "show", str(uid)) == "a good one"
