"""Values that are shown alike and stored otherwise, compared in a process of their own."""

from __future__ import annotations

import json
import subprocess
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import CorruptRecord
from gitflowrun.porcelain.comparison import value_comparison
from gitflowrun.porcelain.comparison.changes import value_changes
from gitflowrun.porcelain.comparison.compare import RunDifference, compare
from gitflowrun.runs.runs import RunStore
from tests.helpers.clones import clone, get
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo
from tests.helpers.warm_popen import WarmPopen
from tests.helpers.warm_python import kept

_HEAD = """
import helper
VERSION = int(os.environ.get("V", 0))
class Shown:
    def __init__(self, value):
        self.value = value
    def __repr__(self):
        return "alike"
class Noted(Shown):  # pickled otherwise in each run
    def __reduce__(self):
        return noted, (self.value, os.environ.get("V", ""))
    def __eq__(self, other):
        return self.value == other.value
class Changing(Noted):
    def __reduce__(self):
        return changing, (self.value, os.urandom(8))
def changing(value, _):
    return Changing(value)
class Named:  # what it has besides is not shown, and not compared
    def __init__(self, weight):
        self._weight = weight
    def __reduce__(self):
        return Named, (self._weight,)
    def __eq__(self, other):
        return True
    def __repr__(self):
        return "resnet"
def noted(value, _):
    return Noted(value)
class Loading(Shown):
    def __setstate__(self, state):
        vars(self).update(state)
        if __name__ != "__main__":
            self.load()
class Loud(Loading):
    def load(self):
        print("LOUD")
        os.system("echo LOUD >&2")
class Crashing(Loading):
    def load(self):
        os.kill(os.getpid(), signal.SIGSEGV)
class Hungry(Loading):
    def load(self):
        self.much = bytearray(1 << 40)
class Slow(Loading):
    def load(self):
        time.sleep(60)
"""


@pytest.fixture
def _begun_by_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the processes that compare begin as forks: where they import from is seen by tests without it."""
    monkeypatch.setattr(subprocess, "Popen", WarmPopen)
    monkeypatch.setenv("PYTHONPATH", kept()["PYTHONPATH"])


def _compared(repo: GitRepo, values: str, *, head: str = "") -> RunDifference:
    """What differs between two runs, the second with another VERSION."""
    repo.write("flows/helper.py", "class Helper:\n    pass\n")
    flow = linear_flow(values, head=_HEAD).replace("(FlowSpec):\n", f"(FlowSpec):\n    {head}\n")
    repo.write("flows/f.py", flow)
    for version in ("1", "2"):
        assert repo.flow("flows/f.py", "--quiet", "run", env={"V": version}).code == 0
    return _difference(repo)


def _difference(repo: GitRepo) -> RunDifference:
    opened = open_repo(repo)
    return compare(opened, *(RunStore(opened).find(run) for run in ("1", "2")))


@pytest.mark.usefixtures("_begun_by_fork")
def test_equal_values_are_no_difference(repo: GitRepo) -> None:
    """Equal values in other bytes are said to be equal, everywhere, and count as no difference."""
    found = _compared(repo, "self.x = [Noted(1), helper.Helper]", head="CONSTANT = Noted(2)")
    said = ("equal (pickled differently)",)
    assert found.changes == {"CONSTANT": said, "x": said}
    assert set(found.equal) == {"CONSTANT", "x"}
    assert not found.differs
    shown = repo.call("diff", "--exit-code", "1", "2")
    assert (shown.code, shown.out.count("equal (pickled differently)")) == (0, 2)
    assert set(json.loads(repo.call("diff", "--json", "1", "2").out)["equal"]) == set(found.equal)
    command = ("-m", "gitflowrun.cmd.diff", "--exit-code", "1", "2")
    plain = repo.flow(*command)
    assert plain.code == 0
    assert plain.out.endswith("\n CONSTANT: equal (pickled differently)\n")
    assert json.loads(repo.flow(*command, "--json").out)["equal"] == ["CONSTANT"]


@pytest.mark.usefixtures("_begun_by_fork")
def test_a_class_that_calls_two_values_equal_is_not_believed(repo: GitRepo) -> None:
    """Many compare a name or an id: what else they have is compared."""
    found = _compared(repo, "self.x = Named(float(os.environ['V']))", head="pass")
    assert found.changes == {"x": ("._weight: 1.0 -> 2.0 (+1)",)}
    assert (set(found.equal), found.differs) == (set(), True)
    assert repo.call("diff", "--exit-code", "1", "2").code == 1


@pytest.mark.usefixtures("_begun_by_fork")
def test_equal_values_that_are_pickled_otherwise_each_time(repo: GitRepo) -> None:
    """Nobody can tell: they count as different, and it is said why."""
    found = _compared(repo, "self.x = Changing(2)", head="pass")
    told = "not compared: their class calls them equal, and they are pickled differently"
    assert found.changes == {"x": (told,)}
    assert (set(found.equal), found.differs) == (set(), True)


def test_no_file_beside_the_flow_is_taken_for_a_library(repo: GitRepo) -> None:
    """What a colleague has put at the top of the repository under a library's name ran neither then nor now."""
    for name in ("cloudpickle", "numpy", "fractions"):
        repo.write(f"{name}.py", f"import os\nos.mkdir({str(repo.path / 'CANARY')!r})\n")
    found = _compared(repo, "self.x = [Noted(1), __import__('fractions').Fraction(1, 2)]")
    assert found.changes == {"x": ("equal (pickled differently)",)}
    assert not (repo.path / "CANARY").exists()


