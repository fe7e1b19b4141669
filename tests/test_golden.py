"""Repositories that releases have written, one of each format, are read as they were written.

`tests/golden/<release>.bundle` is a git bundle of one. Its flow lies in it, as `git show runs/Golden/1:code/golden.py`
shows: run 1 failed (FAILS=1, --alpha 0.25), run 2 resumed it and was tagged, run 3 has changed code. The bundle of a
release is never made anew; another format gets its own, by the same commands and `git bundle create --all`.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from gitflowrun import Flow, Run, metadata, namespace
from gitflowrun.client import repository
from tests.helpers.repos import GitRepo

BUNDLES = sorted(Path(__file__).with_name("golden").glob("*.bundle"))
PLAIN = {
    "none": None, "flag": True, "number": 7, "big": 10**30, "real": 0.1, "text": "漢字",
    "bytes": b"\x00\xff", "tuple": (1, (2, "x")), "set": {3, 1, 2}, "frozen": frozenset("ab"),
    "complex": 1 + 2j, "when": dt.datetime(2026, 11, 28, 12, 30, tzinfo=dt.timezone.utc),
    "day": dt.date(2026, 11, 28), "span": dt.timedelta(hours=1), "decimal": Decimal("1.50"),
    "fraction": Fraction(1, 3), "path": PurePosixPath("a/b"), "range": range(3),
}  # fmt: skip


@pytest.fixture(params=BUNDLES, ids=[path.stem for path in BUNDLES])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitRepo]:
    """A clone of such a repository, with its work tree."""
    path = tmp_path / "golden"
    subprocess.run(["git", "clone", "-q", str(request.param), str(path)], check=True)
    repo = GitRepo(path)
    repo.git("fetch", "-q", "origin", "refs/runs/*:refs/runs/*", "refs/tags/*:refs/tags/*")
    yield repo
    for chosen in (repository._namespace, repository._chosen, repository._open):
        chosen.clear()


def _told(repo: GitRepo, *words: str, code: int = 0) -> str:
    done = repo.call(*words)
    assert (done.code, done.err) == (code, ""), (words, done)
    return done.out


def test_golden_repositories_are_read(golden: GitRepo) -> None:
    """Lists, what is shown and compared, output, and every value, with its type."""
    listed = json.loads(_told(golden, "list", "--json"))
    assert [(run["id"], run["status"], run["tasks"], run["tags"]) for run in listed] == [
        ("3", "done", 5, []), ("2", "done", 5, ["first try", "good"]), ("1", "failed", 4, []),
    ]  # fmt: skip
    assert (listed[1]["origin"][:16], listed[1]["user"], listed[0]["dirty"]) == (
        "resume Golden/1 ", "ada", True
    )  # fmt: skip
    assert "alpha" in _told(golden, "show", "2")
    assert "golden.py" in _told(golden, "diff", "2", "3")
    assert "hello\n" in _told(golden, "logs", "1/start")
    assert _told(golden, "cat", "good/end/result").strip() == "2"
    _told(golden, "fsck", "--read-data")
    _told(golden, "doctor")
    namespace(None)
    metadata(str(golden.path))
    run: Any = Run("Golden/2")
    assert run.data.plain == PLAIN
    assert {name: type(value) for name, value in run.data.plain.items()} == {
        name: type(value) for name, value in PLAIN.items()
    }
    assert (run.data.alpha, run.data.word, run.data.all) == (0.25, "wörd", ["aaa", "bbb"])
    start = run["start"].task.data
    assert (start.raw, start.text, start.large) == (b"raw bytes", "line\n" * 3, b"large" * 500_000)
    assert (start.counter, type(start.counter)) == (Counter("abca"), Counter)
    assert [it.pathspec for it in Flow("Golden")] == ["Golden/3", "Golden/2", "Golden/1"]
    golden.fsck()


def test_golden_runs_go_on(golden: GitRepo) -> None:
    """Its failed run is resumed here, its numbers go on, and it can be pushed."""
    done = golden.flow("golden.py", "resume", "1")
    assert done.code == 0, done.err
    assert json.loads(_told(golden, "list", "-n1", "--json"))[0]["id"] == "4"
    assert _told(golden, "cat", "4/end/result").strip() == "2"
    _told(golden, "trust", "1")
    _told(golden, "fsck")
    subprocess.run(["git", "init", "-q", "--bare", "server.git"], cwd=golden.path, check=True)
    assert "4 runs new, 2 tags added" in _told(golden, "push", "server.git", "--all")
