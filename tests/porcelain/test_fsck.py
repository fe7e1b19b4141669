"""`git runs fsck` finds whatever is not as it was stored, and says of which run, step, task and artifact it is."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.reference import Picture
from gitflowrun.errors import CorruptRecord, GitflowrunError, MissingObject
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import TaskName
from gitflowrun.porcelain.checks import fsck
from gitflowrun.porcelain.checks.fsck import Fault, RunsCheck
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.values import replace
from tests.helpers.packs import noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import (
    artifact,
    digest,
    finished_task,
    make_run,
    open_repo,
    start_run,
    with_packs,
)

MODEL = noise(40_000, 1), noise(30_000, 2)


def _model_run(repo: GitRepo) -> None:
    """A run whose task `train/2` made an artifact of two chunks, and whose end has it from there."""
    with start_run(repo, "Model") as writer:
        run = writer.identity
        pack = pack_store(repo).write([PackObject(ObjectType.BLOB, piece) for piece in MODEL])
        made = finished_task(run, "train/2")
        ref = artifact(MODEL[0], made.record.name, MODEL[1])
        record = replace(made.record, artifacts={"model": ref})
        writer.commit([
            finished_task(run, "_parameters/0", {"alpha": b"0.5"}),
            finished_task(run, "start/1", {"x": b"one"}, stdout="hello\n"),
        ])  # fmt: skip
        writer.commit([with_packs(replace(made, record=record), pack.name)])
        end = finished_task(run, "end/3", {"y": b"two"}, inherited={"model": ref})
        writer.commit([end], status=Status.DONE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with three runs of two flows, and a branch of the user's own."""
    repo = make_repo(tmp_path_factory.mktemp("whole") / "repo")
    repo.write("own.txt", "mine alone\n")
    repo.write("code/flow.py", "shared by all runs\n")
    repo.commit()
    make_run(repo, tags=("good",))
    make_run(repo)
    _model_run(repo)
    repo.git("rm", "-q", "own.txt")
    repo.commit("no longer in any run")
    return repo


