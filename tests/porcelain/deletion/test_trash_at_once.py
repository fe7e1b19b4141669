"""Who restores runs beside those who purge them: one of the two does it, and the other says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.helpers.clones import ids, refs, tags
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run

if TYPE_CHECKING:
    from pathlib import Path

REMOVAL, TRASH = (f"gitflowrun.porcelain.deletion.{it}.reached" for it in ("removal", "trash"))
Meanwhile = Callable[[str, str, Callable[[], object]], None]


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with a run and two in the trash, the first of which has a tag and a note."""
    found = make_repo(tmp_path / "r")
    first = make_run(found, tags=["best"])
    make_run(found)
    make_run(found)
    found.git("notes", "--ref=runs", "add", "-m", "a good one", str(first.uid))
    assert found.call("rm", "--force", "1", "2").code == 0
    return found


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something done once when a failpoint of a module is reached."""

    def at(module: str, point: str, action: Callable[[], object]) -> None:
        def reached(name: str) -> None:
            if name == point:
                monkeypatch.setattr(module, lambda _: None)
                action()

        monkeypatch.setattr(module, reached)

    return at


def note(repo: GitRepo, uid: str) -> str:
    """The note on a run."""
    return repo.git("notes", "--ref=runs", "show", uid, check=False)


def test_gc_leaves_what_is_restored_meanwhile(repo: GitRepo, meanwhile: Meanwhile) -> None:
    """It removes the others, and ends well; the run is here with all that it had, and stays after a gc."""
    meanwhile(REMOVAL, "purge.listed", lambda: repo.call("restore", "1"))
    done = repo.call("gc", "--prune=now")
    assert (done.code, done.err) == (0, "")
    assert ({*ids(repo)}, refs(repo, "refs/runs-trash")) == ({"MyFlow/1", "MyFlow/3"}, {})
    assert repo.call("gc", "--prune=now").code == 0
    assert tags(repo) == {"MyFlow/1": ("best",)}
    assert note(repo, ids(repo)["MyFlow/1"]) == "a good one"
    assert not (repo.path / ".git/gitflowrun-removed").read_text().count("MyFlow/1\n")
    repo.fsck()
    assert repo.call("fsck").code == 0


def test_a_purge_of_what_is_restored_meanwhile(repo: GitRepo, meanwhile: Meanwhile) -> None:
    """It does nothing, and says why; no word of refs that are to be put back."""
    meanwhile(REMOVAL, "purge.listed", lambda: repo.call("restore", "1"))
    done = repo.call("purge", "--force", "1", "2")
    assert done.code == 128
    assert "MyFlow/1 was restored by somebody else meanwhile, so nothing was purged" in done.err
    assert "update-ref" not in done.err
    assert {*ids(repo)} == {"MyFlow/1", "MyFlow/3"}
    assert repo.call("restore", "2").code == 0
    assert repo.call("fsck").code == 0


def test_a_purge_of_what_is_purged_meanwhile(repo: GitRepo, meanwhile: Meanwhile) -> None:
    """The second one says so."""
    meanwhile(REMOVAL, "purge.listed", lambda: repo.call("gc", "--prune=now"))
    done = repo.call("purge", "--force", "1")
    assert done.code == 128
    assert "MyFlow/1 was purged by somebody else meanwhile" in done.err
    assert {*ids(repo)} == {"MyFlow/3"}


def test_a_restore_of_what_is_purged_meanwhile(repo: GitRepo, meanwhile: Meanwhile) -> None:
    """It puts nothing back, also no note, and says why."""

    def purge() -> None:  # as it does, which waits for no lock of ours
        for name in refs(repo, "refs/runs-trash"):
            repo.git("update-ref", "-d", name)

    meanwhile(TRASH, "restore.planned", purge)
    done = repo.call("restore", "1")
    assert done.code == 128
    assert "MyFlow/1 was purged by somebody else meanwhile, so nothing was restored" in done.err
    assert "update-ref" not in done.err
    assert {*ids(repo)} == {"MyFlow/3"}
    assert repo.git("notes", "--ref=runs", "list") == ""
