"""The graph of a flow: its steps as nodes with edges, splits matched to joins; and the same as plain data.

`FlowGraph.of` reads a class without judging it, so there are graphs that are wrong; `lint` finds those. The
plain data of `to_map` are all that a scheduler needs, which never imports the flow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from gitflowrun.flow.config.declaration import declaration_of
from gitflowrun.flow.decorators.attached import AttachedDecorators, attached
from gitflowrun.flow.decorators.base import plain_data
from gitflowrun.flow.members import class_attribute, configs_of, constants, parameters_of
from gitflowrun.flow.source import ParsedStep, SourceFiles, clean_docstring, parse_step
from gitflowrun.flow.steps import steps_of
from gitflowrun.values import field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitflowrun.flow.decorators.base import StepDecorator
    from gitflowrun.flow.user_decorators.mutators import StepMutator
    from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

_graphs: WeakKeyDictionary[type, FlowGraph] = WeakKeyDictionary()
_MAP_TYPES = {"split": "split-static", "foreach": "split-foreach"}
_LISTED = 20
_DEEPEST = (
    24  # of splits and switches within one another: a record has 64 levels, and each takes two
)
_SPLITS = frozenset({"split", "foreach"})


@frozen
class Node(ParsedStep):
    """A step in its graph.

    Attributes:
        type: `start`, `linear`, `split`, `split-switch`, `foreach`, `join` or `end`; a start step that splits is a
            split, and what leads to a gang a foreach.
        in_funcs: The steps that lead to it, other than itself.
        split_parents: The splits it is inside of, outermost first; a join is still inside the one it closes.
        split_branches: The first step of each branch of these that it is in; a join is in none of the one it closes.
        matching_join: Of a split: the join that closes it.
        is_inside_foreach: Whether it runs once for each item of a foreach.
        is_start_step: Whether the flow begins with it.
        is_end_step: Whether the flow ends with it.
        parallel_step: Whether it runs as a gang.
        flow_cls: The flow class, which has the decorators.
    """

    type: str
    in_funcs: tuple[str, ...]
    split_parents: tuple[str, ...]
    split_branches: tuple[str, ...]
    matching_join: str | None
    is_inside_foreach: bool
    is_start_step: bool
    is_end_step: bool
    parallel_step: bool
    flow_cls: ReferenceType[Any]

    @property
    def decorators(self) -> list[StepDecorator]:
        """The decorators of the step, the lowest first: each has a `name` and `attributes`."""
        return _attached(self.flow_cls).of_step(self.name)

    @property
    def wrappers(self) -> list[UserStepDecorator]:
        """Those that users have written, under Metaflow's name."""
        return _attached(self.flow_cls).wrappers.get(self.name, [])

    @property
    def config_decorators(self) -> list[StepMutator]:
        """The step's mutators, under Metaflow's name."""
        return _attached(self.flow_cls).mutators.get(self.name, [])

    @property
    def is_recursive(self) -> bool:
        """Whether it leads to itself."""
        return self.name in self.out_funcs

    def to_map(self, decorators: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The node as plain data, in Metaflow's form.

        Args:
            decorators: What its decorators say of themselves.
        """
        row: dict[str, Any] = {
            "name": self.name,
            "type": "split-parallel"
            if self.parallel_foreach
            else _MAP_TYPES.get(self.type, self.type),
            "line": self.func_lineno,
            "source_file": self.source_file,
            "doc": self.doc,
            "decorators": [dict(row) for row in decorators],
            "next": list(self.out_funcs),
            "node_info": plain_data(self.node_info),
        }
        if self.foreach_param is not None:
            row["foreach_artifact"] = self.foreach_param
        if self.num_parallel is not None:
            row["num_parallel"] = self.num_parallel
        if self.type == "split-switch":
            row["condition"] = self.condition
            row["switch_cases"] = {str(key): target for key, target in self.switch_cases.items()}
        if self.matching_join is not None:
            row["matching_join"] = self.matching_join
        return row


def _attached(flow_cls: ReferenceType[type]) -> AttachedDecorators:
    cls = flow_cls()
    return AttachedDecorators() if cls is None else attached(cls)


class FlowGraph:
    """The graph of a flow class: a mapping of step names to nodes. Use `FlowGraph.of`.

    Attributes:
        name: The flow's name.
        doc: The flow's docstring.
        start_steps: The steps that claim to be the start.
        end_steps: The steps that claim to be the end.
        start_step: The step that begins the flow; None where there is not exactly one.
        end_step: The step that ends the flow; None where there is not exactly one.
        nodes: The steps by name.
        parameter_names: The attribute names of the flow's parameters, then those of its configs.
    """

    def __init__(self, flow_cls: type) -> None:
        files = SourceFiles()
        parsed = {
            name: parse_step(name, function, files) for name, function in steps_of(flow_cls).items()
        }
        self._flow_cls = ref(flow_cls)
        self.name = flow_cls.__name__
        self.doc = clean_docstring(vars(flow_cls).get("__doc__"))
        self.start_steps = _endpoints(parsed, "start")
        self.end_steps = _endpoints(parsed, "end")
        self.start_step = self.start_steps[0] if len(self.start_steps) == 1 else None
        self.end_step = self.end_steps[0] if len(self.end_steps) == 1 else None
        gangs = attached(flow_cls).gangs()
        self.nodes = _wire(parsed, self.start_steps, self.end_steps, gangs, self._flow_cls)
        parameters, configs = parameters_of(flow_cls), configs_of(flow_cls)
        self.parameter_names = (*parameters, *configs)
        named = {name: declaration_of(it).name for name, it in configs.items()}
        self._parameters = [
            # Metaflow's form, which names the attribute; the option is told where it has another name.
            _typed(attribute, it) | ({} if attribute == name else {"option": name})
            for attribute, name, it in (
                *((attribute, it.name, it) for attribute, it in parameters.items()),
                *((attribute, named[attribute], it) for attribute, it in configs.items()),
            )
        ]
        self._constants = [_typed(name, value) for name, value in constants(flow_cls).items()]

    @classmethod
    def of(cls, flow_cls: type) -> FlowGraph:
        """The graph of a flow class, read once from its source.

        Raises:
            FlowError: the source can't be had.
        """
        graph = _graphs.get(flow_cls)
        if graph is None:
            graph = _graphs[flow_cls] = cls(flow_cls)
        return graph

    @classmethod
    def forget(cls, flow_cls: type) -> None:
        """Read the graph of a flow class anew when it is asked for: the class has changed."""
        _graphs.pop(flow_cls, None)

    @property
    def acyclic_nodes(self) -> list[str]:
        """Step names from the start on, each after all that lead to it; none that a circle leads to."""
        order: list[str] = []
        waiting = {
            name: len(node.in_funcs) + _is_endless(node) for name, node in self.nodes.items()
        }
        ready = [name for name, count in waiting.items() if count == 0]
        ready.sort(key=lambda name: name != self.start_step)
        while ready:
            name = ready.pop(0)
            order.append(name)
            for target in dict.fromkeys(self.nodes[name].out_funcs):
                if target in waiting and target != name:
                    waiting[target] -= 1
                    if waiting[target] == 0:
                        ready.append(target)
        return order

    @property
    def sorted_nodes(self) -> list[str]:
        """Step names from the start on, each after all that lead to it; those of circles last."""
        return list(dict.fromkeys([*self.acyclic_nodes, *self.nodes]))

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def to_map(self) -> dict[str, Any]:
        """The graph as plain data: Metaflow's `_graph_info`."""
        start = self.nodes.get(self.start_step or "")
        return {
            "file": os.path.basename(start.source_file) if start else "",  # noqa: PTH119
            "start_step": self.start_step,
            "end_step": self.end_step,
            "parameters": list(self._parameters),
            "constants": list(self._constants),
            "steps": {
                name: self.nodes[name].to_map(self._decorators_of(name))
                for name in self.sorted_nodes
            },
            "graph_structure": _Structure(self).rows(self.start_step),
            "doc": self.doc,
            "decorators": _attached(self._flow_cls).described_flow(),
            "extensions": {"installed": {}},
        }

    def _decorators_of(self, step: str) -> list[dict[str, Any]]:
        """A step's decorators as plain data: all kinds of ours, and functions that are written above it."""
        ours = _attached(self._flow_cls).described_step(step)
        names = self._names_of_ours(step) | {row["name"] for row in ours}
        others = [name for name in self.nodes[step].written_above if name not in names]
        wrappers: list[dict[str, Any]] = [
            {"name": name, "attributes": {}, "statically_defined": True, "inserted_by": None}
            for name in others
        ]
        return [*ours, *wrappers]

    def _names_of_ours(self, step: str) -> set[str]:
        """The names of the decorators that are declared on a step, a mutator may have removed them, as written."""
        flow_cls = self._flow_cls()
        function: Any = None if flow_cls is None else class_attribute(flow_cls, step)
        kept = ("decorators", "wrappers", "config_decorators")
        names = {it.name.rpartition(".")[2] for key in kept for it in getattr(function, key, ())}
        written = self.nodes[step].written_above
        return {name for name in written if name.rpartition(".")[2] in names}

    def reached(self, step: str) -> set[str]:
        """A step and all that can follow it."""
        found: set[str] = set()
        waiting = [step]
        while waiting:
            name = waiting.pop()
            if name in self.nodes and name not in found:
                found.add(name)
                waiting += self.nodes[name].out_funcs
        return found


class _Structure:
    """The names of a graph's steps in sequence, as nested lists: `graph_structure`.

    Args:
        graph: The graph.
    """

    def __init__(self, graph: FlowGraph) -> None:
        self._nodes = graph.nodes
        self._meetings = meetings(graph)
        # Cases that meet nowhere are listed again and again.
        self._left = _LISTED * len(graph)

    def rows(self, name: str | None, stop: str | None = None, depth: int = 0) -> list[Any]:
        """A step and those that follow it; a split is followed by the list of its branches, a switch by its cases.

        Args:
            name: The first of them.
            stop: The step before which they end.
            depth: How many splits and switches they are in; the steps in very many are left out.
        """
        rows: list[Any] = []
        while name is not None and name != stop and name in self._nodes and self._left > 0:
            self._left -= 1
            node = self._nodes[name]
            rows.append(name)
            if node.type in _SPLITS and not node.parallel_foreach:
                inner, ways = node.matching_join, node.out_funcs
            elif node.type == "split-switch":
                inner = self._meetings.get(name)
                ways = tuple(out for out in node.out_funcs if out != name)
            else:
                name = node.out_funcs[0] if node.out_funcs else None
                continue
            is_deep = depth == _DEEPEST
            rows.append(
                [[] if is_deep else self.rows(out, inner or stop, depth + 1) for out in ways]
            )
            name = inner
        return rows


def meetings(graph: FlowGraph) -> dict[str, str | None]:
    """The first step that every way from a step leads to, by the step; None where the ways have different ends.

    Following these from two steps leads to where their ways meet, as parents in a tree do: from the step that is
    farther from the end first. So a graph is gone through once, however many switches it has.
    """
    after: dict[str, str | None] = {}
    height: dict[str | None, int] = {None: 0}
    for name in reversed(graph.acyclic_nodes):
        ways = [out if out in after else None for out in graph[name].out_funcs if out != name]
        meeting = ways[0] if ways else None
        for way in ways[1:]:
            other = way
            while meeting != other:
                if height[meeting] < height[other]:
                    other = after[str(other)]
                else:
                    meeting = after[str(meeting)]
        after[name], height[name] = meeting, height[meeting] + 1
    return after


def _is_endless(node: Node) -> bool:
    """Whether it leads to itself and could never stop doing so."""
    return node.is_recursive and (node.type != "split-switch" or len(node.out_funcs) == 1)


def _typed(name: str, value: object) -> dict[str, str]:
    return {"name": name, "type": type(value).__name__}


def _endpoints(parsed: dict[str, ParsedStep], which: str) -> list[str]:
    """The steps that claim to be the start (or the end): by annotation, by name, or by being the only one."""
    annotated = [name for name, step in parsed.items() if getattr(step, f"is_{which}")]
    if annotated:
        return annotated
    if which in parsed:
        return [which]
    return list(parsed) if len(parsed) == 1 else []


def _wire(
    parsed: dict[str, ParsedStep],
    starts: list[str],
    ends: list[str],
    gangs: set[str],
    flow_cls: ReferenceType[type],
) -> dict[str, Node]:
    incoming: dict[str, list[str]] = {name: [] for name in parsed}
    for name, step in parsed.items():
        for target in dict.fromkeys(step.out_funcs):
            if target in incoming and target != name:
                incoming[target].append(name)
    types = {name: _type(step, name in starts, name in ends) for name, step in parsed.items()}
    branches = _around(parsed, types, starts)
    nodes = {}
    for name, step in parsed.items():
        around = branches.get(name, ())
        inside = around[:-1] if types[name] == "join" else around
        nodes[name] = Node(
            **{field: getattr(step, field) for field in field_names(step)},
            type=types[name],
            in_funcs=tuple(incoming[name]),
            split_parents=tuple(split for split, _ in around),
            split_branches=tuple(branch for _, branch in inside),
            matching_join=_join_of(name, parsed, types) if types[name] in _SPLITS else None,
            is_inside_foreach=any(types[split] == "foreach" for split, _ in inside),
            is_start_step=name in starts,
            is_end_step=name in ends,
            parallel_step=name in gangs,
            flow_cls=flow_cls,
        )
    return nodes


def _type(step: ParsedStep, is_start: bool, is_end: bool) -> str:
    if is_end:
        return "end"
    if step.num_args > 1:
        return "join"
    form = step.next_call.form if step.next_call else "plain"
    if form == "condition":
        return "split-switch"
    if form in {"foreach", "num_parallel"}:
        return "foreach"
    if len(step.out_funcs) > 1:
        return "split"
    return "start" if is_start else "linear"


_Branches = tuple[tuple[str, str], ...]
"""The splits around a step, outermost first, each with the first step of the branch that was taken."""


def _around(
    parsed: dict[str, ParsedStep], types: dict[str, str], starts: list[str]
) -> dict[str, _Branches]:
    """The splits around each step, as the first path to the step has them."""
    around: dict[str, _Branches] = {}
    stack: list[tuple[str, _Branches]] = [(name, ()) for name in starts[:1]]
    while stack:
        name, branches = stack.pop()
        if name not in parsed or name in around:
            continue
        around[name] = branches
        if types[name] == "join":
            branches = branches[:-1]
        splits = types[name] in _SPLITS
        stack += [
            (out, (*branches, (name, out)) if splits else branches)
            for out in reversed(parsed[name].out_funcs)
        ]
    return around


def _join_of(split: str, parsed: dict[str, ParsedStep], types: dict[str, str]) -> str | None:
    """The nearest join that closes a split, and none that was opened behind it."""
    seen: set[tuple[str, int]] = set()
    waiting = [(out, 1) for out in parsed[split].out_funcs]
    for name, depth in waiting:
        if name not in parsed or (name, depth) in seen or depth > len(parsed):
            continue
        seen.add((name, depth))
        if types[name] == "join":
            depth -= 1  # noqa: PLW2901  (what follows is one split less deep)
            if not depth:
                return name
        inner = depth + (types[name] in _SPLITS)
        waiting += [(out, inner) for out in parsed[name].out_funcs]
    return None
