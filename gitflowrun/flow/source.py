"""A step's source as a syntax tree with true line numbers. What the tree means is `parse`'s business.

A file is read and parsed once, whole, and a function is found in it by name and first line: so decorators,
odd indentation, classes inside functions, the running `__main__` script and notebook cells need no special
treatment. `linecache` knows the text of all of them.

What a step's source says of the graph: its arguments and the `self.next` that ends it. No graph yet.

The transition is read statically, so it must be the last statement of the body. A form that is not
understood is kept as a `problem` with its line for `lint` to tell.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from typing import TYPE_CHECKING, Any, TypeGuard

from gitflowrun.errors import FlowError
from gitflowrun.flow.steps import unwrap
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Definition", "Jump", "ParsedStep", "SourceFiles", "parse_step"]


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


@frozen
class Jump:
    """A `self.next(...)` as written.

    Attributes:
        line: Where it is.
        targets: The steps it names.
        foreach: The attribute it iterates over.
        form: `plain` or `foreach`, or `condition` and `num_parallel`, which are read only to be refused.
        problem: Why it can't be understood.
        last: Whether it is the step's last statement.
    """

    line: int
    targets: tuple[str, ...] = ()
    foreach: str | None = None
    form: str = "plain"
    problem: str | None = None
    last: bool = True


@frozen
class ParsedStep:
    """A step as written."""

    name: str
    line: int
    source_file: str
    num_args: int
    variadic: bool
    asynchronous: bool
    jump: Jump | None
    doc: str
    decorators: tuple[str, ...]
    start: bool
    end: bool
    node_info: dict[str, object]


def parse_step(name: str, function: Callable[..., Any], files: SourceFiles) -> ParsedStep:
    """Read a step's source.

    Raises:
        FlowError: the source can't be had.
    """
    definition, filename = files.definition_of(name, unwrap(name, function))
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    myself = positional[0].arg if positional else "self"
    return ParsedStep(
        name=name,
        line=definition.lineno,
        source_file=filename,
        num_args=len(positional),
        variadic=bool(arguments.vararg or arguments.kwarg or arguments.kwonlyargs),
        asynchronous=isinstance(definition, ast.AsyncFunctionDef),
        jump=_jump(definition, myself),
        doc=ast.get_docstring(definition) or "",
        decorators=tuple(_decorator_names(definition)),
        start=bool(getattr(function, "is_start", False)),
        end=bool(getattr(function, "is_end", False)),
        node_info=dict(getattr(function, "node_info", {})),
    )


def _decorator_names(definition: Definition) -> list[str]:
    nodes = [d.func if isinstance(d, ast.Call) else d for d in definition.decorator_list]
    return [name for node in nodes if (name := ast.unparse(node)).rpartition(".")[2] != "step"]


def _jump(definition: Definition, myself: str) -> Jump | None:
    tail = definition.body[-1]
    if isinstance(tail, ast.Expr) and _is_next(tail.value, myself):
        return _read(tail.value, myself)
    lines = [node.lineno for node in ast.walk(definition) if _is_next(node, myself)]
    return Jump(max(lines), last=False) if lines else None


def _is_next(node: ast.AST, myself: str) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "next"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == myself
    )


def _read(call: ast.Call, myself: str) -> Jump:
    line = call.lineno
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    for form in ("condition", "num_parallel"):
        if form in keywords:
            return Jump(line, form=form)
    if any(isinstance(argument, ast.Dict) for argument in call.args):
        return Jump(line, form="condition")
    targets = [_target(argument, myself) for argument in call.args]
    known = tuple(target for target in targets if target is not None)
    unknown = [str(name) if name else "**" for name in keywords if name != "foreach"]
    problem = None
    if unknown:
        problem = f"self.next has no argument {unknown[0]!r}"
    elif not targets:
        problem = "self.next names no step"
    elif len(known) < len(targets):
        argument = call.args[targets.index(None)]
        problem = f"{ast.unparse(argument)!r} is no step: write self.next({myself}.<step>)"
    if "foreach" not in keywords:
        return Jump(line, known, problem=problem)
    variable = keywords["foreach"]
    name = variable.value if isinstance(variable, ast.Constant) else None
    if not isinstance(name, str):
        problem = problem or "foreach takes the name of an attribute, written as a literal string"
        return Jump(line, known, form="foreach", problem=problem)
    if len(targets) > 1:
        problem = problem or "a foreach leads to exactly one step"
    return Jump(line, known, name, "foreach", problem)


def _target(node: ast.expr, myself: str) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == myself else None
    return None
