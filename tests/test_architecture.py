"""The walls: imports point downwards, each library has its room, files stay small, the library never prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gitflowrun"
LAYERS = {
    "errors": 0, "names": 0, "settings": 0,
    "git": 1,
    "store": 2,
    "flow": 3, "client": 3, "version": 3, "meta_files": 4,
    "runtime": 4,
    "porcelain": 5, "cmd": 7,
    "cli": 6, "ui": 6,
}  # fmt: skip
SIBLINGS = {("flow", "client"), ("client", "flow"), ("cli", "ui"), ("ui", "cli")}
ROOMS_OF = {
    "pygit2": {"git"},
    "msgpack": {"store/wire.py", "store/codecs"},
    "blake3": {"store", "git"},
    "click": {"cli", "cmd"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _room(module: str) -> str:
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    """A module imports only from its own room or from rooms below it, and siblings never meet."""
    room = _room(_name(path))
    if room == "__init__":
        return
    for module in _imports(path):
        if not module.startswith("gitflowrun."):
            continue
        other = module.split(".")[1]
        assert LAYERS[other] <= LAYERS[room], f"{room} imports {module}"
        assert (room, other) not in SIBLINGS, f"{room} imports its sibling {module}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_each_library_has_its_room(path: Path) -> None:
    """pygit2, msgpack, blake3 and click are imported only where they belong."""
    name = _name(path)
    for module in _imports(path):
        rooms = ROOMS_OF.get(module.split(".")[0])
        assert rooms is None or any(name.startswith(room) for room in rooms), f"imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_files_are_small_and_introduce_themselves(path: Path) -> None:
    """No file has more than 500 lines, and each says in its docstring what belongs there."""
    text = path.read_text()
    assert text.count("\n") <= 500
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_the_library_never_prints(path: Path) -> None:
    """Only cli/, ui/ and cmd/ talk to people."""
    if _room(_name(path)) in {"cli", "ui", "cmd"}:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"prints in line {node.lineno}"
