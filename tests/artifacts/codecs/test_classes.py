"""Values of classes that the flow's own file defines, stored by one process and loaded by others."""

from __future__ import annotations

import dataclasses
import enum
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.errors import ClassChanged
from tests.helpers.repos import GitRepo, Output

FLOW = """
import dataclasses, enum, sys
from pathlib import Path

class Kind(enum.Enum):
    GOOD = 1

@dataclasses.dataclass
class Point:
    x: int
    kind: Kind = Kind.GOOD

class Plain:
    def __init__(self, x):
        self.x = x

class Outer:
    @dataclasses.dataclass
    class Inner:
        x: int

if __name__ == "__main__":
    from gitflowrun.artifacts.codecs import encode
    for name, value in {"plain": [Point(1), Outer.Inner(2)], "pickle": Plain(3)}.items():
        made = encode(value)
        Path(name).write_bytes(made.payload())
        print(name, made.codec)
"""
LOAD = """
import sys
from pathlib import Path
from gitflowrun.errors import GitflowrunError
from gitflowrun.artifacts.codecs import decode
if "import" in sys.argv:
    import my_flow
name, codec = sys.argv[1:3]
try:
    value = decode(codec, Path(name).read_bytes(), trusted="trusted" in sys.argv)
except GitflowrunError as error:
    raise SystemExit(f"{type(error).__name__}: {error} ({error.hint})")
print(type(value[0] if name == "plain" else value).__module__)
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A directory with a flow that was run as a script, and what it stored."""
    (tmp_path / "my_flow.py").write_text(FLOW)
    (tmp_path / "load.py").write_text(LOAD)
    done = GitRepo(tmp_path).flow("my_flow.py")
    assert done.out.split() == ["plain", "plain/1", "pickle", "pickle/5"], done.err
    return tmp_path


def _load(stored: Path, *args: str) -> Output:
    return GitRepo(stored).flow("load.py", *args)


def test_the_script_itself_loads_its_classes(stored: Path) -> None:
    """A later step finds them in `__main__`, trusted or not."""
    script = FLOW.partition("if __name__")[0] + LOAD
    (stored / "my_flow.py").write_text(script)
    for args in (["plain", "plain/1"], ["pickle", "pickle/5", "trusted"]):
        done = GitRepo(stored).flow("my_flow.py", *args)
        assert done.out == "__main__\n", done.err


def test_a_client_that_imported_the_flow_loads_them(stored: Path) -> None:
    """Without trust, for the module is here already; a pickle needs trust all the same."""
    assert _load(stored, "plain", "plain/1", "import").out == "my_flow\n"
    assert _load(stored, "pickle", "pickle/5", "import", "trusted").out == "my_flow\n"
    assert "UntrustedArtifact" in _load(stored, "pickle", "pickle/5", "import").err


def test_a_client_of_a_trusted_run_imports_the_flow(stored: Path) -> None:
    """What `__main__` was is found by the file's name."""
    assert _load(stored, "plain", "plain/1", "trusted").out == "my_flow\n"
    assert _load(stored, "pickle", "pickle/5", "trusted").out == "my_flow\n"


def test_a_client_of_a_stranger_is_told_what_to_import(stored: Path) -> None:
    """Nothing is imported; the hint names the module."""
    done = _load(stored, "plain", "plain/1")
    assert done.err.startswith("UntrustedArtifact: the value needs my_flow.")
    assert "`import my_flow`" in done.err


def test_a_flow_that_is_not_here_is_named(stored: Path) -> None:
    """Elsewhere, the message names module and class, not `__main__`."""
    (stored / "my_flow.py").unlink()
    for args in (["plain", "plain/1"], ["pickle", "pickle/5"]):
        done = _load(stored, *args, "trusted")
        assert done.err.startswith("NotFound: the value needs my_flow."), done.err


class Kind(enum.Enum):
    """Loses a member."""

    A = 1
    B = 2


class Mode(enum.Flag):
    """Loses a member."""

    R = 1
    W = 2


class Pair(NamedTuple):
    """Gets a field."""

    a: int
    b: int


@dataclasses.dataclass
class Point:
    """Becomes another kind of class."""

    x: int


class Plain:
    """A class that pickle stores."""

    def __init__(self) -> None:
        self.x = 1


class _Slotted:
    __slots__ = ()


class _Refusing:
    def __setstate__(self, state: Any) -> None:
        raise KeyError(state["y"])


class Forgetful:
    """It pickles what doesn't rebuild it."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> Any:
        return Forgetful, ()


def test_a_class_that_never_took_what_it_pickles_is_not_said_to_have_changed() -> None:
    """The message has what failed, and the hint both ways out: which of them it is a pickle doesn't say."""
    made = encode(Forgetful(1))
    with pytest.raises(ClassChanged, match=r"missing 1 required .*'size'.*does not take") as caught:
        decode(made.codec, made.payload(), trusted=True)
    assert "__reduce__" in str(caught.value.hint)
    assert "has changed" not in caught.value.headline


@pytest.mark.parametrize(
    ("value", "now", "reason"),
    [
        (Kind.B, enum.Enum("Kind", "A BETA"), "no member 'B'"),
        (Kind.A, Plain, "no enum any more"),
        (Mode.R | Mode.W, enum.Flag("Mode", "R"), "3"),
        (Pair(1, 2), NamedTuple("Pair", [("a", int), ("b", int), ("c", int)]), "a, b, c, and 2"),
        (Pair(1, 2), Plain, "no named tuple any more"),
        (Point(1), Plain, "no dataclass any more"),
        (Point(1), dataclasses.make_dataclass("Point", ["y"], slots=True), "no place for 'x'"),
        (Point(1), lambda: 1, "no dataclass"),
        (Plain(), _Slotted, "AttributeError"),
        (Plain(), _Refusing, "KeyError"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_class_that_has_changed_is_said_to_have(
    value: Any, now: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value is not called corrupt: the class is there, and no longer what the value needs."""
    made = encode({"value": value})
    assert decode(made.codec, made.payload(), trusted=True).keys() == {"value"}
    monkeypatch.setattr(sys.modules[__name__], type(value).__name__, now)
    with pytest.raises(ClassChanged, match=reason):
        decode(made.codec, made.payload(), trusted=True)


WITH_FUNCTIONS = """
import enum
from gitflowrun.artifacts.codecs import decode, encode

class Kind(enum.Enum):
    GOOD = 1

class Plain:
    @staticmethod
    def double(x):
        return 2 * x

value = {"f": lambda x: (x, Plain), "kind": Kind.GOOD, "plain": Plain()}
made = encode(value)
loaded = decode(made.codec, made.payload(), trusted=True)
same = loaded["f"](1) == (1, Plain), loaded["kind"] is Kind.GOOD, type(loaded["plain"]) is Plain
print(made.codec, *same)
alone = encode(Plain.double)
print(alone.codec, decode(alone.codec, alone.payload(), trusted=True) is Plain.double)
"""


def test_classes_of_the_flow_are_its_own_beside_functions(tmp_path: Path) -> None:
    """A lambda within a value makes no second class of a class, nor a second member of an enum."""
    pytest.importorskip("cloudpickle")
    (tmp_path / "my_flow.py").write_text(WITH_FUNCTIONS)
    done = GitRepo(tmp_path).flow("my_flow.py")
    assert done.out.splitlines()[1] == "pickle/5 True", done.err
    assert done.out.splitlines()[0] == "cloudpickle/1 True True True", done.err
