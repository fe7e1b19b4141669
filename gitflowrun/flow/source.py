"""A step's source as a syntax tree with true line numbers. What the tree means is `parse`'s business.

A file is read and parsed once, whole, and a function is found in it by name and first line: so decorators,
odd indentation, classes inside functions, the running `__main__` script and notebook cells need no special
treatment. `linecache` knows the text of all of them.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Definition", "SourceFiles"]

Definition = ast.FunctionDef | ast.AsyncFunctionDef


class SourceFiles:
    """Source files, each parsed once for as long as this object lives.

    Syntax trees are large, and every task inherits the memory of the process it is forked from: so nothing
    outlives the reading of one graph.
    """

    def __init__(self) -> None:
        self._parsed: dict[str, dict[tuple[str, int], Definition]] = {}

    def definition_of(self, name: str, function: Callable[..., Any]) -> tuple[Definition, str]:
        """The syntax tree of a step's function and the file it is in.

        Raises:
            FlowError: the source can't be had, does not parse, or does not hold the function.
        """
        code = getattr(function, "__code__", None)
        if code is None:
            raise FlowError(
                f"step {name!r} is a {type(function).__name__}, not a function",
                hint="put @step on a method written with `def`",
            )
        filename = code.co_filename
        if filename not in self._parsed:
            lines = _lines(filename, function)
            if not lines:
                raise FlowError(
                    f"the source of step {name!r} is not available ({filename})",
                    hint="a flow's graph is read from its source: put the flow into a .py file",
                )
            self._parsed[filename] = _definitions(filename, "".join(lines))
        definition = self._parsed[filename].get((code.co_name, code.co_firstlineno))
        if definition is None:
            raise FlowError(
                f"step {name!r} is not in line {code.co_firstlineno} of {filename} any more",
                hint="the file changed after it was imported: start again",
            )
        return definition, filename


def _lines(filename: str, function: Callable[..., Any]) -> list[str]:
    space = getattr(function, "__globals__", {})
    lines = linecache.getlines(filename, space)
    if lines or os.path.isabs(filename):  # noqa: PTH117  (pathlib is an import)
        return lines
    # A relative path from before a chdir: the module knows better.
    module = sys.modules.get(str(space.get("__name__")))
    return linecache.getlines(getattr(module, "__file__", None) or filename, space)


def _definitions(filename: str, text: str) -> dict[tuple[str, int], Definition]:
    """Every function of a file by name and first line, decorators included as `co_firstlineno` counts."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise FlowError(
            f"the flow's source does not parse: {error.msg}", line=error.lineno, source=filename
        ) from None
    functions = (node for node in ast.walk(tree) if isinstance(node, Definition))
    return {
        (node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])): node
        for node in functions
    }
