"""`git runs fsck` of runs whose tasks were tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.porcelain.checks.fsck import RunsCheck
from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run

_NONE = " is not an earlier attempt of the task"
RUN, TASK = "MyFlow/1", "steps/train/2"


@pytest.fixture
def tried(repo: GitRepo) -> GitRepo:
    """A repository with a run whose task was tried three times."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        for number in range(3):
            value, ok = {"x": b"value %d" % number}, number == 2
            writer.commit(
                [
                    finished_task(
                        writer.identity, "train/2", value, stdout=f"{number}\n", ok=ok,
                        attempt=number, again=not ok,
                    )
                ]
            )  # fmt: skip
        writer.commit([], status=Status.DONE)
    return repo


def _told(repo: GitRepo, *, read_data: bool = False) -> list[tuple[str, str, str]]:
    found = RunsCheck(open_repo(repo), read_data=read_data).all()
    return [(it.kind.value, it.where, it.why) for it in found]


def _change(repo: GitRepo, path: str, row: str | None) -> None:
    """Let the task have another row at a path of its tree, or none, in the newest commit of its run."""
    *above, name = f"{TASK}/{path}".split("/")
    trees = [f"refs/runs/{RUN}:{'/'.join(above[:depth])}" for depth in range(len(above) + 1)]
    for tree in reversed(trees):
        rows = repo.git("ls-tree", "-z", tree).split("\0")
        kept = [it for it in rows if it and it.partition("\t")[2] != name]
        listing = "".join(f"{it}\0" for it in [*kept, *([f"{row}\t{name}"] if row else [])])
        oid = repo.git("mktree", "-z", stdin=listing.encode())
        row, name = f"040000 tree {oid}", above.pop() if above else ""
    text = repo.git("log", "-1", "--format=%B", f"refs/runs/{RUN}")
    commit = repo.git("commit-tree", oid, "-p", f"refs/runs/{RUN}^", stdin=text.encode())
    repo.git("update-ref", f"refs/runs/{RUN}", commit)


def test_whole_attempts(tried: GitRepo) -> None:
    """Nothing is found in them."""
    assert _told(tried) == _told(tried, read_data=True) == []


def test_attempts_that_no_task_has(tried: GitRepo) -> None:
    """What is missing, what is not one of the task's, what is another attempt's or not as its record says."""
    repo = tried
    at = f"refs/runs/{RUN}:{TASK}"
    tree, blob = (repo.git("rev-parse", f"{at}/{it}") for it in ("attempts/0", "TASK"))
    other = repo.git("rev-parse", f"{at}/attempts/1")
    own = repo.git("hash-object", "-w", "--stdin", stdin=b"mine alone")
    tip = repo.git("rev-parse", f"refs/runs/{RUN}")
    all_, where = repo.git("rev-parse", f"{at}/attempts"), f"{RUN}/train/2/attempts"
    for path, row, expected in (
        ("attempts", None, ("layout", where, "there is no entry 0")),
        ("attempts", f"100644 blob {own}", ("layout", where, "it is a file")),
        ("attempts/0", None, ("layout", where, "there is no entry 0")),
        ("attempts/7", f"040000 tree {tree}", ("layout", f"{where}/7", f"a directory{_NONE}")),
        ("attempts/2", f"040000 tree {tree}", ("layout", f"{where}/2", f"a directory{_NONE}")),
        ("attempts/00", f"040000 tree {tree}", ("layout", f"{where}/00", f"a directory{_NONE}")),
        ("attempts/0", f"100644 blob {own}", ("layout", f"{where}/0", f"a file{_NONE}")),
        ("attempts/0", f"040000 tree {other}", ("record", f"{where}/0", "its record is that of another attempt")),
        ("attempts/0/TASK", None, ("layout", f"{where}/0", "there is no entry TASK")),
        ("attempts/0/TASK", f"100644 blob {blob}", ("record", f"{where}/0", "its record is that of another attempt")),
        ("attempts/0/TASK", f"100644 blob {own}", ("record", f"{where}/0/TASK", "")),
        ("attempts/0/times", f"100644 blob {own}", ("record", f"{where}/0/times", "")),
        ("attempts/0/attempts", f"040000 tree {all_}", ("layout", f"{where}/0/attempts", "an attempt has no attempts")),
        ("attempts/0/blake3", None, ("artifact", f"{where}/0/x", "")),
        ("attempts/1/later", f"100644 blob {own}", None),
    ):  # fmt: skip
        _change(repo, path, row)
        found = _told(repo)
        if expected is None:
            assert (path, found) == (path, [])
        else:
            kind, place, why = expected
            assert (path, [it[:2] for it in found if why in it[2]].count((kind, place))) == (
                path,
                1,
            ), found
        repo.git("update-ref", f"refs/runs/{RUN}", tip)


@pytest.mark.parametrize("part", ["", "TASK", "stdout", "blake3/{}"])
def test_an_object_of_an_attempt_that_is_lost(tried: GitRepo, part: str) -> None:
    """It is named with its place; an artifact's by the artifact."""
    at = f"refs/runs/{RUN}:{TASK}/attempts/1"
    payload = tried.git("ls-tree", "--name-only", f"{at}/blake3").strip()
    oid = tried.git("rev-parse", f"{at}/{part.format(payload)}".rstrip("/"))
    objects = tried.path / ".git" / "objects"
    packs = objects / "pack"
    packs.rename(objects / "moved")
    packs.mkdir()
    for pack in Path(objects / "moved").glob("*.pack"):
        tried.git("unpack-objects", "-q", stdin=pack.read_bytes())
    (objects / oid[:2] / oid[2:]).unlink()
    where = f"{RUN}/train/2/attempts/1/{'x' if payload in part.format(payload) else part}".rstrip(
        "/"
    )
    assert ("missing object", where) in [it[:2] for it in _told(tried)]


def test_a_record_that_lists_very_many(tried: GitRepo) -> None:
    """Of a stranger's record the first faults are told, and that there are more."""
    with start_run(tried) as writer:
        writer.commit([finished_task(writer.identity, "train/2", ok=False, attempt=5_000)])
    found = _told(tried)
    assert 1 < len(found) < 200
    assert found[0][1] == "MyFlow/2/train/2/attempts"
