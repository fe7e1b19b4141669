"""Objects are read wherever git would find them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.errors import CorruptRecord, MissingObject, RepositoryError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Mode, ObjectType, Oid
from gitflowrun.git.odb import History, named, read_to_file
from gitflowrun.git.repository import Repository
from tests.helpers.repos import GitRepo

if TYPE_CHECKING:
    from pathlib import Path

MISSING = Oid(b"\1" * 20)


@pytest.fixture
def oids(repo: GitRepo) -> dict[str, Oid]:
    """The ids of a commit, its tree and a file below a directory."""
    repo.write("dir/file", "content")
    repo.commit()
    names = {"commit": "HEAD", "tree": "HEAD^{tree}", "blob": "HEAD:dir/file"}
    return {name: Oid.from_hex(repo.git("rev-parse", rev)) for name, rev in names.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_reads_every_type(repo: GitRepo, oids: dict[str, Oid], packed: bool) -> None:
    """Loose and packed objects are read as what they are."""
    repo.git("tag", "-a", "-m", "annotated", "v1")
    tag = Oid.from_hex(repo.git("rev-parse", "v1"))
    if packed:
        repo.git("gc", "-q")
    objects = Repository.discover(repo.path).objects
    assert objects.blob(oids["blob"]) == b"content"
    assert objects.commit(oids["commit"]).tree == oids["tree"]
    assert [entry.name for entry in objects.tree(oids["tree"])] == [b"README", b"dir"]
    assert objects.read(oids["blob"]) == (ObjectType.BLOB, b"content")
    kind, data = objects.read(tag)
    assert kind is ObjectType.TAG
    assert data.startswith(b"object %s\ntype commit\ntag v1\n" % str(oids["commit"]).encode())
    buffer = bytearray(7)
    objects.read_into(oids["blob"], memoryview(buffer))
    assert buffer == b"content"


def test_entry_walks_paths(repo: GitRepo, oids: dict[str, Oid]) -> None:
    """A path leads to its row, or to nothing."""
    objects = Repository.discover(repo.path).objects
    found = objects.entry(oids["tree"], b"dir", b"file")
    assert found is not None
    assert (found.oid, found.mode) == (oids["blob"], Mode.BLOB)
    for path in ([b"nothing"], [b"dir", b"nothing"], [b"README", b"below"]):
        assert objects.entry(oids["tree"], *path) is None


def test_wrong_types_are_refused(repo: GitRepo, oids: dict[str, Oid]) -> None:
    """A commit is no blob."""
    objects = Repository.discover(repo.path).objects
    with pytest.raises(CorruptRecord, match="is a commit, not a blob"):
        objects.blob(oids["commit"])


def test_missing_objects(repo: GitRepo, oids: dict[str, Oid]) -> None:
    """What is nowhere is an error with a hint, and a KeyError."""
    objects = Repository.discover(repo.path).objects
    assert objects.exists(oids["blob"])
    assert not objects.exists(MISSING)
    for read in (objects.read, objects.blob, objects.tree, objects.commit):
        with pytest.raises(MissingObject, match=str(MISSING)):
            read(MISSING)
    with pytest.raises(KeyError):
        objects.read_into(MISSING, memoryview(bytearray(1)))


def test_objects_that_appear_later(repo: GitRepo, oids: dict[str, Oid]) -> None:
    """Objects that others write while we read are found, loose and packed."""
    objects = Repository.discover(repo.path).objects
    objects.blob(oids["blob"])
    new = Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"new"))
    assert objects.blob(new) == b"new"
    repo.git("update-ref", "refs/keep", str(new))
    repo.git("gc", "-q", "--prune=now")
    assert objects.blob(new) == b"new"
    assert objects.exists(new)


def test_partial_clone_fetches_on_demand(
    repo: GitRepo, oids: dict[str, Oid], tmp_path: Path
) -> None:
    """A blob that a partial clone has left on the remote is fetched by git."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--filter=blob:none", f"file://{repo.path}", str(tmp_path / "part")],
        check=True,
    )  # fmt: skip
    objects = Repository.discover(tmp_path / "part").objects
    assert objects.blob(oids["blob"]) == b"content"
    objects.close()


def test_alternates(repo: GitRepo, oids: dict[str, Oid], tmp_path: Path) -> None:
    """A clone that borrows its objects reads them."""
    clone = tmp_path / "shared"
    subprocess.run(["git", "clone", "-q", "--shared", str(repo.path), str(clone)], check=True)
    assert Repository.discover(clone).objects.blob(oids["blob"]) == b"content"


def test_a_history_is_what_commits_say(repo: GitRepo) -> None:
    """Whatever git is told to show instead of them."""
    first, second = (repo.git("rev-parse", "HEAD"), repo.commit())
    other = repo.git("commit-tree", "HEAD^{tree}", "-m", "another root")
    repo.git("replace", "--graft", second, other, first)
    assert len(repo.git("rev-list", second).split()) == 3
    history = History(Repository.discover(repo.path).git, [Oid.from_hex(second)])
    tip = Oid.from_hex(second)
    assert [str(oid) for oid in history.line(tip)] == [second, first]
    assert str(history.root(tip)) == first
    assert not history.has_merge(tip)


