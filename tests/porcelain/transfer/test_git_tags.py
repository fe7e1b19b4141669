"""Git's own `fetch --tags` and `push --tags` carry the git tags of runs between clones, and nothing is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.clones import add_tag, get, refs, send, tags
from tests.helpers.runs import make_run, start_run

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo


def test_the_same_tag_of_the_same_number_in_two_clones(ada: GitRepo, bob: GitRepo) -> None:
    """Both have a run 1 that is `prod`: every one of git's commands for tags works for both, again and again."""
    runs = [make_run(repo, tags=["prod"]) for repo in (ada, bob)]
    for repo in (ada, bob, ada):
        repo.git("fetch", "-q", "--tags")
        repo.git("push", "-q", "--tags")
        repo.git("pull", "-q", "--tags")
    names = {f"refs/tags/runs/MyFlow/prod/1-{run.uid.short}" for run in runs}
    assert set(refs(ada, "refs/tags")) == set(refs(bob, "refs/tags")) == names


@pytest.mark.parametrize("first", ["git", "runs"])
@pytest.mark.sample(1)
def test_a_tag_of_a_running_run_stays_where_it_is(
    ada: GitRepo, bob: GitRepo, server: GitRepo, first: str
) -> None:
    """A git tag that was pushed while the run runs names the same commit after its end, whoever brought it."""
    with start_run(ada, tags=["early"]) as writer:
        add_tag(ada, "1", "live")
        ada.git("push", "-q", "--tags")
        bob.git("fetch", "-q", "--tags")
        before = refs(bob, "refs/tags")
        assert set(before.values()) == {str(writer.identity.uid)}
        writer.commit([], status=Status.DONE)
    send(ada)
    if first == "runs":
        get(bob)
    for repo in (ada, bob):
        repo.git("push", "-q", "--tags")
        repo.git("fetch", "-q", "--tags")
    get(bob)
    assert refs(ada, "refs/tags") == refs(bob, "refs/tags") == refs(server, "refs/tags") == before
    assert tags(bob) == {"MyFlow/1": ("early", "live")}


def test_a_fetched_run_has_the_tags_of_its_own_clone(ada: GitRepo, bob: GitRepo) -> None:
    """A run that arrives as `1-<uid7>` is tagged by the same git tag as where it is run 1."""
    make_run(bob)
    make_run(ada, tags=["best"])
    send(bob)
    send(ada)
    get(bob)
    assert refs(bob, "refs/tags") == refs(ada, "refs/tags")
    bob.git("push", "-q", "--tags")
    ada.git("fetch", "-q", "--tags")
    assert len(refs(ada, "refs/tags")) == 1


def test_a_git_tag_holds_neither_code_nor_data(ada: GitRepo, server: GitRepo) -> None:
    """`git push --tags` of a tagged run publishes its first commit alone."""
    ada.write("secret.txt", "uncommitted")
    make_run(ada, tags=["best"], result=b"private")
    ada.git("push", "-q", "--tags")
    (uid,) = refs(server, "refs/tags").values()
    assert server.git("ls-tree", "-r", "--name-only", uid) == "INFO"
    assert server.git("rev-list", "--count", uid) == "1"


def test_a_clone_without_git_tags_shares_its_tags(ada: GitRepo, bob: GitRepo) -> None:
    """With `runs.gitTags=false` in one of two clones both have the same tags of runs, and one has no git tags."""
    ada.git("config", "runs.gitTags", "false")
    make_run(ada, tags=["best"])
    send(ada)
    get(bob)
    assert [name.split("/")[4] for name in refs(bob, "refs/tags")] == ["best"]
    add_tag(bob, "1", "good")
    add_tag(bob, "1", "best", remove=True)
    send(bob)
    get(ada)
    assert tags(ada) == tags(bob) == {"MyFlow/1": ("good",)}
    assert refs(ada, "refs/tags") == {}
    ada.git("fetch", "-q", "--tags")
    assert get(ada).tags_removed == 0
    assert tags(ada) == tags(bob)
