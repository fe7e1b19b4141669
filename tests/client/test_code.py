"""`run.code` as archive, directory and text: a tree comes out as it was, and what would do harm does not."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun import Run
from gitflowrun.client import MetaflowCode
from gitflowrun.client.code import code_files, materialise, write_tar
from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError, UntrustedArtifact
from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.odb import ObjectStore
from gitflowrun.git.repository import Repository
from gitflowrun.limits import MAX_CODE_DEPTH
from tests.client.samples import SCRIPT, make_run
from tests.helpers.repos import GitRepo

Row = tuple[int, bytes, Oid]


def test_the_archive_prints_as_a_path_and_is_one(here: GitRepo) -> None:
    """`tarball` can be printed, opened, passed to a program, and read as a TarFile."""
    here.write("new.txt", "untracked\n")
    make_run(here)
    here.write("new.txt", "changed since\n")
    code = Run("1").code
    assert isinstance(code, MetaflowCode)
    with code.tarball as archive:
        assert str(archive) == os.fspath(archive) == f"{archive}" == code.path
        assert isinstance(archive, tarfile.TarFile)
        assert archive.getnames() == ["README", "flow.py", "new.txt"]
        member = archive.extractfile("new.txt")
        assert member is not None
        assert member.read() == b"untracked\n"
    assert Path(code.path).read_bytes()[:6] == b"README"


def test_the_archive_is_made_once_and_again_when_lost(here: GitRepo) -> None:
    """It lies in the disposable state; two runs of the same code share it."""
    make_run(here)
    make_run(here)
    path = Path(Run("1").code.path)
    assert path.parent.parent == here.path / ".git" / "gitflowrun"
    assert str(path) == Run("2").code.path
    before = path.read_bytes()
    shutil.rmtree(here.path / ".git" / "gitflowrun")
    assert Path(Run("1").code.path).read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_repository_that_may_not_be_written_to(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive then lies in a private directory for temporary files."""
    make_run(here)
    (here.path / ".git" / "gitflowrun" / "code").write_text("in the way")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = Path(Run("1").code.path)
    assert path.is_relative_to(tmp_path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with Run("1").code.tarball as archive:
        assert "flow.py" in archive.getnames()


def test_the_flow_file(here: GitRepo) -> None:
    """Its name and its bytes, as they were when the run began."""
    make_run(here)
    here.write("flow.py", "changed since\n")
    code = Run("1").code
    assert (code.script_name, code.flowspec) == ("flow.py", SCRIPT.encode())
    assert str(code) == "<MetaflowCode: flow.py>"
    assert code.tree == here.git("rev-parse", "runs/MyFlow/1:code")


def test_a_flow_file_outside_of_the_snapshot(here: GitRepo) -> None:
    """One that git ignores is not in the code; the error says so."""
    (here.path / "flow.py").unlink()
    here.commit()
    make_run(here)
    with pytest.raises(NotFound, match=r"MyFlow/1 has no file 'flow\.py'") as caught:
        _ = Run("1").code.flowspec
    assert "ignore" in (caught.value.hint or "")


def test_code_is_extracted_into_a_temporary_directory(here: GitRepo) -> None:
    """It goes away with the object, as Metaflow's does."""
    here.write("pkg/module.py", "x = 1\n")
    make_run(here)
    with Run("1").code.extract() as place:
        assert sorted(item.name for item in Path(place).iterdir()) == ["README", "flow.py", "pkg"]
        assert Path(place, "pkg", "module.py").read_text() == "x = 1\n"
        assert Path(place).stat().st_mode & 0o777 == 0o700
    assert not Path(place).exists()


def test_info_has_metaflows_names(here: GitRepo) -> None:
    """What INFO says, by our names and by Metaflow's."""
    make_run(here)
    info = Run("1").code.info
    assert (info["flow_name"], info["run_id"], info["script"]) == ("MyFlow", "1", "flow.py")
    assert (info["username"], info["runtime"], info["platform"]) == ("ada", "dev", "test")


def test_tasks_have_the_code_of_their_run(here: GitRepo) -> None:
    """Codes are equal when their trees are."""
    make_run(here)
    make_run(here)
    task = Run("1").end_task
    assert task is not None
    assert task.code == Run("1").code == Run("2").code
    here.write("more.py", "")
    make_run(here)
    assert Run("3").code != Run("2").code


def test_what_cannot_be_written_leaves_nothing(
    here: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of an archive, or of a directory, leaves no half of one."""
    make_run(here)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gitflowrun.client.code.write_tar", fail)
    monkeypatch.setattr("gitflowrun.client.code.materialise", fail)
    monkeypatch.setattr("tempfile.tempdir", str(here.path))
    before = sorted(item.name for item in here.path.iterdir())
    with pytest.raises(RepositoryError, match="code of MyFlow/1 can't be written: No space left"):
        _ = Run("1").code.path
    with pytest.raises(RepositoryError, match="No space left"):
        Run("1").code.extract()
    assert list((here.path / ".git" / "gitflowrun" / "code").iterdir()) == []
    assert sorted(item.name for item in here.path.iterdir()) == before


@pytest.fixture
def objects(repo: GitRepo) -> ObjectStore:
    """The objects of the repository."""
    return Repository.discover(repo.path).objects


@pytest.fixture
def plant(repo: GitRepo) -> Callable[..., Oid]:
    """Write trees that git itself would not write, and blobs for them."""

    def put(kind: ObjectType, data: bytes) -> Oid:
        words = ("hash-object", "-w", "--literally", "--stdin", "-t", kind.name.lower())
        return Oid.from_hex(repo.git(*words, stdin=data))

    def tree(*rows: tuple[int, bytes, bytes | Oid], plain: bool = False) -> Oid:
        entries = [
            TreeEntry(mode, name, it if isinstance(it, Oid) else put(ObjectType.BLOB, it))
            for mode, name, it in rows
        ]
        data = b"".join(b"%o %s\0%s" % (it.mode, it.name, it.oid) for it in entries)
        return put(ObjectType.TREE, data if plain else tree_bytes(entries))

    return tree


def test_a_tree_comes_out_as_it_was(repo: GitRepo, objects: ObjectStore, tmp_path: Path) -> None:
    """Files, modes, links, empty files and names of any bytes are what git has."""
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    repo.write("sub/deep/ünï.txt", b"\xff\0")
    repo.write("empty", b"")
    repo.write(os.fsdecode(b"latin-\xe9"), "x")
    (repo.path / "link").symlink_to("sub/deep")
    (repo.path / "outside").symlink_to("/etc/hostname")
    repo.commit()
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    target = tmp_path / "out"
    target.mkdir()
    materialise(objects, tree, target, trusted=True)
    assert (target / "sub/deep/ünï.txt").read_bytes() == b"\xff\0"
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "empty", os.X_OK)
    assert (target / "link").readlink() == Path("sub/deep")
    assert (target / "outside").readlink() == Path("/etc/hostname")
    assert (target / os.fsdecode(b"latin-\xe9")).read_text() == "x"
    repo.git("diff", "--no-index", "--exit-code", str(target / "run.sh"), str(repo.path / "run.sh"))


def test_an_archive_has_what_the_tree_has(repo: GitRepo, objects: ObjectStore) -> None:
    """Whatever its attributes say about exports; the same tree gives the same bytes."""
    repo.write(".gitattributes", "secret export-ignore\nversion export-subst\n")
    repo.write("secret", "kept\n")
    repo.write("version", "$Format:%H$\n")
    (repo.path / "link").symlink_to("secret")
    repo.commit()
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    first, second = io.BytesIO(), io.BytesIO()
    for out in (first, second):
        write_tar(objects, tree, out, trusted=True)
    assert first.getvalue() == second.getvalue()
    with tarfile.open(fileobj=io.BytesIO(first.getvalue())) as archive:
        assert archive.getnames() == [".gitattributes", "README", "link", "secret", "version"]
        version = archive.extractfile("version")
        assert version is not None
        assert version.read() == b"$Format:%H$\n"
        assert archive.getmember("link").linkname == "secret"


@pytest.mark.parametrize(
    "name",
    [
        b"..", b".", b"", b"a/b", b"/abs", b".git", b".GIT", b"git~1", b".git ", b".git.", b".git::$INDEX_ALLOCATION",
        ".g\u200cit".encode(), "\ufeff.git".encode(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.sample(13)
def test_names_no_snapshot_has_are_refused(
    objects: ObjectStore, plant: Callable[..., Oid], tmp_path: Path, name: bytes, trusted: bool
) -> None:
    """Nothing is written outside of the directory, and no `.git` of any spelling into it."""
    tree = plant((Mode.TREE, b"sub", plant((Mode.BLOB, name, b"evil"))))
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(CorruptRecord, match="no snapshot has"):
        materialise(objects, tree, target, trusted=trusted)
    assert [path.name for path in target.rglob("*")] in ([], ["sub"])
    assert not (tmp_path / "abs").exists()


def test_a_name_twice_is_refused(objects: ObjectStore, plant: Callable[..., Oid]) -> None:
    """A link and a directory of one name would be a way out."""
    inner = plant((Mode.BLOB, b"passwd", b"evil"))
    tree = plant((Mode.LINK, b"etc", b"/etc"), (Mode.TREE, b"etc", inner), plain=True)
    with pytest.raises(CorruptRecord):
        list(code_files(objects, tree, trusted=True))


@pytest.mark.parametrize(
    "names",
    [
        (b"a", b"A"),
        ("é".encode(), "e\u0301".encode()),
        (b"a\\..\\b",),
        (b"c:evil",),
    ],
)
def test_strangers_names_must_be_names_everywhere(
    objects: ObjectStore, plant: Callable[..., Oid], names: tuple[bytes, ...]
) -> None:
    """Of a run that is not trusted, names that some system takes for others are refused."""
    tree = plant(*((Mode.BLOB, name, b"x") for name in names))
    assert len(list(code_files(objects, tree, trusted=True))) == len(names)
    with pytest.raises(UntrustedArtifact):
        list(code_files(objects, tree, trusted=False))


@pytest.mark.parametrize(
    ("target", "inside"),
    [
        (b"file", True), (b"../file", True), (b"../sub/file", True), (b"dir/x", True), (b"..", True),
        (b"/etc/passwd", False), (b"../../x", False), (b"dir/../../../x", False), (b"dir/../x", False), (b"", False),
    ],
)  # fmt: skip
def test_strangers_links_stay_inside(
    objects: ObjectStore, plant: Callable[..., Oid], target: bytes, inside: bool
) -> None:
    """A link may climb to the top of the tree and no further, and not by way of other links."""
    tree = plant((Mode.TREE, b"sub", plant((Mode.LINK, b"link", target))))
    assert len(list(code_files(objects, tree, trusted=True))) == 2
    if inside:
        assert len(list(code_files(objects, tree, trusted=False))) == 2
    else:
        with pytest.raises(UntrustedArtifact, match="leads out"):
            list(code_files(objects, tree, trusted=False))


def test_only_an_empty_directory_is_written_to(
    repo: GitRepo, objects: ObjectStore, tmp_path: Path
) -> None:
    """There is nothing to overwrite, and no link to write through."""
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "README").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        materialise(objects, tree, tmp_path / "there", trusted=True)
    assert not (tmp_path / "victim").exists()


def test_submodules_are_empty_directories(
    objects: ObjectStore, plant: Callable[..., Oid], tmp_path: Path
) -> None:
    """What a submodule holds is not in the snapshot; its place is."""
    tree = plant((Mode.GITLINK, b"module", Oid(b"\1" * 20)), (Mode.BLOB, b"x", b""))
    target = tmp_path / "out"
    target.mkdir()
    materialise(objects, tree, target, trusted=False)
    assert (target / "module").is_dir()


def test_bombs_are_defused(objects: ObjectStore, plant: Callable[..., Oid]) -> None:
    """A tree of absurd depth ends in an error, not in an absurd directory."""
    tree = plant((Mode.BLOB, b"x", b""))
    for _ in range(MAX_CODE_DEPTH + 2):
        tree = plant((Mode.TREE, b"d", tree))
    with pytest.raises(CorruptRecord, match="too large or too deep"):
        list(code_files(objects, tree, trusted=True))


def test_directories_that_were_counted_elsewhere_are_not_too_deep_either(
    objects: ObjectStore, plant: Callable[..., Oid]
) -> None:
    """A directory within itself by way of others counts with its levels wherever it lies."""
    low = plant((Mode.BLOB, b"x", b""))
    for _ in range(MAX_CODE_DEPTH - 1):
        low = plant((Mode.TREE, b"d", low))
    assert list(code_files(objects, plant((Mode.TREE, b"a", low)), trusted=False))
    around = plant((Mode.TREE, b"a", low), (Mode.TREE, b"b", plant((Mode.TREE, b"c", low))))
    with pytest.raises(CorruptRecord, match="too large or too deep"):
        list(code_files(objects, around, trusted=False))


def test_directories_that_double_are_refused_before_anything_is_written(
    objects: ObjectStore, plant: Callable[..., Oid], tmp_path: Path
) -> None:
    """Thirty trees, each twice in the next one, name 10^9 files in a few hundred bytes."""
    tree = plant((Mode.BLOB, b"x", b""))
    for _ in range(30):
        tree = plant((Mode.TREE, b"a", tree), (Mode.TREE, b"b", tree))
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(CorruptRecord, match="too large or too deep"):
        materialise(objects, tree, target, trusted=True)
    assert not list(target.iterdir())


class Memory:
    """Objects that no git would write, kept in memory."""

    def __init__(self) -> None:
        self.blobs: dict[Oid, bytes] = {}
        self.trees: dict[Oid, list[TreeEntry]] = {}

    def blob(self, oid: Oid, _limit: int) -> bytes:
        """The content of a blob."""
        return self.blobs[oid]

    def pieces(self, oid: Oid) -> Iterator[bytes]:
        """The same in pieces."""
        return iter([self.blobs[oid]])

    def size(self, oid: Oid) -> int:
        """Its size."""
        return len(self.blobs[oid])

    def tree(self, oid: Oid) -> list[TreeEntry]:
        """The rows of a tree."""
        return self.trees[oid]

    def plant(self, node: list[Any] | str | bytes) -> tuple[int, Oid]:
        """Keep a directory (a list of names and nodes), a link (text) or a file (bytes)."""
        oid = Oid((len(self.blobs) + len(self.trees)).to_bytes(20, "big"))
        if isinstance(node, list):
            rows = self.trees[oid] = []
            for name, child in node:
                mode, child_oid = self.plant(child)
                rows.append(TreeEntry(mode, name, child_oid))
            return Mode.TREE, oid
        self.blobs[oid] = node.encode() if isinstance(node, str) else node
        return (Mode.LINK if isinstance(node, str) else Mode.BLOB), oid


NAMES = st.sampled_from(
    [b"a", b"b", b"A", b"..", b".", b".git", b"a/b", b"a\\b", b"c:d", b".GIT ", b"x" * 300]
)
GOOD_NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
TARGETS = st.sampled_from(
    ["a", "..", "../..", "../../..", "a/..", "b/a", "../b", "/etc", "c/../.."]
)
TREES = st.recursive(
    st.binary(max_size=3) | TARGETS,
    lambda children: st.lists(st.tuples(GOOD_NAMES | NAMES, children), max_size=3),
    max_leaves=8,
)


@settings(max_examples=80)
@given(st.lists(st.tuples(GOOD_NAMES, TREES), max_size=4))
def test_no_tree_gets_out_of_its_directory(rows: list[Any]) -> None:
    """Whatever a stranger's tree is made of, nothing appears, or leads, outside of the directory."""
    memory = Memory()
    _, root = memory.plant(rows)
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "deep", "out")
        target.mkdir(parents=True)
        with contextlib.suppress(CorruptRecord, UntrustedArtifact, OSError):
            materialise(cast("ObjectStore", memory), root, target, trusted=False)
        outside = {path for path in Path(place).rglob("*") if not path.is_relative_to(target)}
        assert outside == {target.parent}
        for path in target.rglob("*"):
            assert path.name.casefold().strip(" .") != "git"
            if path.is_symlink():
                with contextlib.suppress(RuntimeError):  # a loop of links leads nowhere
                    assert path.resolve().is_relative_to(target.resolve())


def test_what_became_of_the_code(here: GitRepo) -> None:
    """`run.code.diff(other)` has the files, lines and counts in which two runs' code differs."""
    make_run(here)
    here.write("flow.py", SCRIPT + "# one more line\n")
    make_run(here)
    [file] = Run("1").code.diff(Run("2")).files
    assert (file.status, file.new_path) == ("modified", "flow.py")
    assert (file.insertions, file.deletions) == (1, 0)
    assert Run("1").code.diff(Run("1").code).files == ()


def test_where_the_code_commit_lies(here: GitRepo) -> None:
    """A run says on which branches and tags its code commit is, and how far it is from them."""
    make_run(here)
    here.git("tag", "v1")
    here.git("commit", "-q", "--allow-empty", "-m", "later")
    make_run(here)
    assert Run("2").code_commit == here.git("rev-parse", "HEAD").strip()
    assert (Run("1").is_on("v1"), Run("2").is_on("v1"), Run("2").is_on("HEAD")) == (
        True, False, True,
    )  # fmt: skip
    assert Run("2").ahead_behind("v1") == (1, 0)
    with pytest.raises(NotFound):
        Run("1").is_on("nothing")


def test_what_the_snapshot_does_not_hold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run.code.left_out` names it and says why."""
    monkeypatch.chdir(repo.path)
    repo.write(".env", "a=1\n")
    make_run(repo)
    assert Run("MyFlow/1").code.left_out == {".env": "4 bytes, may be a secret (.env)"}
