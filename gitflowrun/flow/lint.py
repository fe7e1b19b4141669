"""The rules that a graph must keep to be able to run; a breach is an error with the line that breaks it.

The rules are Metaflow's. Each is a function that raises at the first breach; later ones rely on earlier ones, so
the order of `_RULES` matters. How splits and joins must fit together is `balance`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.errors import LintError
from gitflowrun.flow.balance import check_balance
from gitflowrun.flow.flowspec import FlowSpec
from gitflowrun.flow.steps import RESERVED_STEPS
from gitflowrun.limits import MAX_STEP_NAME
from gitflowrun.names import check_flow_name, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from gitflowrun.flow.graph import FlowGraph, Node

_STEP_NAME = re.compile(r"[a-z0-9][a-z0-9_]*\Z")
_TAKEN = RESERVED_STEPS | {name for name in vars(FlowSpec) if not name.startswith("_")}


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
        if node.type != "split-switch" and len(set(node.out_funcs)) < len(node.out_funcs):
            raise _at_next(
                node,
                f"step {node.name!r} leads to the same step twice",
                "name each branch once, or use a foreach",
            )


def _switches(graph: FlowGraph) -> None:
    for node in graph:
        if node.next_call is None or node.form != "condition":
            continue
        keys = [key for key, _ in node.next_call.cases]
        twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
        if twice is not None:
            raise _at_next(
                node,
                f"step {node.name!r} has the case {twice!r} twice",
                "write each case once: True equals 1, and 1.0 does too",
            )
        if len(keys) < 2:  # noqa: PLR2004  (what is no choice)
            raise _at_next(
                node,
                f"step {node.name!r} is a switch with {len(keys)} case{'s' * (not keys)}",
                "a switch has two cases at least; self.next(self.<step>) leads to one step",
            )


def _endpoint_degrees(graph: FlowGraph) -> None:
    start, end = graph[graph.start_step or ""], graph[graph.end_step or ""]
    if end.num_args > 1:
        raise _breach(
            end, f"the end step {end.name!r} is a join", "put a join before it that leads to it"
        )
    before = [*start.in_funcs, *[start.name] * start.is_recursive]
    if before:
        raise _at_next(
            graph[before[0]],
            f"step {before[0]!r} leads back to the start step {start.name!r}",
            "nothing may lead to the start",
        )


def _cycles(graph: FlowGraph) -> None:
    waiting = graph.nodes.keys() - graph.acyclic_nodes
    if not waiting:
        return
    circle = _circle(graph, waiting)
    hint = "change a self.next so that the flow gets to its end"
    if any(graph[name].type == "split-switch" for name in circle):
        hint = "of a switch, a case may lead to the switch itself and to no other step before it"
    raise _at_next(graph[circle[-2]], f"the flow runs in a circle: {' -> '.join(circle)}", hint)


def _circle(graph: FlowGraph, waiting: Collection[str]) -> list[str]:
    """A circle among steps each of which waits for another one: following them back must repeat."""
    for name in graph.nodes:  # in_funcs leave out the step itself
        if name in waiting and graph[name].is_recursive and graph[name].type != "split-switch":
            return [name, name]
    trail = [next(name for name in graph.nodes if name in waiting)]
    while trail.count(trail[-1]) == 1:
        before = (name for name in graph[trail[-1]].in_funcs if name in waiting)
        trail.append(next(before, trail[-1]))
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
        is_switch = node.form == "condition"
        if node.num_args > 1 and (_opens(node) or is_switch):
            raise _at_next(
                node,
                f"step {node.name!r} is a join and a split at once",
                "let the join lead to a step of its own that splits",
            )
        straight = [out for out in node.out_funcs if graph[out].num_args > 1]
        if straight and (_opens(node) or is_switch):
            what = "leads from a case" if is_switch else "splits"
            raise _at_next(
                node,
                f"step {node.name!r} {what} straight into the join {straight[0]!r}",
                "put a step between them that does the work",
            )


def _gangs(graph: FlowGraph) -> None:
    for node in graph:
        if node.parallel_foreach and not graph[node.out_funcs[0]].parallel_step:
            raise _at_next(
                node,
                f"step {node.name!r} runs step {node.out_funcs[0]!r} as a gang, which has no @parallel",
                f"write @parallel above the @step of {node.out_funcs[0]!r}",
            )
        if not node.parallel_step:
            continue
        if not (node.out_funcs and all(graph[out].num_args > 1 for out in node.out_funcs)):
            raise _at_next(
                node,
                f"step {node.name!r} is a @parallel step, and no join follows it",
                f"a join takes what the gang has made: def {(node.out_funcs or ('join',))[0]}(self, inputs)",
            )
        other = next((it for it in node.in_funcs if not graph[it].parallel_foreach), None)
        if other is not None:
            raise _at_next(
                graph[other],
                f"step {other!r} leads to the @parallel step {node.name!r} without num_parallel",
                f"write self.next(self.{node.name}, num_parallel=<number>), or take @parallel away",
            )


def _opens(node: Node) -> bool:
    return node.form in {"foreach", "num_parallel"} or (
        node.form == "plain" and len(node.out_funcs) > 1
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


_RULES: tuple[Callable[[FlowGraph], None], ...] = (
    _names,
    _endpoints,
    _arguments,
    _transitions,
    _targets,
    _switches,
    _endpoint_degrees,
    _cycles,
    _orphans,
    _joins,
    _gangs,
    check_balance,
)
