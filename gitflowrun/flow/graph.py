"""The graph of a flow: its steps as nodes with edges, splits matched to joins; and the same as plain data.

`FlowGraph.of` reads a class without judging it, so there are graphs that are wrong; `lint` finds those. The
plain data of `to_map` are all that a scheduler needs, which never imports the flow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from gitflowrun.flow.decorators.attached import AttachedDecorators, attached
from gitflowrun.flow.members import constants, parameters_of
from gitflowrun.flow.source import ParsedStep, SourceFiles, clean_docstring, parse_step
from gitflowrun.flow.steps import steps_of
from gitflowrun.values import field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_graphs: WeakKeyDictionary[type, FlowGraph] = WeakKeyDictionary()
_MAP_TYPES = {"split": "split-static", "foreach": "split-foreach"}


@frozen
class Node(ParsedStep):
    """A step in its graph.

    Attributes:
        type: `start`, `linear`, `split`, `foreach`, `join` or `end`; a start step that splits is a split.
        in_funcs: The steps that lead to it.
        split_parents: The splits it is inside of, outermost first; a join is still inside the one it closes.
        matching_join: Of a split: the join that closes it.
        is_inside_foreach: Whether one of `split_parents` is a foreach.
    """

    type: str
    in_funcs: tuple[str, ...]
    split_parents: tuple[str, ...]
    matching_join: str | None
    is_inside_foreach: bool

    @property
    def parallel_step(self) -> bool:
        """Whether the step runs as a gang of `num_parallel` tasks. It never does here."""
        return False

    def to_map(self, decorators: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The node as plain data, in Metaflow's form.

        Args:
            decorators: What its decorators say of themselves.
        """
        row: dict[str, Any] = {
            "name": self.name,
            "type": _MAP_TYPES.get(self.type, self.type),
            "line": self.func_lineno,
            "source_file": self.source_file,
            "doc": self.doc,
            "decorators": [dict(row) for row in decorators],
            "next": list(self.out_funcs),
            "node_info": dict(self.node_info),
        }
        if self.foreach_param is not None:
            row["foreach_artifact"] = self.foreach_param
        if self.matching_join is not None:
            row["matching_join"] = self.matching_join
        return row


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
        parameter_names: The attribute names of the flow's parameters.
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
        self.nodes = _wire(parsed, self.start_steps, self.end_steps)
        parameters = parameters_of(flow_cls)
        self.parameter_names = tuple(parameters)
        self._parameters = [
            # Metaflow's form; the attribute is told where it can't be seen from the option's name.
            _typed(it.name, it) | ({} if attribute == it.name else {"attribute": attribute})
            for attribute, it in parameters.items()
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

    @property
    def acyclic_nodes(self) -> list[str]:
        """Step names from the start on, each after all that lead to it; none that a circle leads to."""
        order: list[str] = []
        waiting = {name: len(node.in_funcs) for name, node in self.nodes.items()}
        ready = [name for name, count in waiting.items() if count == 0]
        ready.sort(key=lambda name: name != self.start_step)
        while ready:
            name = ready.pop(0)
            order.append(name)
            for target in self.nodes[name].out_funcs:
                if target in waiting:
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
            "graph_structure": self._structure(self.start_step, None),
            "doc": self.doc,
            "decorators": [it.describe() for it in self._attached().flow],
            "extensions": {"installed": {}},
        }

    def _attached(self) -> AttachedDecorators:
        flow_cls = self._flow_cls()
        return AttachedDecorators() if flow_cls is None else attached(flow_cls)

    def _decorators_of(self, step: str) -> list[dict[str, Any]]:
        """A step's decorators as plain data: ours, and functions around it that are called like decorators."""
        ours = self._attached().of_step(step)
        names = {it.name for it in ours}
        others = (name for name in self.nodes[step].decorators if name not in names)
        wrappers = [
            {"name": name, "attributes": {}, "statically_defined": True, "inserted_by": []}
            for name in others
        ]
        return [*(it.describe() for it in ours), *wrappers]

    def _structure(self, name: str | None, stop: str | None) -> list[Any]:
        """Names in sequence; a split is followed by the list of its branches."""
        rows: list[Any] = []
        while name is not None and name != stop and name in self.nodes and len(rows) <= len(self):
            node = self.nodes[name]
            if node.type in {"split", "foreach"}:
                rows += [name, [self._structure(out, node.matching_join) for out in node.out_funcs]]
                name = node.matching_join
            else:
                rows.append(name)
                name = node.out_funcs[0] if node.out_funcs else None
        return rows


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


def _wire(parsed: dict[str, ParsedStep], starts: list[str], ends: list[str]) -> dict[str, Node]:
    incoming: dict[str, list[str]] = {name: [] for name in parsed}
    for name, step in parsed.items():
        for target in dict.fromkeys(step.out_funcs):
            if target in incoming:
                incoming[target].append(name)
    types = {name: _type(step, name in starts, name in ends) for name, step in parsed.items()}
    splits, joins = _match(parsed, types, starts)
    return {
        name: Node(
            **{field: getattr(step, field) for field in field_names(step)},
            type=types[name],
            in_funcs=tuple(incoming[name]),
            split_parents=splits.get(name, ()),
            matching_join=joins.get(name),
            is_inside_foreach=any(types[parent] == "foreach" for parent in splits.get(name, ())),
        )
        for name, step in parsed.items()
    }


def _type(step: ParsedStep, is_start: bool, is_end: bool) -> str:
    if is_end:
        return "end"
    if step.num_args > 1:
        return "join"
    if step.next_call is not None and step.next_call.form == "foreach":
        return "foreach"
    if len(step.out_funcs) > 1:
        return "split"
    return "start" if is_start else "linear"


def _match(
    parsed: dict[str, ParsedStep], types: dict[str, str], starts: list[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The splits around each step, and the join of each split, as the first path to a step has them."""
    around: dict[str, tuple[str, ...]] = {}
    joins: dict[str, str] = {}
    stack: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in starts[:1]]
    while stack:
        name, open_splits = stack.pop()
        if name not in parsed or name in around:
            continue
        around[name] = open_splits
        if types[name] == "join" and open_splits:
            joins.setdefault(open_splits[-1], name)
            open_splits = open_splits[:-1]
        elif types[name] in {"split", "foreach"}:
            open_splits = (*open_splits, name)
        stack += [(target, open_splits) for target in reversed(parsed[name].out_funcs)]
    return around, joins
