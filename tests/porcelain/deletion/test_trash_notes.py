"""Notes and reflogs of runs that go to the trash or come back, also where somebody else writes them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from gitflowrun.errors import RefConflict, RepositoryError
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.porcelain.deletion.trash import Trash
from gitflowrun.runs.runs import RunStore
from tests.helpers.clones import ids, refs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo
from tests.porcelain.deletion.removing import note, rm


@pytest.mark.parametrize("conflicts", [1, 100])
def test_somebody_else_writes_a_note_at_that_moment(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """It is tried again; a run is removed in any case, and nothing stays kept."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    repo.git("notes", "--ref=runs", "add", "-m", "of a commit", "HEAD")
    transaction, left = Refs.transaction, [None] * conflicts

    def late(self: Refs, updates: Sequence[RefUpdate]) -> None:
        if left and any(update.name == "refs/notes/runs" for update in updates):
            left.pop()
            raise RefConflict("somebody was faster")
        transaction(self, updates)

    monkeypatch.setattr(Refs, "transaction", late)
    rm(repo, "1")
    assert (note(repo, uid) == "") is (conflicts == 1)
    assert note(repo, "HEAD") == "of a commit"
    assert ids(repo).keys() == {"Other/2"}
    assert not [*(repo.path / ".git/objects/pack").glob("*.keep")]


def test_notes_in_folders(repo: GitRepo) -> None:
    """Git puts notes there by their first digits where there are many: such a one goes and comes back as well."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    rows = [f"100644 blob {blob}\t{name[2:]}\0" for blob, name in _noted(repo)]
    below = repo.git("mktree", "-z", stdin="".join(rows).encode())
    tree = repo.git("mktree", stdin=f"040000 tree {below}\t{uid[:2]}\n".encode())
    repo.git("update-ref", "refs/notes/runs", repo.git("commit-tree", tree, "-m", "in a folder"))
    assert note(repo, uid) == "a good one"
    rm(repo, "1")
    assert _noted(repo) == []
    assert repo.call("restore", "1").code == 0
    assert note(repo, uid) == "a good one"


def _noted(repo: GitRepo) -> list[tuple[str, str]]:
    """Blobs of notes on runs, and what each is on."""
    pairs = (line.split() for line in repo.git("notes", "--ref=runs", "list").splitlines())
    return [(blob, name) for blob, name in pairs]


def test_a_run_does_not_come_back_without_its_note(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others write notes each time, it stays in the trash; a while later it comes back with it."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    rm(repo, "1")
    transaction = Refs.transaction

    def late(self: Refs, updates: Sequence[RefUpdate]) -> None:
        if any(update.name == "refs/notes/runs" for update in updates):
            raise RefConflict("somebody was faster")
        transaction(self, updates)

    with monkeypatch.context() as patched:
        patched.setattr(Refs, "transaction", late)
        done = repo.call("restore", "1")
    assert (done.code != 0, "others were writing notes" in done.err) == (True, True)
    assert ids(repo).keys() == {"Other/2"}
    assert repo.call("restore", "1").code == 0
    assert note(repo, uid) == "a good one"


@pytest.mark.parametrize("command", ["restore", "purge"])
@pytest.mark.sample(1)
def test_a_disk_that_takes_no_note(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Then a run stays in the trash with its note, and a purge says that the note is there still."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    rm(repo, "1")
    if command == "purge":  # somebody has written another one since
        repo.git("notes", "--ref=runs", "add", "-m", "a new one", uid)
    before = refs(repo, "refs/runs-trash")

    full = Mock(side_effect=RepositoryError("cannot write: No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(PackStore, "write", full)
        done = repo.call(command, "1")
    assert done.code == 128
    assert "No space left on device" in done.err
    if command == "purge":
        assert "`git notes --ref=refs/notes/runs prune`" in done.err
        repo.git("notes", "--ref=refs/notes/runs", "prune")
        assert note(repo, uid) == ""
    else:
        assert refs(repo, "refs/runs-trash") == before
        assert repo.call("restore", "1").code == 0
        assert note(repo, uid) == "a good one"


@pytest.mark.parametrize("verb", ["rm --force", "restore"])
def test_a_new_note_stays(repo: GitRepo, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Somebody writes one while the one before is taken away or put back."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    write = PackStore.write

    def late(self: PackStore, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(PackStore, "write", write)
        repo.git("notes", "--ref=runs", "add", "--force", "-m", "a new one", uid)
        return write(self, *args, **options)

    if verb == "restore":
        rm(repo, "1")
    monkeypatch.setattr(PackStore, "write", late)
    assert repo.call(*verb.split(), "1").code == 0
    assert note(repo, uid) == "a new one"


def test_a_note_that_was_written_meanwhile_stays(repo: GitRepo) -> None:
    """A run that is restored takes nobody's words away."""
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    rm(repo, "1")
    repo.git("notes", "--ref=runs", "add", "-m", "a new one", uid)
    assert repo.call("restore", "1").code == 0
    assert note(repo, uid) == "a new one"
    rm(repo, "2")
    before = repo.git("rev-parse", "refs/notes/runs")
    assert repo.call("restore", "2").code == 0
    assert repo.git("rev-parse", "refs/notes/runs") == before


