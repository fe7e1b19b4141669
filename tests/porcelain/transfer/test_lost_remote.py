"""A remote that lost what it had takes nothing from a clone: only who has a run can have removed its tag."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from gitflowrun.git.transport.remote import Remote
from gitflowrun.porcelain.transfer.push import push_to
from gitflowrun.porcelain.transfer.sync import Outcome
from tests.helpers.clones import add_tag, get, outcomes, refs, send, tags
from tests.helpers.runs import make_run, open_repo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.repos import GitRepo


def _make_anew(server: GitRepo) -> None:
    shutil.rmtree(server.path)
    subprocess.run(["git", "init", "-q", "--bare", str(server.path)], check=True)


@pytest.mark.parametrize("first", [get, send])
@pytest.mark.sample(1)
def test_a_remote_made_anew_gets_the_tags_again(
    server: GitRepo, ada: GitRepo, first: Callable[[GitRepo], object]
) -> None:
    """Whether one fetches or pushes first: runs and tags stay here and go there."""
    for name in ("a", "b"):
        make_run(ada, tags=[name])
    send(ada)
    git_tags = ada.git("tag", "-l")
    _make_anew(server)
    first(ada)
    send(ada)
    assert get(ada).tags_removed == 0
    assert tags(ada) == tags(server) == {"MyFlow/1": ("a",), "MyFlow/2": ("b",)}
    assert ada.git("tag", "-l") == git_tags


def test_a_remote_restored_from_a_backup_removes_no_tags(
    server: GitRepo, ada: GitRepo, bob: GitRepo, tmp_path: Path
) -> None:
    """What was tagged and run after the backup was made is sent once more."""
    make_run(ada, tags=["before"])
    send(ada)
    shutil.copytree(server.path, tmp_path / "backup")
    add_tag(ada, "1", "after")
    make_run(ada)
    send(ada)
    get(bob)
    shutil.rmtree(server.path)
    shutil.copytree(tmp_path / "backup", server.path)
    assert send(ada).tags_added == 1
    assert get(ada).tags_removed == get(bob).tags_removed == 0
    assert tags(ada) == tags(bob) == tags(server) == {"MyFlow/1": ("after", "before")}


def test_a_run_deleted_there_keeps_its_tags_here(server: GitRepo, ada: GitRepo) -> None:
    """Somebody deletes a run and its tags on the remote, with git: here both stay."""
    make_run(ada, tags=["a"])
    make_run(ada, tags=["b"])
    send(ada)
    for name in ("MyFlow/1", "@tags/MyFlow/a/1"):
        server.git("update-ref", "-d", f"refs/runs/{name}")
    assert get(ada).tags_removed == 0
    assert tags(ada) == {"MyFlow/1": ("a",), "MyFlow/2": ("b",)}


def test_other_runs_in_the_places_of_ours_remove_no_tags(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """A remote made anew may have got somebody else's run of the same number meanwhile."""
    make_run(ada, tags=["a"])
    make_run(bob, tags=["b"])
    send(ada)
    _make_anew(server)
    send(bob)
    report = get(ada)
    assert (outcomes(report), report.tags_removed) == ([Outcome.NEW], 0)
    send(ada)
    assert sorted(tags(server).values()) == sorted(tags(ada).values()) == [("a",), ("b",)]


def test_runs_deleted_here_come_back_with_their_tags(server: GitRepo, ada: GitRepo) -> None:
    """Deleting refs of runs with git says nothing of tags: nobody else loses them."""
    make_run(ada, tags=["a"])
    send(ada)
    for name in refs(ada):
        ada.git("update-ref", "-d", name)
    assert get(ada).tags_added == 1
    assert send(ada).tags_removed == 0
    assert tags(ada) == tags(server) == {"MyFlow/1": ("a",)}


def test_a_refused_tag_is_sent_by_the_next_push(server: GitRepo, ada: GitRepo) -> None:
    """A remote made anew takes runs and refuses tags: a fetch removes none, and the next push sends them."""
    make_run(ada, tags=["a"])
    send(ada)
    _make_anew(server)
    hook = server.path / "hooks" / "update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/runs/@*) exit 1 ;; esac\n")
    hook.chmod(0o755)
    assert send(ada).tags_added == 0
    hook.unlink()
    assert get(ada).tags_removed == 0
    assert send(ada).tags_added == 1
    assert tags(ada) == tags(server) == {"MyFlow/1": ("a",)}


def test_a_lost_place_takes_no_tags_from_the_others(
    server: GitRepo, ada: GitRepo, tmp_path: Path
) -> None:
    """Of two remotes one is made anew; no tag is removed from the other one."""
    other = tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    make_run(ada, tags=["a"])
    repo = open_repo(ada)
    send(ada)
    push_to(repo, Remote(repo, str(other)))
    _make_anew(server)
    get(ada)
    assert push_to(repo, Remote(repo, str(other))).tags_removed == 0
    assert send(ada).tags_added == 1


def test_removed_tags_are_named(ada: GitRepo, bob: GitRepo) -> None:
    """What somebody else untagged is untagged by a fetch, which says how to have it back."""
    make_run(ada, tags=["-best one", "kept"])
    send(ada)
    get(bob)
    add_tag(ada, "1", "-best one", remove=True)
    send(ada)
    report = get(bob)
    assert report.tags_removed == 1
    assert "`git runs tag MyFlow/1 -- '-best one'` brings it back" in report.notices[0]
    assert tags(bob) == {"MyFlow/1": ("kept",)}
