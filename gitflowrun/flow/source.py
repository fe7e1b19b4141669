"""Steps as they are written: their syntax trees, their arguments and the `self.next` that ends them.

A file is read and parsed once, whole, and a function is found in it by name and first line: so decorators,
odd indentation, classes inside functions, the running `__main__` script and notebook cells need no special
treatment. `linecache` has the text of all of them.

The transition is read statically, so it must be the last statement of the body. A form that is not
understood is kept as a `problem` with its line, which `lint` reports.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any, TypeGuard

from gitflowrun.errors import FlowError
from gitflowrun.flow.steps import unwrap
from gitflowrun.runs.records import CONFIG_CASE
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    # A relative path from before a chdir: the module has the absolute one.
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
    return {(node.name, _first_line(node)): node for node in functions}


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


CaseKey = str | int | float
"""What a case of a switch is chosen by; a key that is taken from a config is the text of its expression."""


@frozen
class NextCall:
    """A call of `self.next` as it is written.

    Attributes:
        line: Where it is.
        targets: The steps it names; those of a switch once each.
        foreach: The attribute it iterates over.
        form: `plain`, `foreach`, `condition` or `num_parallel`.
        problem: Why it can't be understood.
        last: Whether it is the step's last statement.
        condition: The attribute that a switch looks at.
        cases: The cases of a switch: each key, and the step it leads to.
        num_parallel: How many tasks of the target run together: a number, or the text of an expression.
    """

    line: int
    targets: tuple[str, ...] = ()
    foreach: str | None = None
    form: str = "plain"
    problem: str | None = None
    last: bool = True
    condition: str | None = None
    cases: tuple[tuple[CaseKey, str], ...] = ()
    num_parallel: int | str | None = None


@frozen
class ParsedStep:
    """A step as it is written.

    Attributes:
        name: The step's name.
        source_file: The file it is written in.
        func_lineno: The line of its `def`.
        num_args: How many positional arguments its function takes, `self` included.
        is_variadic: Whether its function takes any other arguments.
        is_async: Whether it is an `async def`.
        next_call: The `self.next` that ends it; None when there is none anywhere in it.
        doc: Its docstring.
        written_above: The names of what is written above it behind an @, besides `@step`.
        is_start: Whether it says `@step(start=True)`.
        is_end: Whether it says `@step(end=True)`.
        node_info: Facts the flow gave with `@step(node_info=...)`.
        lines: Its first line, which may be that of a decorator, and its last one.
    """

    name: str
    source_file: str
    func_lineno: int
    num_args: int
    is_variadic: bool
    is_async: bool
    next_call: NextCall | None
    doc: str
    written_above: tuple[str, ...]
    is_start: bool
    is_end: bool
    node_info: dict[str, object]
    lines: tuple[int, int]

    @property
    def form(self) -> str:
        """The form of its `self.next`, as `NextCall` has it; `plain` without one."""
        return self.next_call.form if self.next_call else "plain"

    @property
    def out_funcs(self) -> tuple[str, ...]:
        """The steps it leads to."""
        return self.next_call.targets if self.next_call else ()

    @property
    def foreach_param(self) -> str | None:
        """The attribute its foreach iterates over."""
        return self.next_call.foreach if self.next_call else None

    @property
    def condition(self) -> str | None:
        """The attribute that its switch looks at."""
        return self.next_call.condition if self.next_call else None

    @property
    def switch_cases(self) -> dict[CaseKey, str]:
        """The cases of its switch, and the step that each leads to."""
        return dict(self.next_call.cases) if self.next_call else {}

    @property
    def num_parallel(self) -> int | str | None:
        """How many tasks of the step it leads to run together: a number, or the text of an expression."""
        return self.next_call.num_parallel if self.next_call else None

    @property
    def parallel_foreach(self) -> bool:
        """Whether it leads to a gang."""
        return self.num_parallel is not None

    @property
    def has_tail_next(self) -> bool:
        """Whether a `self.next` is its last statement."""
        return self.next_call is not None and self.next_call.last

    @property
    def invalid_tail_next(self) -> bool:
        """Whether that can't be understood."""
        return self.has_tail_next and self.next_call is not None and bool(self.next_call.problem)

    @property
    def tail_next_lineno(self) -> int:
        """The line of its `self.next`; 0 without one."""
        return self.next_call.line if self.next_call else 0


def parse_step(name: str, function: Callable[..., Any], files: SourceFiles) -> ParsedStep:
    """Read a step's source.

    Args:
        name: The step's name.
        function: What the class has under that name.
        files: The source files that have been read already.

    Raises:
        FlowError: the source can't be had.
    """
    definition, filename = files.definition_of(name, unwrap(name, function))
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    self_name = positional[0].arg if positional else "self"
    return ParsedStep(
        name=name,
        source_file=filename,
        func_lineno=definition.lineno,
        num_args=len(positional),
        is_variadic=bool(arguments.vararg or arguments.kwarg or arguments.kwonlyargs),
        is_async=isinstance(definition, ast.AsyncFunctionDef),
        next_call=_next_call(definition, self_name),
        doc=clean_docstring(ast.get_docstring(definition, clean=False)),
        written_above=tuple(_decorator_names(definition)),
        is_start=bool(getattr(function, "is_start", False)),
        is_end=bool(getattr(function, "is_end", False)),
        node_info=dict(getattr(function, "node_info", {})),
        lines=(_first_line(definition), definition.end_lineno or definition.lineno),
    )


def assignment(
    name: str, function: Callable[..., Any], attribute: str
) -> tuple[int | None, str | None]:
    """Line and file where a step assigns to an attribute of `self`; None where nothing in it does.

    Args:
        name: The step's name.
        function: What the class has under that name.
        attribute: The attribute's name.
    """
    definition, filename = SourceFiles().definition_of(name, unwrap(name, function))
    lines = [
        node.lineno
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and _attribute(node, definition.args.args[0].arg) == attribute
    ]
    return (max(lines), filename) if lines else (None, None)


