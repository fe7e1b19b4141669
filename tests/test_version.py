"""`get_version` describes the user's repository, in Metaflow's form, and as PEP 440 has it when public."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitflowrun
from gitflowrun import get_version
from gitflowrun.errors import RepositoryError
from gitflowrun.version import Description, Version
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository that is the current directory."""
    monkeypatch.chdir(repo.path)
    return repo


def test_a_tagged_commit_is_the_tag(here: GitRepo) -> None:
    """No post number and no hash; the dirty mark stays out of the public version."""
    here.git("tag", "2.3.0")
    assert get_version() == get_version(public=True) == "2.3.0"
    here.write("README", "changed\n")
    assert get_version() == "2.3.0-dirty"
    assert get_version(public=True) == "2.3.0"


def test_commits_since_the_tag_count(here: GitRepo) -> None:
    """`.postN`, the hash and the dirty mark follow the tag, which may contain dashes."""
    here.git("tag", "-a", "my-model-v1.0", "-m", "release")
    here.commit()
    commit = here.commit()[:7]
    assert get_version() == f"my-model-v1.0.post2-git{commit}"
    assert get_version(public=True) == "1.0.post2"
    here.write("README", "changed\n")
    assert get_version() == f"my-model-v1.0.post2-git{commit}-dirty"


