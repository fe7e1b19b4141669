"""What a step's source says of the graph: its arguments and the `self.next` that ends it. No graph yet.

The transition is read statically, so it must be the last statement of the body. A form that is not
understood is kept as a `problem` with its line for `lint` to tell.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from gitflowrun.flow.steps import unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.flow.source import Definition, SourceFiles

__all__ = ["Jump", "ParsedStep", "parse_step"]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