@pytest.mark.usefixtures("_begun_by_fork")
def test_what_the_code_of_values_does_stays_with_it(repo: GitRepo) -> None:
    """What is within values shown alike is compared; code that prints, crashes or takes all memory harms nobody."""
    found = _compared(
        repo,
        "self.a, self.b, self.c, self.d, self.e = ("
        "Shown(VERSION), Crashing(VERSION), Loud([0, VERSION]), Hungry(VERSION), Noted(VERSION))",
    )
    assert found.differs
    assert found.changes == {
        "a": (".value: 1 -> 2 (+1)",),
        "b": ("not compared: the process that loaded them was ended by signal 11",),
        "c": (".value[1]: 1 -> 2 (+1)",),
        "d": ("not compared: it takes more than 4.0 GiB of memory",),
        "e": (".value: 1 -> 2 (+1)",),
    }
    assert found.equal == ()
    shown = repo.call("diff", "1", "2")
    assert "LOUD" not in shown.out + shown.err


@pytest.mark.usefixtures("_begun_by_fork")
def test_a_limit_of_time(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long is ended and said to; what comes after it is compared."""
    monkeypatch.setattr(value_comparison, "COMPARE_SECONDS", 3.0)
    found = _compared(repo, "self.a, self.b = Slow(VERSION), Shown(VERSION)")
    assert found.changes == {
        "a": ("not compared: loading and comparing them takes longer than 3 s",),
        "b": (".value: 1 -> 2 (+1)",),
    }


@pytest.mark.usefixtures("_begun_by_fork")
def test_a_damaged_value_keeps_no_other_from_being_compared(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the one that can't be read it is said why."""
    write = value_comparison._Comparison._write

    def damaged(self: Any, side: Any, name: str) -> None:
        if name == "0.old":
            msg = "its payload is damaged"
            raise CorruptRecord(msg)
        write(self, side, name)

    monkeypatch.setattr(value_comparison._Comparison, "_write", damaged)
    found = _compared(repo, "self.a, self.b = Shown(VERSION), Shown(VERSION)")
    assert found.changes == {
        "a": ("not compared: its payload is damaged",),
        "b": (".value: 1 -> 2 (+1)",),
    }


@pytest.mark.usefixtures("_begun_by_fork")
def test_code_of_strangers_is_not_run(repo: GitRepo) -> None:
    """Values of somebody else's runs are not loaded, and it is said what would allow it."""
    _compared(repo, "self.x = Shown(VERSION)")
    theirs = clone(repo, "theirs")
    get(theirs)
    (line,) = _difference(theirs).changes["x"]
    assert line == (
        "not compared: loading them runs code of F/1 and F/2; if you trust it, "
        "`git runs trust F/1` and `git runs trust F/2`"
    )
    for run in ("F/1", "F/2"):
        assert theirs.call("trust", run).code == 0
    assert _difference(theirs).changes["x"] == (".value: 1 -> 2 (+1)",)


class _Box:
    def __init__(self, **values: object) -> None:
        vars(self).update(values)


class _Slots:
    __slots__ = ("__dict__", "__private", "x")

    def __init__(self, x: int) -> None:
        self.x = self.__private = x


class _Slot:
    __slots__ = "value"  # noqa: PLC0205  (Python takes it)

    def __init__(self, value: int) -> None:
        self.value = value


def test_places_within_objects() -> None:
    """Attributes are compared by name, also of objects that are within themselves; addresses mean nothing."""
    old, new = _Box(a=1, inner=_Box(b=[1, 2]), f=print), _Box(c=1, inner=_Box(b=[1, 3]), f=print)
    old.me, new.me = old, new  # type: ignore[attr-defined]
    assert list(value_changes(old, new)) == [
        ".c: (none) -> 1",
        ".inner.b[1]: 2 -> 3 (+1)",
        ".a: 1 -> (none)",
    ]
    assert list(value_changes(_Slots(1), _Slots(2))) == [
        "._Slots__private: 1 -> 2 (+1)",
        ".x: 1 -> 2 (+1)",
    ]
    assert list(value_changes(_Slot(1), _Slot(2))) == [".value: 1 -> 2 (+1)"]
    assert list(value_changes(_Box(x=object()), _Box(x=_Box()))) == [
        ".x: <object object> -> <tests.porcelain.test_value_comparison._Box object>"
    ]


@pytest.mark.parametrize("part", [[], 0.5, 7, {}, "a"], ids=repr)
@pytest.mark.sample(3)
def test_large_values_are_compared_within_limits(part: object) -> None:
    """A difference behind very many equal parts is found, or it is said that not all were looked at."""
    count = 150_000
    old, new = ([copy(part) for _ in range(count)] for _ in range(2))
    (line,) = value_changes([*old, 1], [*new, 2])
    few = "more than 100,000 parts: the others are not compared"
    assert line == (f"[{count}]: 1 -> 2 (+1)" if isinstance(part, int | float | str) else few)


def test_zeros_have_a_sign() -> None:
    """Values that are equal and yet not the same are differences, within lists too."""
    found = list(value_changes([0.0, 1, 2.0], [-0.0, True, 2.0]))
    assert [line.partition(" (")[0] for line in found] == ["[0]: 0.0 -> -0.0", "[1]: 1 -> True"]


def test_lines_that_difflib_would_take_long_for() -> None:
    """Texts of few lines that come again and again are not compared line by line; others are, however long."""
    old, new = ("".join(f"w{at % 50}\n{mark}{at}\n" for at in range(2_400)) for mark in "yz")
    assert list(value_changes(old, new)) == []
    lines = [f"{at}" for at in range(4_000)]
    changed = ["-", *lines[1:]]
    assert list(value_changes("\n".join(lines) + "\n", "\n".join(changed) + "\n")) == [
        "@@ -1 +1 @@",
        "-0",
        "+-",
    ]


def test_functions_and_classes() -> None:
    """Functions are compared by what they are made of and close over, classes by their attributes."""

    def closing(value: int) -> object:
        return lambda x: x + value

    assert list(value_changes(closing(1), closing(2))) == [".closure['value']: 1 -> 2 (+1)"]
    (line,) = value_changes(lambda x: x * 2, lambda x: x * 3)
    assert line.startswith(".code: '<")
    assert list(value_changes(type("A", (), {"v": 1}), type("A", (), {"v": 2}))) == [
        ".v: 1 -> 2 (+1)"
    ]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_cells_of_frames(library: str) -> None:
    """Of frames each column is named that differs, with the number of rows and the first of them."""
    module = pytest.importorskip(library)
    make = module.table if library == "pyarrow" else module.DataFrame
    old = make({"a": [1, 2, 3], "t": ["x", "y", None], "gone": [0.5, 0.5, 0.5]})
    new = make({"a": [1, 5, 6], "t": ["x", "y", None], "new": [1, 1, 1]})
    lines = list(value_changes(old, new))
    assert lines[0] == "column 'a': 2 of 3 rows differ, row 1: 2 -> 5 (+3)"
    assert [line.partition(":")[0] for line in lines[1:]] == ["column 'new'", "column 'gone'"]


def test_arrays_of_equal_numbers() -> None:
    """Arrays whose numbers are equal and whose bytes are not are said to differ in no number."""
    np = pytest.importorskip("numpy")
    zeros = np.zeros(3)
    (line,) = value_changes(zeros, -zeros)
    assert line.startswith("equal numbers: ")


def test_the_process_takes_no_module_from_its_directory(tmp_path: Path) -> None:
    """Whatever a file there is called: Python's own modules are imported from where Python has them."""
    place = value_comparison._Comparison(tmp_path)
    for name in ("json", "code/__init__", "resource"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)")
    assert place.run([0])[0].lines == (
        "not compared: the process that loaded them was ended with exit code 1",
    )
