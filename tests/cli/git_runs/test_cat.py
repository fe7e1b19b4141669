"""`git runs cat`, and how values that need a flow's code are shown without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.helpers.flows import latest, linear_flow, one_task
from tests.helpers.repos import GitRepo, make_repo

_CLASSES = """
import dataclasses, enum, pathlib, typing
pathlib.Path("imported").touch()
class Kind(enum.Enum):
    A = 1
@dataclasses.dataclass
class Conf:
    rate: float
class Point(typing.NamedTuple):
    x: int
class Plain:
    def __init__(self):
        self.depth = 3
class Broken:
    def __repr__(self):
        raise ValueError("no")
"""
_VALUES = """
self.conf, self.kind, self.points = Conf(0.1), Kind.A, [Point(1), Point(2)]
self.plain, self.broken, self.huge = Plain(), Broken(), 2**20000
self.many = [Conf(float(number)) for number in range(2000)]
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of these values, which tests read."""
    repo = make_repo(tmp_path_factory.mktemp("cat") / "stored")
    repo.write("flows/f.py", linear_flow(_VALUES, head=_CLASSES))
    assert repo.flow("flows/f.py", "--quiet", "run").code == 0
    (repo.path / "imported").unlink()
    return repo


def test_values_of_a_flows_classes(stored: GitRepo) -> None:
    """Dataclasses, enums, named tuples and objects are shown beside their flow's file, which is not imported."""
    for name, text in {
        "conf": "Conf(rate=0.1)\n",
        "kind": "<Kind.A: 1>\n",
        "points": "[Point(x=1), Point(x=2)]\n",
        "plain": "<__main__.Plain(depth=3)>\n",
    }.items():
        done = stored.call("cat", f"1/{name}")
        assert (done.code, done.out) == (0, text)
    shown = stored.call("show", "1").out
    assert "  Conf(rate=0.1)\n" in shown
    assert "  <Kind.A: 1>\n" in shown
    assert not (stored.path / "imported").exists()


def test_a_text_of_bytes_that_are_no_utf_8(repo: GitRepo) -> None:
    """What came in on a command line comes out byte by byte; half a character of UTF-16 is no mistake either."""
    repo.write("f.py", linear_flow("self.byte, self.half = 'caf\\udce9', 'x\\ud800'"))
    assert repo.flow("f.py", "--quiet", "run").code == 0
    for name, printed in (("byte", b"caf\xe9"), ("half", b"x\xed\xa0\x80")):
        command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "cat", f"1/{name}"]
        done = subprocess.run(command, cwd=repo.path, capture_output=True, check=True)
        assert done.stdout == printed


def test_a_value_under_another_name(repo: GitRepo) -> None:
    """A later step may call a value otherwise than the one that made it; addresses in memory are not shown."""
    source = "self.conf, self.act = Conf(0.1), lambda: 1"
    later = "self.best, self.done = self.conf, self.act"
    repo.write("flows/f.py", linear_flow(source, later, head=_CLASSES))
    assert repo.flow("flows/f.py", "--quiet", "run").code == 0
    assert repo.call("cat", "1/best").out == "Conf(rate=0.1)\n"
    assert repo.call("cat", "1/done").out == "<function F.start.<locals>.<lambda>>\n"


def test_what_was_cut_says_so(stored: GitRepo) -> None:
    """Where the preview is not all of a value that can't be loaded, that is said beside it, and why."""
    done = stored.call("cat", "1/many")
    assert done.code == 0
    assert done.out.startswith("items: 2000\n[Conf(rate=0.0), Conf(rate=1.0), ")
    assert "note: this is what its task noted: F/1/end/2/many: the value needs f.Conf" in done.err


def test_a_value_that_can_not_be_shown(stored: GitRepo) -> None:
    """A `__repr__` that fails and a number of too many digits are shown as such, by all that show values."""
    for words in (("show", "1"), ("cat", "1/broken"), ("cat", "1/huge"), ("diff", "1", "1")):
        assert stored.call(*words).code == 0
    dumped = stored.flow("flows/f.py", "dump", "1/start", "--max-value-size", "10000")
    assert dumped.code == 0
    assert "Broken: ValueError: no>" in dumped.out


def test_previews_stay_with_the_task_that_made_the_value(stored: GitRepo) -> None:
    """A task that inherits a value does not repeat its preview, and shows it all the same."""
    run = latest(stored)
    assert one_task(run, "start").record.artifacts["conf"].preview
    assert not one_task(run, "end").record.artifacts["conf"].preview
    row = json.loads(stored.call("show", "--json", "1/end/2/conf").out)
    assert (row["preview"], row["facts"]) == ("Conf(rate=0.1)", {})


def test_bytes_are_printed_as_they_are(repo: GitRepo) -> None:
    """A stored file and bytes are printed as they are, not described."""
    repo.write(
        "f.py",
        linear_flow("self.page = from_file('f.py')", head="from gitflowrun import from_file"),
    )
    assert repo.flow("f.py", "--quiet", "run").code == 0
    assert repo.call("cat", "1/page").out == (repo.path / "f.py").read_text()
