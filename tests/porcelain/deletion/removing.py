"""What tests of the trash do and look at again and again."""

from __future__ import annotations

from tests.helpers.clones import refs
from tests.helpers.repos import GitRepo


def rm(repo: GitRepo, *runs: str) -> str:
    """Move runs to the trash."""
    done = repo.call("rm", "--force", *runs)
    assert done.code == 0, done.err
    return done.out


def ours(repo: GitRepo) -> dict[str, str]:
    """All refs of runs, and their git tags."""
    return refs(repo) | refs(repo, "refs/tags/") | refs(repo, "refs/runs-trash/")


def note(repo: GitRepo, uid: str) -> str:
    """The git note on a run."""
    return repo.git("notes", "--ref=runs", "show", uid, check=False)