def test_reflogs_of_runs_that_move(repo: GitRepo) -> None:
    """A run that has moved has one, which holds nothing once it goes, and which a failure does not leave behind."""
    repository, logs = open_repo(repo), repo.path / ".git" / "logs" / "refs"
    run = RunStore(repository).get("MyFlow", "1")

    def logged() -> list[str]:
        """The runs that reflogs hold."""
        found = repo.git("rev-list", "--reflog", "--no-walk").splitlines()
        return [oid for oid in found if oid == str(run.commit)]

    repo.git("update-ref", "refs/runs/MyFlow/1", str(run.identity.uid))
    with pytest.raises(RefConflict):
        Trash(repository).put([run])
    assert not (logs / "runs-trash").exists()
    repo.git("update-ref", "refs/runs/MyFlow/1", str(run.commit))
    rm(repo, "1")
    assert logged() == [str(run.commit)]
    repo.call("restore", "1")
    assert [*(logs / "runs-trash").iterdir()] == []
    assert logged() == [str(run.commit)]
    freed = json.loads(repo.call("rm", "--force", "--json", "1").out)
    assert freed["objects"] > 0
    assert "removed for good" in repo.call("purge", "--force", "1").out
    assert [*(logs / "runs-trash").iterdir()] == []
    assert logged() == []
    repo.fsck()


def test_reflogs_of_who_shares_a_repository(repo: GitRepo) -> None:
    """They are the group's where the repository is, whatever the umask: somebody else may restore the run."""
    repo.git("config", "core.sharedRepository", "group")
    old = os.umask(0o077)
    try:
        rm(repo, "1")
    finally:
        os.umask(old)
    logs = [it for it in (repo.path / ".git/logs/refs/runs-trash").rglob("*") if it.is_file()]
    assert logs
    assert [it.name for it in logs if it.stat().st_mode & 0o060 != 0o060] == []


def test_reflogs_that_lie_elsewhere(repo: GitRepo, tmp_path: Path) -> None:
    """Where links lead out of the repository, nothing is written or emptied there."""
    outside = tmp_path / "outside"
    (outside / "runs").mkdir(parents=True)
    (repo.path / ".git" / "logs" / "refs" / "runs-trash").symlink_to(outside)
    (repo.path / ".git" / "logs" / "refs" / "runs").symlink_to(outside / "runs")
    rm(repo, "1")
    assert [path.name for path in outside.rglob("*")] == ["runs"]
    assert "restored MyFlow/1" in repo.call("restore", "1").out
    assert [path.name for path in outside.rglob("*")] == ["runs"]