def test_without_a_tag_it_is_our_own(repo: GitRepo, tmp_path: Path) -> None:
    """No tag, no commit, no repository: the package's version."""
    empty = GitRepo(tmp_path / "empty")
    empty.path.mkdir()
    empty.git("init", "-q")
    for place in (repo.path, empty.path, tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            assert get_version(public=True) == gitflowrun.__version__


def test_tags_of_runs_are_no_versions(here: GitRepo) -> None:
    """`runs/...` tags are passed over, also when they are nearer than a release."""
    here.git("tag", "1.0")
    here.commit()
    here.git("tag", "runs/MyFlow/production/12")
    assert get_version(public=True) == "1.0.post1"


def test_the_index_stays_as_it_is(here: GitRepo) -> None:
    """Asking does not refresh the user's index."""
    here.git("tag", "1.0")
    index = here.path / ".git" / "index"
    before = index.read_bytes()
    os.utime(here.path / "README", (1, 1))
    assert get_version() == "1.0"
    assert index.read_bytes() == before


def test_a_subdirectory_and_a_linked_worktree_are_described(here: GitRepo, tmp_path: Path) -> None:
    """Where git finds the repository, so do we."""
    here.git("tag", "1.0")
    here.git("worktree", "add", "-q", str(tmp_path / "linked"))
    (here.path / "sub").mkdir()
    for place in (here.path / "sub", tmp_path / "linked"):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            assert get_version() == "1.0"


@pytest.mark.parametrize(
    ("described", "full", "public"),
    [
        ("2.3.0-5-gabc1234-dirty", "2.3.0.post5-gitabc1234-dirty", "2.3.0.post5"),
        ("2.3.0-0-gabc1234", "2.3.0", "2.3.0"),
        ("v1.2-3-gabc1234", "v1.2.post3-gitabc1234", "1.2.post3"),
        ("v2.0rc1-3-gabc1234", "v2.0rc1.post3-gitabc1234", "2.0rc1.post3"),
        ("1.0.post2-3-gabc1234", "1.0.post2.post3-gitabc1234", "1.0.post5"),
        ("1.0.dev4-3-gabc1234", "1.0.dev4.post3-gitabc1234", "1.0.dev7"),
        ("1.0+cpu-3-gabc1234", "1.0+cpu.post3-gitabc1234", "1.0.post3"),
        ("lib/v1.4.0-0-gabc1234", "lib/v1.4.0", "1.4.0"),
        ("nightly-3-gabc1234", "nightly.post3-gitabc1234", "0.post3"),
        ("1.0-Alpha.2-0-gabc1234", "1.0-Alpha.2", "1.0a2"),
        ("v1!2.0.rev3-1-gabc1234", "v1!2.0.rev3.post1-gitabc1234", "1!2.0.post4"),
        ("pkg_1.0-2-0-gabc1234", "pkg_1.0-2", "1.0.post2"),
        ("2024.01.05-0-gabc1234", "2024.01.05", "2024.1.5"),
        ("1.0+cpu-0-gabc1234", "1.0+cpu", "1.0"),
        ("py3-1.0-0-gabc1234", "py3-1.0", "1.0"),
        ("v7-0-gabc1234", "v7", "7"),
    ],
)
def test_forms(described: str, full: str, public: str) -> None:
    """Tags of every fashion give both forms."""
    found = Description.parse(described)
    assert found is not None
    assert (found.full, found.public) == (full, public)


NO_VERSIONS = (
    "stable", "2026-event", "AUDIT_D2024-10-03", "2024-10", "build-7", "v1.2.x", "v1.0-final",
    "v1.0-hotfix-1.1")  # fmt: skip


@pytest.mark.parametrize("tag", NO_VERSIONS)
@pytest.mark.parametrize("annotated", [False, True], ids=["light", "annotated"])
@pytest.mark.sample(8)
def test_tags_that_are_no_versions_hide_none(here: GitRepo, tag: str, *, annotated: bool) -> None:
    """The nearest tag that is a version counts, beside another tag of its commit and behind later ones."""
    how = ("-a", "-m", "x") if annotated else ()
    here.git("tag", "v1.2.3")
    here.git("tag", *how, tag)
    assert get_version() == "v1.2.3"
    here.git("tag", "-d", tag)
    here.commit()
    here.git("tag", *how, tag)
    assert get_version(public=True) == "1.2.3.post1"


def test_of_two_versions_at_one_commit_the_newest_counts(here: GitRepo) -> None:
    """A release candidate that became the release is the release."""
    for tag in ("v1.9", "v1.10.dev1", "v1.10rc2", "v1.10", "v1.10a1"):
        here.git("tag", tag)
    assert get_version() == "v1.10"
    here.git("tag", "-a", "-m", "x", "v1.10rc3")
    here.commit()
    assert get_version(public=True) == "1.10.post1"


def test_versions_are_sorted_as_packaging_tools_do() -> None:
    """Dev, pre, final and post releases, epochs and zeros at the end have PEP 440's order."""
    texts = "1.0.dev1 1.0a1.dev2 1.0a1 1.0b2 1.0rc1 1.0 1.0.post1.dev3 1.0.post1 1.0.1 1.10 1!0.1"
    orders = [version.order for it in texts.split() if (version := Version.of_tag(it))]
    assert len(orders) == len(texts.split())
    assert orders == sorted(orders)
    first, second = Version.of_tag("1.0"), Version.of_tag("1.0.0")
    assert first
    assert second
    assert first.order == second.order


def test_dirty_is_said_where_git_cannot_tell(here: GitRepo) -> None:
    """A `git status` that fails, as at a broken submodule, is no clean tree."""
    other = make_repo(here.path.parent / "other")
    here.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "s"
    )
    here.commit()
    here.git("tag", "3.0")
    assert get_version() == "3.0"
    here.write("s/.git", "gitdir: /nonexistent")
    assert get_version() == "3.0-dirty"


def test_a_repository_that_git_does_not_trust_is_an_error(
    here: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version than the repository's would be a wrong answer."""
    here.git("tag", "3.0")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(RepositoryError, match="does not trust"):
        get_version()


@given(st.text(max_size=30), st.integers(0, 999), st.booleans())
def test_public_versions_are_pep_440(tag: str, post: int, dirty: bool) -> None:
    """Whatever the tag is called, the public version is one that packaging tools read."""
    version = pytest.importorskip("packaging.version")
    version.Version(Description(tag, post, "abc1234", dirty).public)


def test_what_is_no_description_is_none() -> None:
    """Empty or strange words of git are not taken for a version."""
    assert Description.parse("") is None
    assert Description.parse("2.3.0") is None


def test_a_broken_repository_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is asked for in set-up scripts: it never fails."""
    broken = make_repo(tmp_path / "broken")
    broken.git("tag", "1.0")
    (broken.path / ".git" / "HEAD").write_text("nonsense")
    monkeypatch.chdir(broken.path)
    assert get_version() == gitflowrun.__version__
