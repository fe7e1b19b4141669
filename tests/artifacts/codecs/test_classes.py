"""Values of classes that the flow's own file defines, stored by one process and loaded by others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.repos import Output, run_program

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
    done = run_program([sys.executable, "my_flow.py"], tmp_path)
    assert done.out.split() == ["plain", "plain/1", "pickle", "pickle/5"], done.err
    return tmp_path


def _load(stored: Path, *args: str) -> Output:
    return run_program([sys.executable, "load.py", *args], stored)


def test_the_script_itself_loads_its_classes(stored: Path) -> None:
    """A later step finds them in `__main__`, trusted or not."""
    script = FLOW.partition("if __name__")[0] + LOAD
    (stored / "my_flow.py").write_text(script)
    for args in (["plain", "plain/1"], ["pickle", "pickle/5", "trusted"]):
        done = run_program([sys.executable, "my_flow.py", *args], stored)
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
