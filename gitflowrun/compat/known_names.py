"""The modules of Metaflow 2.19.39, and the names that each of them defines: what programs may import.

`metaflow_names.txt` has a line for each module: its name below `metaflow` (`.` is itself), then its names. It is read
when something is asked for that this package does not have.
"""

from __future__ import annotations

import functools
import os


@functools.cache
def known_names() -> dict[str, frozenset[str]]:
    """The names that each module defines, by the module's name below `metaflow`."""
    file = os.path.join(os.path.dirname(__file__), "metaflow_names.txt")  # noqa: PTH118, PTH120  (pathlib is an import)
    with open(file, encoding="ascii") as opened:  # noqa: PTH123
        rows = [line.split() for line in opened]
    found = {module.strip("."): frozenset(names) for module, *names in rows}
    for module in list(found):  # directories without code of their own
        found.setdefault(module.rpartition(".")[0], frozenset())
    return found


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
