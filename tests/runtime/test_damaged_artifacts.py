"""Artifacts and records that were damaged or lost: a step that needs them fails and says which; nothing is guessed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from tests.helpers.flows import foreach_flow, latest, linear_flow, one_task
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo, copy_repo, make_repo

FLOW = linear_flow(
    start="self.model = random.Random(7).randbytes(2_000_000)",
    end="""
for pack in pathlib.Path('.git/objects/pack').glob('*.pack') if 'DAMAGE' in os.environ else ():
    if pack.stat().st_size > 1_000_000 and os.environ['DAMAGE'] == 'lose':
        pack.unlink()
        pack.with_suffix('.idx').unlink()
    elif pack.stat().st_size > 1_000_000:
        pack.chmod(0o644)
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.write_bytes(data)
model = getattr(self, 'model', None)
print('cold start' if model is None else 'warm start')
if os.environ.get('BOOM'):
    raise SystemError('boom')
""",
    head="import pathlib, random\n",
)


def _chunk(repo: GitRepo) -> Oid:
    artifact = one_task(latest(repo), "start").record.artifacts["model"]
    return artifact.chunks[1].oid


def _lose(repo: GitRepo, oid: Oid) -> None:
    """Make all objects loose, and remove one."""
    packs = objects_dir(repo) / "pack"
    moved = repo.path / ".git" / "moved"
    packs.rename(moved)
    packs.mkdir()
    for pack in moved.glob("*.pack"):
        repo.git("unpack-objects", "-q", stdin=pack.read_bytes())
    (objects_dir(repo) / str(oid)[:2] / str(oid)[2:]).unlink()
    shutil.rmtree(moved)


def _flip(repo: GitRepo, oid: Oid) -> None:
    """Change a byte in the middle of an object."""
    home = PackReader(objects_dir(repo)).home(oid)
    assert home is not None
    names = repo.git("show-index", stdin=home.with_suffix(".idx").read_bytes()).splitlines()
    (offset,) = (int(line.split()[0]) for line in names if line.split()[1] == str(oid))
    home.chmod(0o644)
    with home.open("r+b") as pack:
        pack.seek(offset + 100_000)
        byte = pack.read(1)[0]
        pack.seek(offset + 100_000)
        pack.write(bytes([byte ^ 1]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run whose last step failed."""
    repo = make_repo(tmp_path_factory.mktemp("damaged") / "made")
    repo.write("f.py", FLOW)
    repo.commit()
    assert repo.flow("f.py", "run", env={"BOOM": "1"}).code == 1
    return repo


@pytest.fixture
def failed(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "failed")


@pytest.fixture(scope="module")
def made_split(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of a split whose last step failed."""
    repo = make_repo(tmp_path_factory.mktemp("damaged") / "split")
    repo.write(
        "g.py",
        foreach_flow("pass").replace(
            "print('total'", "assert 'BOOM' not in os.environ; print('total'"
        ),
    )
    repo.commit()
    assert repo.flow("g.py", "run", env={"BOOM": "1"}).code == 1
    return repo


@pytest.mark.parametrize(("damage", "words"), [("lose", "is missing"), ("flip", "is damaged")])
@pytest.mark.sample(1)
def test_what_cannot_be_read_is_no_absent_attribute(repo: GitRepo, damage: str, words: str) -> None:
    """`getattr` with a default must not hide it; run, step, task and artifact are named."""
    repo.write("f.py", FLOW)
    repo.commit()
    done = repo.flow("f.py", "run", env={"DAMAGE": damage})
    assert done.code == 1
    assert "cold start" not in done.out
    assert "F/1/start/1/model can't be read:" in done.err
    assert words in done.err
    assert "run the flow again" in done.out
    assert "gitflowrun/" not in done.out


@pytest.mark.parametrize("damage", [_lose, _flip])
@pytest.mark.sample(1)
def test_what_is_damaged_of_a_task_is_done_again(
    failed: GitRepo, damage: Callable[[GitRepo, Oid], None]
) -> None:
    """A resumed run says which artifact is damaged, makes it again, and whoever has the same one can read it."""
    chunk = _chunk(failed)
    damage(failed, chunk)
    done = failed.flow("f.py", "resume", "1")
    assert done.code == 0, done.err
    assert f"F/1/start/1/model: object {chunk} " in done.err
    assert "done again" in done.err
    assert "[2/start/" in done.out
    assert "warm start" in done.out
    again = failed.flow("f.py", "resume", "1")
    assert again.code == 0, again.err
    assert "Cloning previously run task F/1/start/1\n" in again.out
    assert failed.call("fsck", "F/1", "F/2").code == 0


def test_damaged_parameters_are_not_made_again(repo: GitRepo) -> None:
    """What people said can't be computed: resume refuses, names the artifact, and says what to do."""
    repo.write("g.py", foreach_flow("raise SystemError"))
    repo.commit()
    assert repo.flow("g.py", "run").code == 1
    task = one_task(latest(repo), "_parameters")
    _lose(repo, task.record.artifacts["n"].chunks[0].oid)
    done = repo.flow("g.py", "resume", "1")
    assert done.code == 1
    assert f"{task.pathspec}/n: object " in done.err
    assert "start a new run" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("steps/start", "F/1/start: object"),
        ("steps/start/1", "F/1/start/1: object"),
        ("steps/start/1/TASK", "F/1/start/1: object"),
    ],
)
@pytest.mark.sample(1)
def test_what_is_lost_of_a_task_is_done_again(failed: GitRepo, path: str, named: str) -> None:
    """A resumed run says which record it could not read, and runs the task."""
    _lose(failed, Oid.from_hex(failed.git("rev-parse", f"refs/runs/F/1:{path}")))
    done = failed.flow("f.py", "resume", "1")
    assert done.code == 0, done.err
    assert named in done.err
    assert "done again" in done.err
    assert "[2/start/" in done.out
    assert "warm start" in done.out


@pytest.mark.parametrize(
    "lost",
    ["steps/join", "steps/work", "steps/join/6/TASK", "steps/work/4", "steps/work/4/blake3"],
)
@pytest.mark.sample(2)
def test_a_split_with_a_damaged_part_is_not_taken_whole(
    made_split: GitRepo, tmp_path: Path, lost: str
) -> None:
    """The tasks that can be read are adopted, the others run again, and what follows has the same values."""
    repo = copy_repo(made_split, tmp_path / "split")
    _lose(repo, Oid.from_hex(repo.git("rev-parse", f"refs/runs/F/1:{lost}")))
    done = repo.flow("g.py", "resume", "1")
    assert done.code == 0, done.err
    assert "done again" in done.err
    assert "total 6" in done.out
    assert (re.search(r"2/work/\d+ \(pid", done.out) is not None) is ("work" in lost)


@pytest.mark.parametrize("words", [("fsck", "--read-data"), ("cat", "F/1/start/model")])
@pytest.mark.sample(1)
def test_what_was_found_damaged_is_stored_anew(failed: GitRepo, words: tuple[str, ...]) -> None:
    """By the next run that makes the same value: it is not passed on as stored already."""
    _flip(failed, _chunk(failed))
    assert failed.runs(*words).code in {1, 128}
    assert failed.flow("f.py", "run").code == 0
    assert failed.runs("fsck", "--read-data", "F/2").code == 0
    assert failed.runs("cat", "F/2/start/model", "-o", "model").code == 0
