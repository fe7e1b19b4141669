"""Differences between trees as values."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitflowrun.errors import MissingObject, RepositoryError, TooLarge
from gitflowrun.git import diff
from gitflowrun.git.ancestry import ahead_behind, descendants, reachable
from gitflowrun.git.diff import ChangeExtent, diff_trees, extent_of_change
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison import compare
from tests.helpers.repos import GitRepo, make_repo

TEXT = "".join(f"line {number}\n" for number in range(40))


def _tree(repo: GitRepo, files: dict[str, str | bytes | None]) -> Oid:
    """The tree of the work tree after writing (or, for None, removing) files."""
    for name, content in files.items():
        path = repo.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
    repo.git("add", "-A")
    return Oid.from_hex(repo.git("write-tree").strip())


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository in a path with a space and an umlaut."""
    return make_repo(tmp_path / "a réposi tory")


def test_how_much_differs_is_counted_up_to_a_limit(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many files as the limit says may differ, wherever they are; one more is too much."""
    old = _tree(repo, {"a": "1", "d/b": "22", "same": "x"})
    new = _tree(repo, {"a": "333", "d/b": "4444"})
    repository = Repository.discover(repo.path)
    monkeypatch.setattr(diff, "DIFFED_FILES", 2)
    assert extent_of_change(repository, old, new) == ChangeExtent(2, 10, 4)
    monkeypatch.setattr(diff, "DIFFED_FILES", 1)
    with pytest.raises(TooLarge, match="more than 1 files differ"):
        extent_of_change(repository, old, new)


def test_what_only_git_reads_is_counted_as_well(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In packs with an index of another version; of very many lines it is said that they differ."""
    old, new = (_tree(repo, {"a": text, "b": "x"}) for text in ("1\n", "2\n2\n"))
    for tree in (old, new):
        repo.git("update-ref", f"refs/heads/{tree}", repo.git("commit-tree", "-m", "x", str(tree)))
    repo.git("-c", "pack.indexVersion=1", "repack", "-adq")
    repo.git("prune-packed")
    assert extent_of_change(Repository.discover(repo.path), old, new) == ChangeExtent(1, 6, 4)
    for most, complete in ((3, True), (2, False)):
        monkeypatch.setattr(diff, "DIFF_LINES_SEEN", most)
        (file,) = diff_trees(Repository.discover(repo.path), old, new).files
        assert file.complete is complete


def test_how_deep_files_may_lie_that_differ(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many directories as the limit says; trees within one another may be built in no time."""
    old, new = (_tree(repo, {"a/b/c/x": text}) for text in ("1", "22"))
    opened = Repository.discover(repo.path)
    monkeypatch.setattr(diff, "MAX_CODE_DEPTH", 3)
    assert extent_of_change(opened, old, new) == ChangeExtent(1, 3, 2)
    monkeypatch.setattr(diff, "MAX_CODE_DEPTH", 2)
    with pytest.raises(TooLarge, match="or they lie too deep"):
        extent_of_change(opened, old, new)


def test_files_renames_counts_and_lines(repo: GitRepo) -> None:
    """Added, deleted, changed, renamed and binary files, with the counts that `git diff --numstat` has."""
    old = _tree(
        repo,
        {"keep.txt": TEXT, "old name.txt": TEXT * 2, "gone.txt": "x\n", "b.bin": b"\0\1\2" * 50},
    )
    new = _tree(
        repo,
        {
            "keep.txt": TEXT.replace("line 7\n", "line seven\nmore\n"),
            "old name.txt": None,
            "new\nname.txt": TEXT * 2,
            "gone.txt": None,
            "fresh.txt": "1\n2\n",
            "b.bin": b"\0\1\3" * 50,
        },
    )
    found = diff_trees(Repository.discover(repo.path), old, new)
    by_name = {file.new_path or file.old_path: file for file in found.files}
    assert {name: file.status for name, file in by_name.items()} == {
        "keep.txt": "modified", "new\nname.txt": "renamed", "gone.txt": "deleted",
        "fresh.txt": "added", "b.bin": "modified",
    }  # fmt: skip
    assert by_name["new\nname.txt"].old_path == "old name.txt"
    assert by_name["b.bin"].binary
    assert by_name["b.bin"].hunks == ()
    assert (by_name["fresh.txt"].old_path, by_name["gone.txt"].new_path) == (None, None)
    numstat = repo.git("diff", "--numstat", "-M", "-z", str(old), str(new))
    counts = [row.split("\t")[:2] for row in numstat.split("\0") if row.count("\t") == 2]
    assert found.insertions == sum(int(added) for added, _ in counts if added != "-")
    assert found.deletions == sum(int(deleted) for _, deleted in counts if deleted != "-")
    [hunk] = by_name["keep.txt"].hunks
    changed = [
        (line.origin, line.text, line.old, line.new) for line in hunk.lines if line.origin != " "
    ]
    assert changed == [
        ("-", "line 7\n", 8, None), ("+", "line seven\n", None, 8), ("+", "more\n", None, 9),
    ]  # fmt: skip


def test_paths_limit_the_difference(repo: GitRepo) -> None:
    """Files below the paths asked for, and no others; the top is everything."""
    old = _tree(repo, {"a/x": "1\n", "b/x": "1\n", "ab": "1\n"})
    new = _tree(repo, {"a/x": "2\n", "b/x": "2\n", "ab": "2\n"})
    opened = Repository.discover(repo.path)
    for paths, expected in ((["a"], ["a/x"]), (["a/x", "ab"], ["a/x", "ab"]), (["nothing"], [])):
        found = diff_trees(opened, old, new, paths=paths)
        assert [file.new_path for file in found.files] == expected
    assert len(diff_trees(opened, old, new, paths=["."]).files) == 3
    for paths, expected in ((["*/x"], ["a/x", "b/x"]), ([":!a"], ["ab", "b/x"]), (["-s"], [])):
        found = diff_trees(opened, old, new, paths=paths)
        assert [file.new_path for file in found.files] == expected


def test_equal_trees_open_no_library(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal trees have no difference, and libgit2 is not loaded to find that out."""
    tree = _tree(repo, {"x": "1\n"})
    monkeypatch.setattr(diff, "with_libgit2", None)
    assert diff_trees(Repository.discover(repo.path), tree, tree).files == ()


def test_libgit2_makes_the_difference(repo: GitRepo) -> None:
    """The difference comes from pygit2: without it there is none."""
    old, new = _tree(repo, {"x": "1\n"}), _tree(repo, {"x": "2\n"})
    program = (
        "import sys; sys.modules['pygit2'] = None\n"
        "from gitflowrun.git.diff import diff_trees\n"
        "from gitflowrun.git.objects import Oid\n"
        "from gitflowrun.git.repository import Repository\n"
        f"diff_trees(Repository.discover(), Oid.from_hex('{old}'), Oid.from_hex('{new}'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repo.path, capture_output=True, text=True, check=False
    )
    assert "pygit2" in done.stderr.splitlines()[-1]


def test_a_partial_clone_fetches_what_it_lacks(repo: GitRepo, tmp_path: Path) -> None:
    """Blobs that a partial clone has left out are fetched by git, then compared."""
    old = _tree(repo, {"x": TEXT})
    repo.git("commit", "-q", "-m", "one")
    new = _tree(repo, {"x": TEXT + "more\n"})
    repo.git("commit", "-q", "-m", "two")
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "clone"
    subprocess.run(
        [
            "git",
            "clone",
            "-q",
            "--no-checkout",
            "--filter=blob:none",
            repo.path.as_uri(),
            str(clone),
        ],
        check=True,
    )
    [file] = diff_trees(Repository.discover(clone), old, new).files
    assert (file.insertions, file.deletions) == (1, 0)


def test_an_object_that_is_nowhere(repo: GitRepo) -> None:
    """A tree that nobody has is an error of ours, not libgit2's."""
    tree = _tree(repo, {"x": "1\n"})
    with pytest.raises(Exception, match=r".") as caught:
        diff_trees(Repository.discover(repo.path), tree, Oid(b"\1" * 20))
    assert type(caught.value).__module__ == MissingObject.__module__
    with pytest.raises(RepositoryError, match="bad object"):
        reachable(Repository.discover(repo.path), {tree}, Oid(b"\1" * 20))


def test_what_libgit2_can_not_read(repo: GitRepo) -> None:
    """Its error is told as one of the repository; nothing is brought."""

    def fails(_: object) -> None:
        raise pygit2.GitError("of libgit2")

    opened = Repository.discover(repo.path)
    with pytest.raises(RepositoryError, match=r"libgit2 can't read .*/\.git: of libgit2"):
        diff.with_libgit2(opened, diff.open_objects, fails, bring=lambda: pytest.fail("brought"))


@pytest.mark.parametrize("misses", [0, 1, 2])
def test_what_libgit2_misses_is_brought_once(repo: GitRepo, misses: int) -> None:
    """Then it is opened anew; what is not there then is missing."""
    opened = Repository.discover(repo.path)
    seen: list[object] = []
    brought: list[int] = []

    def work(library: object) -> int:
        seen.append(library)
        if len(seen) <= misses:
            raise KeyError("1234")
        return 7

    def ask() -> int:
        return diff.with_libgit2(
            opened, diff.open_objects, work, bring=lambda: brought.append(len(seen))
        )

    if misses < 2:
        assert ask() == 7
    else:
        with pytest.raises(MissingObject, match=r"object .*1234.* is not in this repository"):
            ask()
    assert brought == [1] * (misses > 0)
    assert len({id(it) for it in seen}) == len(seen) == min(misses + 1, 2)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(st.sampled_from(["a", "-- b", "", "@@ -1 +1 @@", "\r", "caf\xe9"]), max_size=12),
    st.lists(st.sampled_from(["a", "++ b", "", "\\ No newline", "\r", "caf\xe9"]), max_size=12),
    st.booleans(),
    st.sampled_from(["utf-8", "latin-1"]),
)
def test_lines_are_those_of_the_files(
    repo: GitRepo, before: list[str], after: list[str], ends: bool, encoding: str
) -> None:
    """Whatever is in them, the lines of a side make up its file, and the counts are git's."""
    texts = ["\n".join(lines) + "\n" * (ends and bool(lines)) for lines in (before, after)]
    datas = [text.encode(encoding) for text in texts]
    old, new = (_tree(repo, {"f": data}) for data in datas)
    found = diff_trees(Repository.discover(repo.path), old, new, context=100)
    for file in found.files:
        for origin, data in zip("-+", datas, strict=True):
            lines = [
                line.text.encode(errors="surrogateescape")
                for hunk in file.hunks
                for line in hunk.lines
                if line.origin in {" ", origin}
            ]
            assert b"".join(lines) == data
        numstat = repo.git("diff", "--numstat", str(old), str(new)).split()[:2]
        assert [str(file.insertions), str(file.deletions)] == numstat


def test_the_users_settings_play_no_part(repo: GitRepo) -> None:
    """Renames, drivers and programs that are configured change nothing."""
    old = _tree(repo, {"a.py": "a\n\nb\n", "old": TEXT})
    new = _tree(repo, {"a.py": "a\n\nc\n", "old": None, "new": TEXT})
    plain = diff_trees(Repository.discover(repo.path), old, new)
    (repo.path / ".git" / "info" / "attributes").write_text("*.py diff=upper\n")
    for name, value in {
        "diff.renames": "false", "diff.upper.textconv": "tr a-z A-Z <", "diff.external": "false",
        "diff.noprefix": "true", "diff.context": "0", "diff.algorithm": "patience",
    }.items():  # fmt: skip
        repo.git("config", name, value)
    assert diff_trees(Repository.discover(repo.path), old, new) == plain


@pytest.mark.parametrize(
    "commands",
    [
        ("config core.splitIndex true", "update-index --split-index"),
        ("sparse-checkout set --cone --sparse-index kept",),
        ("update-index --index-version 4", "update-index --untracked-cache"),
        ("config core.multiPackIndex true", "repack -q -d", "multi-pack-index write"),
        ("commit-graph write --reachable",),
        ("config core.repositoryFormatVersion 1", "config extensions.partialClone origin"),
        ("config core.repositoryFormatVersion 1", "config extensions.worktreeConfig true"),
        ("config core.repositoryFormatVersion 1", "config extensions.noop-v1 1"),
    ],
    ids=lambda commands: commands[-1],
)
def test_whatever_git_reads_is_read(repo: GitRepo, commands: tuple[str, ...]) -> None:
    """Kinds of index, packs and extensions that libgit2 does not know stand in the way of nothing."""
    old = _tree(repo, {"kept/a": "1\n", "far/away/b": "1\n"})
    repo.git("commit", "-qm", "1")
    new = _tree(repo, {"kept/a": "2\n"})
    repo.git("commit", "-qm", "2")
    for command in commands:
        repo.git(*command.split())
    opened = Repository.discover(repo.path)
    (file,) = diff_trees(opened, old, new).files
    assert (file.new_path, file.insertions, file.deletions) == ("kept/a", 1, 1)
    one, two = (Oid.from_hex(line) for line in repo.git("rev-parse", "HEAD~", "HEAD").split())
    assert ahead_behind(opened, two, one) == (1, 0)
    assert reachable(opened, {one}, two) == {one}
    assert descendants(opened, {one, two}, two) == {two}


def test_objects_of_alternates_and_linked_work_trees(repo: GitRepo, tmp_path: Path) -> None:
    """A clone that borrows its objects, and a work tree that has only a file `.git`, compare as any other."""
    old = _tree(repo, {"a": "1\n"})
    repo.git("commit", "-qm", "1")
    new = _tree(repo, {"a": "2\n"})
    repo.git("commit", "-qm", "2")
    repo.git("clone", "-q", "--shared", ".", str(tmp_path / "borrower"))
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    for place in ("borrower", "linked"):
        assert diff_trees(Repository.discover(tmp_path / place), old, new).insertions == 1


def test_a_file_with_very_many_changes(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file with more changed lines than are worth a value each, only the counts are there."""
    monkeypatch.setattr(diff, "MAX_DIFF_LINES", 10)
    old = _tree(repo, {"few": "1\n", "many": ""})
    new = _tree(repo, {"few": "2\n", "many": TEXT})
    few, many = diff_trees(Repository.discover(repo.path), old, new).files
    assert (many.insertions, many.hunks, many.complete) == (40, (), False)
    assert few.complete
    assert few.hunks


def test_lines_that_come_again_and_again(repo: GitRepo) -> None:
    """Where comparing lines takes long it is said that the file differs, at once; scattered changes are not so."""
    some = random.Random(1)
    few, many = ("\n".join(some.choices("ab", k=500_000)) for _ in range(2))
    plain = [f"{number}\n" for number in range(200_000)]
    old = _tree(repo, {"few": few, "plain": "".join(plain)})
    plain[::1000] = ["new\n"] * 200
    new = _tree(repo, {"few": many, "plain": "".join(plain)})
    hard, easy = diff_trees(Repository.discover(repo.path), old, new).files
    assert (hard.status, hard.hunks, hard.complete) == ("modified", (), False)
    assert (easy.insertions, easy.deletions, easy.complete) == (200, 200, True)


def test_what_is_alike_costs_nothing(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """At both ends, or on one side only; the rest counts for all files together."""
    ends = [f"{number}\n" for number in range(9)]
    old = _tree(repo, {name: "".join([*ends, "x\n", "y\n", *ends, "z"]) for name in "ab"})
    new = _tree(repo, {name: "".join([*ends, "y\n", "x\n", *ends, "new"]) for name in "ab"})
    opened = Repository.discover(repo.path)
    monkeypatch.setattr(diff, "DIFF_WORK_UNSEEN", 0)
    for work, complete in (
        (7, [False] * 2),
        (8, [True, False]),
        (15, [True, False]),
        (16, [True] * 2),
    ):
        monkeypatch.setattr(diff, "DIFF_WORK", work)  # 4 lines: 8 steps
        assert [it.complete for it in diff_trees(opened, old, new).files] == complete


def test_git_diff_of_such_a_file_ends(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git diff` of somebody's code is ended when it takes too long, and what names the files is said."""
    monkeypatch.setattr(compare, "CODE_DIFF_SECONDS", 1)
    some = random.Random(1)
    trees = [_tree(repo, {"x.py": "\n".join(some.choices("ab", k=500_000))}) for _ in range(2)]
    with pytest.raises(TooLarge, match="more than 1 s") as caught:
        compare.code_diff(Repository.discover(repo.path), *trees)
    assert "git diff --name-status" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("limit", "size", "is_read"),
    [("DIFFED_FILE", 6, True), ("DIFFED_FILE", 5, False), ("DIFFED_IN_ALL", 10, True), ("DIFFED_IN_ALL", 9, False)],
)  # fmt: skip
def test_files_that_are_too_large_are_not_read(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, limit: str, size: int, is_read: bool
) -> None:
    """One that is, or all together: it is said that they differ, and no line of them."""
    old, new = _tree(repo, {"a": "1\n2\n"}), _tree(repo, {"a": "1\n2\n3\n"})
    monkeypatch.setattr(diff, limit, size)
    (file,) = diff_trees(Repository.discover(repo.path), old, new).files
    assert (file.status, bool(file.hunks)) == ("modified", is_read)