def clean_docstring(doc: str | None) -> str:
    """A docstring without its indentation, as `inspect.cleandoc` makes it; "" for None.

    Importing `inspect` takes 5 ms and memory that each forked task inherits.
    """
    first, _, rest = (doc or "").expandtabs().partition("\n")
    return f"{first.lstrip()}\n{textwrap.dedent(rest)}".strip("\n")


def _decorator_names(definition: Definition) -> list[str]:
    nodes = [d.func if isinstance(d, ast.Call) else d for d in definition.decorator_list]
    return [name for node in nodes if (name := ast.unparse(node)).rpartition(".")[2] != "step"]


def _next_call(definition: Definition, self_name: str) -> NextCall | None:
    tail = definition.body[-1]
    if isinstance(tail, ast.Expr) and _is_next(tail.value, self_name):
        return _read(tail.value, self_name)
    lines = [node.lineno for node in ast.walk(definition) if _is_next(node, self_name)]
    return NextCall(max(lines), last=False) if lines else None


def _is_next(node: ast.AST, self_name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and _attribute(node.func, self_name) == "next"


_FORMS = ("foreach", "condition", "num_parallel")
_NUMBERS = (int, float)
_NO_CONDITION = "a dictionary of cases goes with condition='name', a literal string"


def _read(call: ast.Call, self_name: str) -> NextCall:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    unknown = [str(name) if name else "**" for name in keywords if name not in _FORMS]
    form = next((form for form in _FORMS if form in keywords), "plain")
    dictionaries = [argument for argument in call.args if isinstance(argument, ast.Dict)]
    if unknown:
        return NextCall(call.lineno, problem=f"self.next has no argument {unknown[0]!r}")
    if not call.args:
        return NextCall(call.lineno, problem="self.next names no step")
    if len(keywords) > 1:
        together = " and ".join(str(name) for name in keywords)
        return NextCall(call.lineno, problem=f"{together} can't go together")
    if dictionaries or form == "condition":
        return _read_switch(call, keywords.get("condition"), self_name)
    targets = [_attribute(argument, self_name) for argument in call.args]
    steps = tuple(target for target in targets if target is not None)
    problem = None
    if len(steps) < len(targets):
        argument = call.args[targets.index(None)]
        problem = f"{ast.unparse(argument)!r} is no step: write self.next({self_name}.<step>)"
    elif form != "plain" and len(targets) > 1:
        problem = f"a {form} leads to exactly one step"
    return _read_split(NextCall(call.lineno, steps, form=form, problem=problem), keywords)


def _read_split(call: NextCall, keywords: Mapping[str | None, ast.expr]) -> NextCall:
    """The same call with what it says of a foreach or a gang."""
    if call.form == "foreach":
        name = _literal(keywords["foreach"])
        if not isinstance(name, str):
            problem = "foreach takes the name of an attribute, written as a literal string"
            return replace(call, problem=call.problem or problem)
        return replace(call, foreach=name)
    if call.form == "num_parallel":
        count = _literal(keywords["num_parallel"])
        text = ast.unparse(keywords["num_parallel"])
        return replace(call, num_parallel=count if type(count) is int else text)
    return call


def _read_switch(call: ast.Call, condition: ast.expr | None, self_name: str) -> NextCall:
    cases = call.args[0]
    if len(call.args) > 1 or not isinstance(cases, ast.Dict):
        no_dictionary = "a condition goes with exactly one dictionary of cases, written in the call"
        return NextCall(call.lineno, form="condition", problem=no_dictionary)
    literal = _literal(condition)
    name = literal if isinstance(literal, str) else None
    problem = _NO_CONDITION if name is None else None
    found: list[tuple[CaseKey, str]] = []
    for key, value in zip(cases.keys, cases.values, strict=True):
        read, target = _case_key(key, self_name), _attribute(value, self_name)
        if read is None:
            text = "**" if key is None else ast.unparse(key)
            problem = problem or (
                f"{text!r} can't be a case: write a string, a number, or {self_name}.<config>.<key>"
            )
        elif target is None:
            problem = (
                problem or f"the case {read!r} leads to {ast.unparse(value)!r}, which is no step"
            )
        else:
            found.append((read, target))
    targets = tuple(dict.fromkeys(target for _, target in found))
    return NextCall(
        call.lineno, targets, None, "condition", problem, condition=name, cases=tuple(found)
    )


def _case_key(node: ast.expr | None, self_name: str) -> CaseKey | None:
    """What a case is chosen by: a literal, or the text of an expression that takes it from a config."""
    value = _literal(node)
    if isinstance(value, (str, *_NUMBERS)):
        return value
    if node is None or _attribute(node, self_name) is not None:
        return None
    root = node
    while isinstance(root, ast.Attribute | ast.Subscript):
        if isinstance(root, ast.Subscript) and _literal(root.slice) is None:
            return None
        if _attribute(root, self_name) is not None:
            return f"{CONFIG_CASE}{ast.unparse(node).removeprefix(f'{self_name}.')}"
        root = root.value
    return None


def _literal(node: ast.expr | None) -> Any:
    """The value of a literal, a number with a sign included; None of anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _literal(node.operand)
        signed = type(value) in _NUMBERS
        return (-value if isinstance(node.op, ast.USub) else value) if signed else None
    return node.value if isinstance(node, ast.Constant) else None


def _attribute(node: ast.expr, self_name: str) -> str | None:
    """The name of an attribute of `self`; None of anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == self_name else None
    return None
