"""The rules that a graph must keep to be able to run; a breach is an error with the line that breaks it.

The rules are Metaflow's without its conditional transitions and gangs, which are refused by name. Each is a
function that raises at the first breach; later ones rely on earlier ones, so the order of `_RULES` matters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.errors import LintError
from gitflowrun.flow.flowspec import FlowSpec
from gitflowrun.flow.steps import RESERVED_STEPS
from gitflowrun.limits import MAX_STEP_NAME
from gitflowrun.names import check_flow_name, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from gitflowrun.flow.graph import FlowGraph, Node

_STEP_NAME = re.compile(r"[a-z0-9][a-z0-9_]*\Z")
_TAKEN = RESERVED_STEPS | {name for name in vars(FlowSpec) if not name.startswith("_")}
_UNAVAILABLE = {
    "condition": "conditional transitions (a dictionary and condition=...)",
    "num_parallel": "gangs of parallel tasks (num_parallel=...)",
}
# The splits that a path has opened and not closed, each with the branch it took.
Path = tuple[tuple[str, str], ...]


def lint(graph: FlowGraph) -> None:
    """Check a graph.

    Raises:
        LintError: the first rule that is broken, with file and line.
        UsageError: the flow's name can't name runs.
    """
    check_flow_name(graph.name)
    for rule in _RULES:
        rule(graph)


def _breach(node: Node, message: str, hint: str, line: int | None = None) -> LintError:
    return LintError(message, hint=hint, line=line or node.func_lineno, source=node.source_file)


def _at_next(node: Node, message: str, hint: str) -> LintError:
    return _breach(node, message, hint, node.tail_next_lineno)


def _names(graph: FlowGraph) -> None:
    for node in graph:
        if node.name in _TAKEN:
            raise _breach(
                node, f"no step can be named {node.name!r}", "choose another name: flows use it"
            )
        if not _STEP_NAME.match(node.name):
            raise _breach(
                node,
                f"{node.name!r} can't name a step",
                "use lower-case ASCII letters, digits and underscores; don't begin with an underscore",
            )
        if len(node.name) > MAX_STEP_NAME:
            raise _breach(
                node,
                f"{node.name!r} can't name a step",
                f"choose a shorter name: it has {len(node.name)} characters, {MAX_STEP_NAME} at most are possible",
            )


def _endpoints(graph: FlowGraph) -> None:
    for which, found in (("start", graph.start_steps), ("end", graph.end_steps)):
        named = graph.nodes.get(which)
        if not found:
            raise LintError(
                f"flow {graph.name!r} has no {which} step",
                hint=f"name a step {which!r}, or mark one with @step({which}=True)",
            )
        if len(found) > 1:
            raise _breach(
                graph[found[1]],
                f"flow {graph.name!r} has {len(found)} {which} steps: {_listed(found)}",
                f"mark one step with {which}=True",
            )
        if named is not None and found != [which]:
            raise _breach(
                named,
                f"step {which!r} is named like the {which}, but {found[0]!r} is marked with {which}=True",
                f"rename {which!r}, or take {which}=True away",
            )


def _arguments(graph: FlowGraph) -> None:
    for node in graph:
        if node.is_async:
            raise _breach(node, f"step {node.name!r} is asynchronous", "write it with `def`")
        if node.num_args not in {1, 2} or node.is_variadic:
            raise _breach(
                node,
                f"step {node.name!r} takes the wrong arguments",
                f"write def {node.name}(self), or def {node.name}(self, inputs) for a join",
            )


def _transitions(graph: FlowGraph) -> None:
    for node in graph:
        if node.name != graph.end_step:
            _tail(node)
    end = graph[graph.end_step or ""]
    if end.next_call is not None:
        raise _at_next(
            end,
            f"the flow ends with step {end.name!r}, but the step calls self.next",
            "take self.next out of it",
        )


def _tail(node: Node) -> None:
    call = node.next_call
    if call is None:
        raise _breach(
            node,
            f"step {node.name!r} has no self.next",
            "every step but the end says where to go on, in its last line: self.next(self.<step>)",
        )
    if not call.last:
        raise _at_next(
            node,
            f"self.next is not the last statement of step {node.name!r}",
            "make it the last line of the step, outside of any block and without `return`",
        )
    if call.form in _UNAVAILABLE:
        raise _at_next(
            node,
            f"step {node.name!r}: {_UNAVAILABLE[call.form]} are not available in gitflowrun",
            "use branches, a foreach and joins",
        )
    if call.problem is not None:
        raise _at_next(
            node,
            f"step {node.name!r}: {call.problem}",
            "the graph is read from the source, so steps and names must stand there literally",
        )


def _targets(graph: FlowGraph) -> None:
    for node in graph:
        for target in node.out_funcs:
            if target in graph:
                continue
            otherwise = f"add a step {target!r}, or put @step in front of it"
            raise _at_next(
                node,
                f"step {node.name!r} leads to {target!r}, which is no step",
                did_you_mean(target, graph.nodes, otherwise),
            )
        if len(set(node.out_funcs)) < len(node.out_funcs):
            raise _at_next(
                node,
                f"step {node.name!r} leads to the same step twice",
                "name each branch once, or use a foreach",
            )


def _endpoint_degrees(graph: FlowGraph) -> None:
    start, end = graph[graph.start_step or ""], graph[graph.end_step or ""]
    if end.num_args > 1:
        raise _breach(
            end, f"the end step {end.name!r} is a join", "put a join before it that leads to it"
        )
    if start.in_funcs:
        raise _at_next(
            graph[start.in_funcs[0]],
            f"step {start.in_funcs[0]!r} leads back to the start step {start.name!r}",
            "nothing may lead to the start",
        )


def _cycles(graph: FlowGraph) -> None:
    waiting = graph.nodes.keys() - graph.acyclic_nodes
    if waiting:
        circle = _circle(graph, waiting)
        raise _at_next(
            graph[circle[-2]],
            f"the flow runs in a circle: {' -> '.join(circle)}",
            "change a self.next so that the flow gets to its end",
        )


def _circle(graph: FlowGraph, waiting: Collection[str]) -> list[str]:
    """A circle among steps each of which waits for another one: following them back must repeat."""
    trail = [next(name for name in graph.nodes if name in waiting)]
    while trail.count(trail[-1]) == 1:
        trail.append(next(name for name in graph[trail[-1]].in_funcs if name in waiting))
    return trail[trail.index(trail[-1]) :][::-1]


def _orphans(graph: FlowGraph) -> None:
    # Without circles, what the start does not reach hangs on a step that nothing leads to.
    for node in graph:
        if not node.in_funcs and node.name != graph.start_step:
            raise _breach(
                node,
                f"nothing leads to step {node.name!r}",
                f"add self.next(self.{node.name}) to another step, or remove it",
            )


def _joins(graph: FlowGraph) -> None:
    for node in graph:
        if node.num_args > 1 and _opens(node):
            raise _at_next(
                node,
                f"step {node.name!r} is a join and a split at once",
                "let the join lead to a step of its own that splits",
            )
        straight = [out for out in node.out_funcs if _opens(node) and graph[out].num_args > 1]
        if straight:
            raise _at_next(
                node,
                f"step {node.name!r} splits straight into the join {straight[0]!r}",
                "put a step between them that does the work",
            )


def _balance(graph: FlowGraph) -> None:
    """Walk all paths at once: what meets must have split at the same place, and everything must meet."""
    arrivals: dict[str, list[tuple[str, Path]]] = {node.name: [] for node in graph}
    for name in graph.sorted_nodes:
        node = graph[name]
        if node.type == "join":
            path = _join_path(graph, node, arrivals[name])
        else:
            path = _single_path(graph, node, arrivals[name])
        for target in node.out_funcs:
            arrivals[target].append((name, (*path, (name, target)) if _opens(node) else path))


def _single_path(graph: FlowGraph, node: Node, arrivals: list[tuple[str, Path]]) -> Path:
    path = arrivals[0][1] if arrivals else ()
    if node.name == graph.end_step and path:
        raise _breach(
            node,
            f"the flow ends before the branches of {path[-1][0]!r} are joined",
            f"put a join before {node.name!r}: def join(self, inputs)",
        )
    if len(arrivals) > 1:
        raise _breach(
            node,
            f"branches meet in step {node.name!r}, which is no join: {_listed(a for a, _ in arrivals)}",
            f"make it a join: def {node.name}(self, inputs)",
        )
    return path


def _join_path(graph: FlowGraph, node: Node, arrivals: list[tuple[str, Path]]) -> Path:
    paths = [path for _, path in arrivals]
    if not paths or not all(paths):
        raise _breach(
            node,
            f"step {node.name!r} is a join, but nothing has split before it",
            f"write def {node.name}(self), or put a split before it",
        )
    split, outer = paths[0][-1][0], paths[0][:-1]
    if any(path[-1][0] != split or path[:-1] != outer for path in paths):
        raise _breach(
            node,
            f"the join {node.name!r} is reached from branches of different splits: "
            f"{_listed(arrival for arrival, _ in arrivals)}",
            "close the inner split with a join of its own first",
        )
    missing = [out for out in graph[split].out_funcs if out not in {path[-1][1] for path in paths}]
    if missing:
        raise _breach(
            node,
            f"the join {node.name!r} does not join all branches of {split!r}: "
            f"{_listed(missing)} never gets there",
            f"lead every branch of {split!r} to {node.name!r}",
        )
    return outer


def _opens(node: Node) -> bool:
    return node.foreach_param is not None or len(node.out_funcs) > 1


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


_RULES: tuple[Callable[[FlowGraph], None], ...] = (
    _names,
    _endpoints,
    _arguments,
    _transitions,
    _targets,
    _endpoint_degrees,
    _cycles,
    _orphans,
    _joins,
    _balance,
)
