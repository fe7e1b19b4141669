"""How commits lie to each other in the history: reachable, ahead, behind. Answered by libgit2.

For filters of runs by the branch or tag that their code commit is on. libgit2 walks the history once for all
runs; `git merge-base --is-ancestor` would be a process for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.errors import NotFound
from gitflowrun.git.diff import open_objects, with_libgit2
from gitflowrun.git.objects import Oid

if TYPE_CHECKING:
    from collections.abc import Collection

    import pygit2

    from gitflowrun.git.repository import Repository


class AheadBehind(NamedTuple):
    """How many commits only the one and only the other history has."""

    ahead: int
    behind: int


def commit_of(repo: Repository, revision: str) -> Oid:
    """The commit that a branch, a tag or any other revision names. Raises NotFound."""
    done = repo.git.attempt(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if done.code:
        raise NotFound(
            f"{revision!r} names no commit", hint="give a branch, a tag or a commit, as for git log"
        )
    return Oid.from_hex(done.out.decode().strip())


def reachable(repo: Repository, commits: Collection[Oid], tip: Oid) -> set[Oid]:
    """Those of `commits` that are in the history of `tip`, itself included; the walk ends with the last one.

    Raises:
        MissingObject: a commit of the history is not there.
        RepositoryError: libgit2 can't read the repository.
    """

    def walk(library: pygit2.Repository) -> set[Oid]:
        import pygit2

        left, found = set(commits), set()
        for commit in library.walk(str(tip), pygit2.enums.SortMode.NONE):
            oid = Oid(commit.id.raw)
            if oid in left:
                left.discard(oid)
                found.add(oid)
                if not left:
                    break
        return found

    return with_libgit2(
        repo, _history, walk, bring=lambda: repo.git.run("rev-list", "--count", str(tip))
    )


def descendants(repo: Repository, commits: Collection[Oid], base: Oid) -> set[Oid]:
    """Those of `commits` that have `base` in their history, `base` included; what is not here has not.

    Raises:
        RepositoryError: libgit2 can't read the repository.
    """
    here = set(repo.objects.homes(commits))
    listed = "".join(f"{oid}\n" for oid in here).encode()
    return with_libgit2(
        repo,
        _history,
        lambda library: {
            oid for oid in here if oid == base or library.descendant_of(str(oid), str(base))
        },
        bring=lambda: repo.git.run("rev-list", "--count", "--stdin", stdin=listed),
    )


def ahead_behind(repo: Repository, one: Oid, other: Oid) -> AheadBehind:
    """How many commits only the history of `one`, and only that of `other`, has.

    Raises:
        MissingObject: a commit is not there.
        RepositoryError: libgit2 can't read the repository.
    """
    return with_libgit2(
        repo,
        _history,
        lambda library: AheadBehind(*library.ahead_behind(str(one), str(other))),
        bring=lambda: repo.git.run("rev-list", "--count", f"{one}...{other}"),
    )


def _history(repo: Repository) -> pygit2.Repository:
    """The objects of a repository; where it is shallow all of it, which says where the history ends."""
    import pygit2

    if (repo.common_dir / "shallow").exists():
        return pygit2.Repository(str(repo.common_dir))
    return open_objects(repo)
