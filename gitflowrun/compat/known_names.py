"""The modules of Metaflow 2.19.39, and the names that each of them defines: what programs may import.

`metaflow_names.txt` has a line for each module: its name below `metaflow` (`.` is itself), then its names. Lines that
begin with `=` have what modules import from Python's own, where extension packages take it from: a module of Python's
(`.` for modules themselves), then names. It is read when something is asked for that this package does not have.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any


@functools.cache
def _rows() -> list[list[str]]:
    file = os.path.join(os.path.dirname(__file__), "metaflow_names.txt")  # noqa: PTH118, PTH120  (pathlib is an import)
    with open(file, encoding="ascii") as opened:  # noqa: PTH123
        return [line.split() for line in opened]


@functools.cache
def known_names() -> dict[str, frozenset[str]]:
    """The names that each module defines, by the module's name below `metaflow`."""
    found = {row[0].strip("."): frozenset(row[1:]) for row in _rows() if row[0] != "="}
    for module in list(found):  # directories without code of their own
        found.setdefault(module.rpartition(".")[0], frozenset())
    return found


def python_name(name: str) -> Any:
    """What Metaflow's modules import from Python's by a name; None when there is nothing of it."""
    for row in _rows():
        if row[0] == "=" and name in row[2:]:
            module = row[1]
            return (
                importlib.import_module(name)
                if module == "."
                else getattr(importlib.import_module(module), name)
            )
    return None


@functools.cache
def _definers() -> dict[str, str]:
    found: dict[str, str] = {}
    for module, names in known_names().items():
        for name in names:
            found.setdefault(name, module)
    return found


def defined_in(name: str, module: str) -> str | None:
    """The module that defines a name which another one has, defined or imported; None when no module has it."""
    if name in known_names().get(module, ()):
        return module
    return _definers().get(name)