@pytest.fixture
def repo(whole: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it, to be damaged; its objects are in one pack."""
    return _copy(whole, tmp_path / "copy")


def _copy(repo: GitRepo, path: Path) -> GitRepo:
    shutil.copytree(repo.path, path, symlinks=True)
    copy = GitRepo(path)
    copy.git("repack", "-adq")
    return copy


def _loosen(repo: GitRepo) -> None:
    """Make all objects loose."""
    moved = repo.path / ".git" / "moved"
    (objects_dir(repo) / "pack").rename(moved)
    (objects_dir(repo) / "pack").mkdir()
    for pack in moved.glob("*.pack"):
        repo.git("unpack-objects", "-q", stdin=pack.read_bytes())
    shutil.rmtree(moved)


def _loose(repo: GitRepo, spec: str) -> Path:
    oid = repo.git("rev-parse", spec)
    path = objects_dir(repo) / oid[:2] / oid[2:]
    path.chmod(0o644)
    return path


def _faults(repo: GitRepo, *, read_data: bool = False) -> list[Fault]:
    return [*RunsCheck(open_repo(repo), read_data=read_data).all()]


def _told(repo: GitRepo, *, read_data: bool = False) -> list[tuple[str, str]]:
    return [(it.kind.value, it.where) for it in _faults(repo, read_data=read_data)]


@pytest.mark.parametrize("options", [(), ("--read-data",)])
@pytest.mark.sample(1)
def test_whole_runs(repo: GitRepo, options: tuple[str, ...]) -> None:
    """Nothing is found in them, packed in any way; --json counts, and a run can be named."""
    done = repo.call("fsck", *options)
    assert (done.code, done.out, done.err) == (0, "3 runs checked, nothing is damaged.\n", "")
    repo.git("gc", "-q", "--prune=now")
    found = json.loads(repo.call("fsck", "--json", "Model/3", *options).out)
    assert found == {"runs": 1, "damaged": [], "left_out": 0, "faults": []}
    _loosen(repo)
    assert _faults(repo, read_data=bool(options)) == []


def _values(repo: GitRepo) -> Iterator[tuple[str, bytes | None]]:
    """All artifacts of all runs; None for what can't be read."""
    opened = open_repo(repo)
    reader = ArtifactReader(opened.objects)
    for name in (("MyFlow", "1"), ("MyFlow", "2"), ("Model", "3")):
        try:
            run = RunStore(opened).get(*name)
            tasks = [*run.all_tasks()]
        except GitflowrunError:
            continue
        for task in tasks:
            try:
                found = task.record.artifacts
            except GitflowrunError:
                continue
            for key, ref in found.items():
                try:
                    yield f"{task.pathspec}/{key}", bytes(reader.load(ref, trusted=False))
                except (CorruptRecord, MissingObject):
                    yield f"{task.pathspec}/{key}", None


def _flip(path: Path, place: random.Random) -> Callable[[], None]:
    """Change one bit of a file; what puts it back."""
    data = path.read_bytes()
    at = place.randrange(len(data))
    path.chmod(0o644)
    changed = bytearray(data)
    changed[at] ^= 1 << place.randrange(8)
    path.write_bytes(changed)

    def restore() -> None:
        path.write_bytes(data)

    return restore


def _is_same(path: Path, data: bytes) -> bool:
    """Whether a loose object with a changed bit is the same one: a few bits of its stream mean nothing."""
    try:
        return zlib.decompress(path.read_bytes()) == zlib.decompress(data)
    except zlib.error:
        return False


def _check_flips(repo: GitRepo, files: list[Path], count: int, seed: int) -> None:
    before = dict(_values(repo))
    place = random.Random(seed)
    missed = []
    for _ in range(count):
        (path,) = place.choices(files, [it.stat().st_size for it in files])
        data = path.read_bytes()
        restore = _flip(path, place)
        if not _faults(repo, read_data=True) and not _is_same(path, data):
            missed.append(path)
        wrong = [key for key, value in _values(repo) if value not in (before[key], None)]
        assert (seed, wrong) == (seed, [])
        restore()
    assert (seed, missed) == (seed, [])


def _reached(repo: GitRepo) -> list[Path]:
    """The loose objects that runs reach."""
    listed = repo.git("rev-list", "--objects", "--glob=refs/runs/*").splitlines()
    return [_loose(repo, line.split()[0]) for line in listed]


@pytest.mark.parametrize(("count", "seed"), [(15, 1), pytest.param(200, 2, marks=pytest.mark.slow)])
def test_one_bit_anywhere_in_a_loose_object(repo: GitRepo, count: int, seed: int) -> None:
    """It is found, and no wrong byte of a value is returned."""
    _loosen(repo)
    _check_flips(repo, _reached(repo), count, seed)


@pytest.mark.parametrize(("count", "seed"), [(15, 1), pytest.param(200, 2, marks=pytest.mark.slow)])
def test_one_bit_anywhere_in_a_pack_or_its_index(repo: GitRepo, count: int, seed: int) -> None:
    """It is found, and no wrong byte of a value is returned."""
    pack = objects_dir(repo) / "pack"
    _check_flips(repo, [*pack.glob("*.pack"), *pack.glob("*.idx")], count, seed)


def test_objects_in_one_anothers_place(repo: GitRepo) -> None:
    """Whole objects under wrong ids are found: records always, payloads of one size by reading data."""
    _loosen(repo)
    task = "refs/runs/Model/3:steps/train/2/TASK"
    one, two = (
        repo.git("ls-tree", f"refs/runs/MyFlow/1:steps/train/{n}/blake3").split()[2] for n in "23"
    )
    _swap(_loose(repo, task), _loose(repo, "refs/runs/Model/3:steps/start/1/TASK"))
    assert [it[1] for it in _told(repo)] == ["Model/3/start/1/TASK", "Model/3/train/2/TASK"]
    _swap(_loose(repo, one), _loose(repo, two))
    found = [it for it in _faults(repo, read_data=True) if it.run != "Model/3"]
    assert [(it.run, it.step, it.task, it.artifact) for it in found] == [
        ("MyFlow/1", "train", "2", "y"), ("MyFlow/1", "train", "3", "y"),
        ("MyFlow/2", "train", "2", "y"), ("MyFlow/2", "train", "3", "y"),
    ]  # fmt: skip
    values = dict(_values(repo))
    assert (values["MyFlow/1/train/2/y"], values["MyFlow/2/train/3/y"]) == (None, None)
    commits = [_loose(repo, f"refs/runs/MyFlow/{n}") for n in (1, 2)]
    _swap(*commits)
    assert {it.run for it in _faults(repo)} == {"Model/3", "MyFlow/1", "MyFlow/2"}


def _swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.parametrize("damage", ["cut", "pack", "index"])
def test_a_pack_that_is_cut_short_or_missing(repo: GitRepo, damage: str) -> None:
    """Nothing of it need be read to see that, and every run that has lost something is named."""
    (pack,) = (objects_dir(repo) / "pack").glob("*.pack")
    pack.chmod(0o644)
    if damage == "cut":
        pack.write_bytes(pack.read_bytes()[:-100])
    else:
        (pack if damage == "pack" else pack.with_suffix(".idx")).unlink()
    done = repo.call("fsck")
    assert done.code == 1
    assert "3 runs checked, 3 damaged: Model/3, MyFlow/1, MyFlow/2." in done.out
    assert "git fsck --full" in done.err
    with pytest.raises(AssertionError):
        repo.fsck()


@pytest.mark.parametrize(
    ("spec", "kind", "where"),
    [
        ("Model/3:INFO", "missing object", "Model/3/INFO"),
        ("Model/3:code/code/flow.py", "missing object", "{}/code/code/flow.py"),
        ("Model/3:steps/train", "missing object", "Model/3/train"),
        ("Model/3:steps/train/2", "missing object", "Model/3/train/2"),
        ("Model/3:steps/train/2/TASK", "missing object", "Model/3/train/2/TASK"),
        ("Model/3:steps/start/1/stdout", "missing object", "Model/3/start/1/stdout"),
        ("MyFlow/2:steps/start/1/times", "missing object", "MyFlow/2/start/1/times"),
        ("Model/3^", "missing object", "Model/3/commit "),
        ("Model/3^^^", "missing object", "Model/3/commit "),
    ],
)
@pytest.mark.sample(5)
def test_what_is_lost_is_named(repo: GitRepo, spec: str, kind: str, where: str) -> None:
    """By run, step, task and path; what several runs share is named for each of them."""
    _loosen(repo)
    oid = repo.git("rev-parse", f"refs/runs/{spec}")
    _loose(repo, f"refs/runs/{spec}").unlink()
    found = _faults(repo)
    runs = ["Model/3", "MyFlow/1", "MyFlow/2"] if "{}" in where else [spec.partition(":")[0][:8]]
    named = {it.where: it for it in found if it.object == oid}
    for run in runs:
        matching = [it for at, it in named.items() if at.startswith(where.format(run.rstrip("^")))]
        assert (matching[0].kind.value, matching[0].run) == (kind, run.rstrip("^"))


def test_other_refs_at_a_damaged_run_are_named_too(repo: GitRepo) -> None:
    """A copy of a remote and a run in the trash that are an earlier state of it; with a sound run nothing is."""
    earlier = ("refs/runs-remotes/0123456789abcdef/Model/3", "refs/runs-trash/1-1/Model/9")
    for ref in earlier:
        repo.git("update-ref", ref, "refs/runs/Model/3^")
    assert _faults(repo) == []
    _loosen(repo)
    lost = "steps/start/1/TASK"
    _loose(repo, f"refs/runs/Model/3^:{lost}").unlink()
    places = {"Model/3/start/1/TASK", *(f"{ref}:{lost}" for ref in earlier)}
    assert {it.where for it in _faults(repo)} == places


def test_a_lost_chunk_is_an_artifact_that_is_lost(repo: GitRepo) -> None:
    """The artifact is named, and the exit code is 1; an empty file counts as damaged."""
    _loosen(repo)
    chunk = repo.git("ls-tree", "refs/runs/Model/3:steps/train/2/blake3").split()[2]
    path = _loose(repo, chunk)
    path.write_bytes(b"")
    done = repo.call("fsck", "--json", "Model/3")
    (fault,) = json.loads(done.out)["faults"]
    assert (done.code, fault["kind"], fault["object"]) == (1, "damaged object", chunk)
    assert [fault[key] for key in ("run", "step", "task", "artifact")] == [
        "Model/3", "train", "2", "model",
    ]  # fmt: skip
    path.unlink()
    done = repo.call("fsck")
    assert f"Model/3/train/2/model: object {chunk} is " in done.out
    assert "3 runs checked, 1 damaged: Model/3." in done.out


def test_what_is_not_of_a_run_is_left_to_git(repo: GitRepo) -> None:
    """A branch that has lost a file is git's to tell; so is what no ref reaches."""
    _loosen(repo)
    _loose(repo, "HEAD^:own.txt").unlink()
    assert _faults(repo, read_data=True) != []  # the runs were made when it was there
    repo.write("later.txt", "after all runs\n")
    repo.commit()
    restored = repo.git("hash-object", "-w", "--stdin", stdin=b"mine alone\n")
    assert restored == repo.git("rev-parse", "HEAD^^:own.txt")
    _loose(repo, "HEAD:later.txt").unlink()
    done = repo.call("fsck", "--read-data")
    assert (done.code, done.out) == (0, "3 runs checked, nothing is damaged.\n")
    with pytest.raises(AssertionError):
        repo.fsck()


def _change(repo: GitRepo, run: str, path: str, row: str | None) -> None:
    """Let a run have another row at a path of its tree, or none, in its newest commit."""
    *above, name = path.split("/")
    trees = [f"refs/runs/{run}:{'/'.join(above[:depth])}" for depth in range(len(above) + 1)]
    for tree in reversed(trees):
        rows = repo.git("ls-tree", "-z", tree).split("\0")
        kept = [it for it in rows if it and it.partition("\t")[2] != name]
        listing = "".join(f"{it}\0" for it in [*kept, *([f"{row}\t{name}"] if row else [])])
        oid = repo.git("mktree", "-z", stdin=listing.encode())
        row, name = f"040000 tree {oid}", above.pop() if above else ""
    _commit(repo, run, oid, parent=f"refs/runs/{run}^")


def _commit(repo: GitRepo, run: str, tree: str, *, parent: str, message: str = "") -> None:
    text = message or repo.git("log", "-1", "--format=%B", f"refs/runs/{run}")
    commit = repo.git("commit-tree", tree, "-p", parent, stdin=text.encode())
    repo.git("update-ref", f"refs/runs/{run}", commit)


def test_layouts_that_no_run_has(repo: GitRepo) -> None:
    """Each is one fault of its run; entries that we do not know are a newer release's."""
    own = repo.git("rev-parse", "HEAD:code/flow.py")
    tree = repo.git("rev-parse", "HEAD:code")
    task = repo.git("rev-parse", "refs/runs/Model/3:steps/train/2")
    other = repo.git("rev-parse", "refs/runs/Model/3:steps/end/3/TASK")
    tip = repo.git("rev-parse", "refs/runs/Model/3")
    for path, row, expected in (
        ("INFO", None, ("layout", "Model/3")),
        ("INFO", f"100644 blob {own}", ("record", "Model/3/INFO")),
        ("code", f"100644 blob {own}", ("layout", "Model/3/code")),
        ("later", f"100644 blob {own}", None),
        ("steps/train/2/later", f"040000 tree {tree}", None),
        ("steps/a b", f"040000 tree {tree}", ("layout", "Model/3/a b")),
        ("steps/train/x", f"100644 blob {own}", ("layout", "Model/3/train/x")),
        ("steps/train/9", f"040000 tree {task}", ("record", "Model/3/train/9")),
        ("steps/train/2/TASK", None, ("layout", "Model/3/train/2")),
        ("steps/train/2/TASK", f"100644 blob {own}", ("record", "Model/3/train/2/TASK")),
        ("steps/train/2/TASK", f"100644 blob {other}", ("record", "Model/3/train/2")),
        ("steps/train/2/times", f"100644 blob {own}", ("record", "Model/3/train/2/times")),
        ("steps/train/2/stdout", f"040000 tree {tree}", ("layout", "Model/3/train/2/stdout")),
        ("steps/train/2/blake3", None, ("artifact", "Model/3/train/2/model")),
        ("steps/train", None, ("artifact", "Model/3/end/3/model")),
        ("data/x", f"100644 blob {own}", ("layout", "Model/3/data/x")),
    ):
        _change(repo, "Model/3", path, row)
        found = _told(repo)
        assert (path, expected is None or expected in found) == (path, True), found
        assert (path, bool(found)) == (path, expected is not None)
        repo.git("update-ref", "refs/runs/Model/3", tip)


def test_histories_that_no_run_has(repo: GitRepo) -> None:
    """Merges, other INFOs, foreign messages, runs under another's name: each is told of its run."""
    first = repo.git("rev-list", "--max-parents=0", "refs/runs/Model/3")
    tree = repo.git("rev-parse", "refs/runs/Model/3^{tree}")
    tip, stranger = repo.git("rev-parse", "refs/runs/Model/3", "refs/runs/MyFlow/1").split()

    def told(words: str) -> None:
        assert [it for it in _faults(repo) if it.run == "Model/3" and words in it.why], words
        repo.git("update-ref", "refs/runs/Model/3", tip)

    _commit(repo, "Model/3", tree, parent=tip, message="mine")
    told("is not that of a run")
    _commit(repo, "Model/3", tree, parent=stranger)
    told("its INFO is not the same")
    _commit(repo, "Model/3", tree, parent=stranger)
    told("not what it says")
    text = repo.git("log", "-1", "--format=%B", "refs/runs/Model/3").encode()
    merge = repo.git("commit-tree", tree, "-p", tip, "-p", stranger, stdin=text)
    repo.git("update-ref", "refs/runs/Model/3", merge)
    told("is a merge")
    repo.git("update-ref", "refs/runs/Model/3", repo.git("rev-parse", "HEAD"))
    told("is not that of a run")
    repo.git("update-ref", "refs/runs/Model/3", stranger)
    told("by its INFO it is MyFlow/1")
    repo.git("update-ref", "refs/runs/Model/3-1234567", tip)
    assert [it.why for it in _faults(repo)] == [f"its first commit is {first[:7]}"]


def test_a_run_that_is_very_damaged_is_told_in_few_lines(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many faults are enough, and so many commits; those of other runs are told all the same."""
    monkeypatch.setattr(fsck, "FSCK_FAULTS", 2)
    _loosen(repo)
    for task in ("start/1", "train/2", "end/3"):
        _loose(repo, f"refs/runs/Model/3:steps/{task}/TASK").unlink()
    _loose(repo, "refs/runs/MyFlow/1:data").unlink()
    check = RunsCheck(open_repo(repo))
    whys = {run: [it.why for it in check.all() if it.run == run] for run in ("Model/3",)}["Model/3"]
    assert (len(whys), whys[-1]) == (3, "more than 2 faults")
    assert (check.runs, check.damaged) == (3, ["Model/3", "MyFlow/1", "MyFlow/2"])
    monkeypatch.setattr(fsck, "MAX_STATES", 2)
    assert "it has more than 2 commits" in [it.why for it in _faults(repo)]


def test_few_tasks_are_kept_in_memory(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have made what others inherit, and the artifacts of all of them are found."""
    most = 0

    class Counted(OrderedDict[TaskName, object]):
        def __contains__(self, task: object) -> bool:
            nonlocal most
            most = max(most, len(self))
            return super().__contains__(task)

    monkeypatch.setattr(fsck, "OrderedDict", Counted)
    monkeypatch.setattr(fsck, "FSCK_PRODUCERS", 2)
    assert _faults(repo) == []
    assert most == 2


def test_a_state_that_does_not_say_of_which_run_it_is(repo: GitRepo) -> None:
    """Only the first commit of a run can't name itself."""
    text = repo.git("log", "-1", "--format=%B", "refs/runs/Model/3")
    kept = [line for line in text.splitlines() if not line.startswith("Uid: ")]
    tree = repo.git("rev-parse", "refs/runs/Model/3^{tree}")
    _commit(repo, "Model/3", tree, parent="refs/runs/Model/3", message="\n".join(kept))
    (fault,) = _faults(repo)
    assert (fault.kind.value, fault.where) == ("history", "Model/3")
    assert fault.why.endswith("does not say of which run it is")


def test_a_shallow_clone_has_no_more(repo: GitRepo) -> None:
    """What it was made without is counted; without the mark of a shallow clone it is lost."""
    _loosen(repo)
    tip = repo.git("rev-parse", "refs/runs/Model/3")
    _loose(repo, f"{tip}^").unlink()
    assert [it.kind.value for it in _faults(repo)] == ["missing object"]
    repo.write(".git/shallow", f"{tip}\n")
    check = RunsCheck(open_repo(repo))
    assert [*check.all()] == []
    assert (check.left_out, check.damaged) == (1, [])


def test_values_that_are_not_what_their_record_says(repo: GitRepo) -> None:
    """Sizes are compared; the BLAKE3 where data is read; a picture that is gone is told."""
    drawn = artifact(b"png", TaskName("end", "1")).chunks[0]
    with start_run(repo, "Odd") as writer:
        done = finished_task(writer.identity, "end/1", {"wrong": b"real", "plot": b"fig"})
        refs = dict(done.record.artifacts)
        other = digest(b"fake")
        chunk = replace(refs["wrong"].chunks[0], digest=other)
        refs["wrong"] = replace(refs["wrong"], digest=other, chunks=(chunk,))
        refs["plot"] = replace(refs["plot"], picture=Picture(".html", is_exact=True, chunk=drawn))
        inline = {**done.inline, other: b"real", drawn.digest: b"png"}
        record = replace(done.record, artifacts=refs)
        writer.commit([replace(done, record=record, inline=inline)], status=Status.DONE)
    assert _faults(repo) == []
    found = {it.where: it.kind.value for it in _faults(repo, read_data=True)}
    assert found == {"Odd/4/end/1/wrong": "artifact"}
    with start_run(repo, "Size") as writer:
        pack = pack_store(repo).write([PackObject(ObjectType.BLOB, b"real")])
        made = finished_task(writer.identity, "start/1")
        ref = artifact(b"real", made.record.name)
        ref = replace(ref, size=5, chunks=(replace(ref.chunks[0], size=5),))
        record = replace(made.record, artifacts={"x": ref})
        writer.commit([with_packs(replace(made, record=record), pack.name)], status=Status.DONE)
    _change(repo, "Odd/4", "steps/end/1/pictures", None)
    found = {it.where: it.why for it in _faults(repo)}
    assert found == {
        "Odd/4/end/1/plot": "its picture is not in the tree",
        "Size/5/start/1/x": "its chunk has 4 bytes, not 5",
    }


def test_refs_that_lead_nowhere(repo: GitRepo) -> None:
    """Empty refs, tags of runs that are not here or are others, tracking copies with a hole."""
    tip = repo.git("rev-parse", "refs/runs/MyFlow/2")
    repo.git("update-ref", "refs/runs/@tags/MyFlow/old/9", tip)
    repo.git("update-ref", "refs/runs/@tags/MyFlow/best/2", tip)
    (repo.path / ".git/refs/runs/MyFlow/7").write_text("")
    found = {it.where.removeprefix("refs/runs/"): it for it in _faults(repo)}
    assert {where: it.kind.value for where, it in found.items()} == {
        "MyFlow/7": "ref", "@tags/MyFlow/best/2": "tag", "@tags/MyFlow/old/9": "tag",
    }  # fmt: skip
    assert found["MyFlow/7"].run == "MyFlow/7"
    check = RunsCheck(open_repo(repo))
    assert len([*check.all()]) == 3
    assert (check.runs, check.damaged) == (4, ["MyFlow/7"])
    (repo.path / ".git/refs/runs/MyFlow/7").unlink()
    repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/2", tip)
    for ref in ("MyFlow/2", "@tags/MyFlow/old/9", "@tags/MyFlow/best/2"):
        repo.git("update-ref", "-d", f"refs/runs/{ref}")
    assert _faults(repo) == []
    _loosen(repo)
    _loose(repo, f"{tip}:steps/train/2/TASK").unlink()
    (fault,) = _faults(repo)
    assert fault.where == "refs/runs-remotes/0123456789abcdef/MyFlow/2:steps/train/2/TASK"


def test_a_note_on_a_run_in_the_trash(repo: GitRepo) -> None:
    """It is a blob, and no fault; one that is lost is told, and which run's it is."""
    uid = repo.git("rev-list", "--max-parents=0", "runs/MyFlow/2")
    repo.git("notes", "--ref=runs", "add", "-m", "a good one", uid)
    assert repo.call("rm", "MyFlow/2").code == 0
    assert _faults(repo, read_data=True) == []
    assert repo.call("doctor").code == 0
    ref = repo.git("for-each-ref", "--format=%(refname)", "refs/runs-trash/*/@notes/**")
    _loosen(repo)
    _loose(repo, ref).unlink()
    repo.git("update-ref", "-d", "refs/notes/runs")
    (fault,) = _faults(repo)
    assert (fault.where, fault.kind.value) == (ref, "missing object")


@pytest.mark.parametrize("left_out", ["blob:none", "tree:0"])
@pytest.mark.sample(1)
def test_what_a_partial_clone_was_made_without(
    repo: GitRepo, tmp_path: Path, left_out: str
) -> None:
    """It is no damage and not fetched, unless data is to be read; what the clone itself has lost is."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    path = tmp_path / "partial"
    repo.git(
        "clone", "-q", "--no-checkout", f"--filter={left_out}", f"file://{repo.path}", str(path),
        "-c", "remote.origin.fetch=+refs/runs/*:refs/runs/*",
    )  # fmt: skip
    clone = GitRepo(path)
    packs = sorted((objects_dir(clone) / "pack").iterdir())
    done = clone.call("fsck")
    assert done.code == 0, done.out + done.err
    assert "that this clone was made without" in done.out
    assert sorted((objects_dir(clone) / "pack").iterdir()) == packs
    made = make_run(clone, "Early")  # it is looked at before those that were cloned
    own = clone.git("rev-parse", f"refs/runs/{made.pathspec}:steps/start/1/TASK")
    for pack in (objects_dir(clone) / "pack").glob("*.pack"):
        if not pack.with_suffix(".promisor").exists():
            data = pack.read_bytes()
            pack.unlink()
            pack.with_suffix(".idx").unlink()
            clone.git("unpack-objects", "-q", stdin=data)
    new = clone.git("hash-object", "-w", "--stdin", stdin=b"made here")
    listing = f"{clone.git('ls-tree', 'refs/runs/MyFlow/1:code/code')}\n100644 blob {new}\tnew.py\n"
    code = clone.git("mktree", "--missing", stdin=listing.encode())
    _change(clone, made.pathspec, "code", f"040000 tree {code}")
    assert _told(clone) == []  # a tree that was made here, of files that the remote has
    _loose(clone, own).unlink()
    assert _told(clone) == [("missing object", f"{made.pathspec}/start/1/TASK")]
    clone.git("update-ref", "-d", f"refs/runs/{made.pathspec}")
    assert _faults(clone, read_data=True) == []


def test_a_list_of_runs_leads_to_no_other_run(repo: GitRepo) -> None:
    """Git lists commits without comparing them with their ids: what is read of them is not another run's."""
    _loosen(repo)
    _swap(_loose(repo, "refs/runs/MyFlow/1"), _loose(repo, "refs/runs/Model/3"))
    opened = open_repo(repo)
    for row in RunStore(opened).summaries():
        run = StoredRun(opened, row.flow, row.id, row.commit, row)
        if row.pathspec == "MyFlow/2":
            assert run.steps() == ["_parameters", "start", "train", "end"]
        else:
            with pytest.raises(
                CorruptRecord, match=f"{row.pathspec}: object {row.commit} can't be read"
            ):
                run.steps()
