"""docs/architecture.md names files, classes and functions of the package: each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "gitflowrun"
LONGEST = 10 * 1024


def _names() -> list[str]:
    """What the document sets in `code`, without its blocks of code."""
    text = re.sub(r"```.*?```", "", DOCUMENT.read_text(), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def _definitions() -> set[str]:
    """Classes, functions, methods (`Class.method`) and constants of all modules."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.add(node.name)
                found.update(
                    f"{node.name}.{item.name}"
                    for item in node.body
                    if isinstance(item, ast.FunctionDef)
                )
            elif isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign):
                found.update(item.id for item in node.targets if isinstance(item, ast.Name))
    return found


def _is_a_place(name: str) -> bool:
    return any((base / name).exists() or (base / f"{name}.py").exists() for base in (ROOT, PACKAGE))


def test_every_name_exists() -> None:
    """A path is a file or folder; what looks like a class, function() or CONSTANT is defined somewhere."""
    definitions = _definitions()
    missing = []
    for name in _names():
        if re.fullmatch(r"[a-z_]+(/[a-z_.]+)+/?", name):
            missing += [name] * (not _is_a_place(name))
        elif dotted := re.fullmatch(r"((?:[a-z_]+\.)+)([A-Z]\w+|[a-z_]+\(\))", name):
            place = dotted[1].rstrip(".").replace(".", "/")
            missing += [name] * (not _is_a_place(place) or dotted[2] not in definitions)
        elif re.fullmatch(r"[A-Z][A-Za-z]+(\.\w+)?(\(\))?|[A-Z_]{3,}|\w+\(\)", name):
            missing += [name] * (name.removesuffix("()") not in definitions)
    assert missing == []


def test_it_is_short() -> None:
    """It fits on a few pages: at most 10 KB."""
    assert len(DOCUMENT.read_bytes()) <= LONGEST