def test_names_beyond_what_git_holds(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git ends at a name on whose way a tree is too large: the others are found, that one is left out."""
    names = [f"HEAD:{number}" for number in range(7)]
    for number in range(6):
        repo.write(str(number), str(number))
    repo.commit()
    git = Repository.discover(repo.path).git
    real, bad = Git.read, {"HEAD:3"}

    def read(self: Git, *args: Any, **options: Any) -> Completed:
        lines = options["stdin"].decode().split()
        return Completed(128, b"", "") if bad & {*lines} else real(self, *args, **options)

    monkeypatch.setattr(Git, "read", read)
    expected = {name: Oid.from_hex(repo.git("rev-parse", name)) for name in names[:6]}
    del expected["HEAD:3"]
    assert named(git, names) == expected
    assert named(git, names[3:4]) == named(git, []) == {}
    bad.clear()
    assert named(git, names[:3]) == {name: expected[name] for name in names[:3]}


def test_what_only_git_reads_is_there(repo: GitRepo) -> None:
    """However large: of a pack whose index is of the first version nothing is seen here."""
    repo.write("large", bytes(5 << 20))
    repo.commit()
    oid = Oid.from_hex(repo.git("rev-parse", "HEAD:large"))
    repo.git("-c", "pack.indexVersion=1", "repack", "-adq")
    objects = Repository.discover(repo.path).objects
    assert oid not in objects
    assert objects.missing([oid, MISSING]) == [MISSING]
    objects.close()


def test_rows_of_trees(repo: GitRepo, oids: dict[str, Oid]) -> None:
    """Names and ids, at once or one after the other, up to a size."""
    objects = Repository.discover(repo.path).objects
    found = objects.tree_oids(oids["tree"])
    assert dict(objects.tree_rows(oids["tree"])) == found
    assert found.keys() == {b"README", b"dir"}
    with pytest.raises(CorruptRecord, match="no more than 10 are read"):
        dict(objects.tree_rows(oids["tree"], 10))


def test_a_history_that_can_not_be_read(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git's word is told, or that it is too long."""
    git = Repository.discover(repo.path).git
    with pytest.raises(RepositoryError, match=f"git rev-list: .*{MISSING}"):
        History(git, [MISSING])
    monkeypatch.setattr("gitflowrun.git.odb.ANSWER", 0)
    with pytest.raises(RepositoryError, match="is more than 0 bytes") as caught:
        History(git, [Oid.from_hex(repo.git("rev-parse", "HEAD"))])
    assert type(caught.value) is RepositoryError


def test_objects_whose_contents_lie_in_a_file(
    repo: GitRepo, oids: dict[str, Oid], tmp_path: Path
) -> None:
    """They are what they are, empty ones too, and give memory back; where git fails that is told."""
    git = Repository.discover(repo.path).git
    empty = Oid.from_hex(repo.git("hash-object", "-w", "--stdin"))
    shown = Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"a\n\nb\n"))
    path = tmp_path / "contents"
    found = read_to_file(git, [oids["blob"], empty, oids["tree"], shown], path, (), {})
    path.unlink()
    assert [(it.oid, it.kind, bytes(it.data)) for it in found[:2]] == [
        (oids["blob"], ObjectType.BLOB, b"content"), (empty, ObjectType.BLOB, b"")
    ]  # fmt: skip
    assert (found[2].kind, bytes(found[3].data)) == (ObjectType.TREE, b"a\n\nb\n")
    assert bytes(found[2].data) == Repository.discover(repo.path).objects.read(oids["tree"])[1]
    assert all(it.release for it in found)
    with pytest.raises(RepositoryError, match="git cat-file: "):
        read_to_file(git, [empty], path, ("--nonsense",), {})
    with pytest.raises(RepositoryError, match="git cat-file: "):
        read_to_file(git, [empty], path, (), {"GIT_DIR": "/nonexistent"})


def test_history(repo: GitRepo, commits: list[Oid]) -> None:
    """First parents lead to where a history began; what is no commit leads nowhere."""
    blob = Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"x"))
    repository = Repository.discover(repo.path)
    history = History(repository.git, [*commits, blob])
    assert history.root(commits[2]) == Oid.from_hex(repo.git("rev-list", "--max-parents=0", "HEAD"))
    assert history.leads_to(commits[2], commits[0])
    assert not history.leads_to(commits[0], commits[2])
    assert history.root(blob) is None
    assert History(repository.git, []).root(commits[0]) is None


def test_what_was_merged_is_no_part_of_a_history(
    repo: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much a second parent leads to: a line has its limit, and what is beside it counts for nothing."""
    side = str(commits[0])
    for number in range(9):
        side = repo.git("commit-tree", "HEAD^{tree}", "-p", side, "-m", f"side {number}")
    merge = repo.git("commit-tree", "HEAD^{tree}", "-p", str(commits[1]), "-p", side, "-m", "merge")
    tip = Oid.from_hex(merge)
    monkeypatch.setattr("gitflowrun.git.odb.MAX_STATES", 6)
    monkeypatch.setattr("gitflowrun.git.odb.STATES_A_RUN", 1)
    history = History(Repository.discover(repo.path).git, [tip])
    assert history.has_merge(tip)
    assert not history.has_merge(commits[1])
    assert [*history.line(tip)][:3] == [tip, commits[1], commits[0]]
    assert not history.leads_to(tip, Oid.from_hex(side))
    monkeypatch.setattr("gitflowrun.git.odb.MAX_STATES", 3)
    with pytest.raises(RepositoryError, match="has more than 4 commits"):
        History(Repository.discover(repo.path).git, [tip])
