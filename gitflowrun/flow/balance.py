"""The rule that splits and joins of a graph fit together: what has split meets again in a join, and nothing else does.

All paths are walked at once, in the order of the graph. Each step has a *path*: the splits around it, outermost
first, each with the branches that may have led here. Only a switch leads to one step in several ways, so where
paths meet that are not the same, outside of a join, a switch must have chosen between them:

- Branches of one split may meet where a switch within one of them may lead there, and need not: each branch that comes
  runs the step.
- Branches of different splits may meet where a switch has chosen between the splits.

A join closes the innermost split of its path, all whose branches must lead to it. A split may have several such joins,
between which switches choose: that all branches choose the same one shows in the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import LintError
from gitflowrun.flow.graph import meetings
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gitflowrun.flow.graph import FlowGraph, Node

Level = frozenset[tuple[str, str]]
"""One of the splits around a step: the split, or those between which a switch chooses, with the branches taken."""
Path = tuple[Level, ...]


def check_balance(graph: FlowGraph) -> None:
    """See that everything which splits is joined.

    Raises:
        LintError: it is not; with file and line.
    """
    balance = _Balance(graph)
    for name in graph.sorted_nodes:
        balance.visit(graph[name])


@frozen
class _Arrival:
    """A step that leads to another one, and the path by which it does."""

    step: str
    path: Path


class _Balance:
    """The walk over all paths of a graph."""

    def __init__(self, graph: FlowGraph) -> None:
        self._graph = graph
        self._arrivals: dict[str, list[_Arrival]] = {node.name: [] for node in graph}
        self._switches: list[tuple[str, Path, set[str]]] = []
        self._meetings: dict[str, str | None] = {}

    def visit(self, node: Node) -> None:
        """Find the path of a step, all steps before which were visited, and hand it on."""
        arrivals = self._arrivals[node.name]
        path = self._join(node, arrivals) if node.type == "join" else self._single(node, arrivals)
        if node.type == "split-switch":
            self._switches.append((node.name, path, self._graph.reached(node.name)))
        splits = node.type in {"split", "foreach"}
        for target in node.out_funcs:
            if target != node.name:
                inner = (*path, frozenset({(node.name, target)})) if splits else path
                self._arrivals[target].append(_Arrival(node.name, inner))

    def _single(self, node: Node, arrivals: Sequence[_Arrival]) -> Path:
        open_ = next((arrival.path for arrival in arrivals if arrival.path), ())
        if node.is_end_step and open_:
            raise _breach(
                node,
                f"the flow ends before the branches of {_split(open_)!r} are joined",
                f"put a join before {node.name!r}: def join(self, inputs)",
            )
        path = arrivals[0].path if arrivals else ()
        for arrival in arrivals[1:]:
            if not self._may_meet(path, arrival.path, (arrivals[0].step, arrival.step), node):
                raise _breach(
                    node,
                    f"branches meet in step {node.name!r}, which is no join: {_names(arrivals)}",
                    f"make it a join: def {node.name}(self, inputs)",
                )
            path = _merged(path, arrival.path)
        return path

    def _join(self, node: Node, arrivals: Sequence[_Arrival]) -> Path:
        if not arrivals or not all(arrival.path for arrival in arrivals):
            raise _breach(
                node,
                f"step {node.name!r} is a join, but nothing has split before it",
                f"write def {node.name}(self), or put a split before it",
            )
        path = arrivals[0].path
        for arrival in arrivals[1:]:
            steps = arrivals[0].step, arrival.step
            siblings = path[:-1] == arrival.path[:-1] and _splits(path[-1]) == _splits(
                arrival.path[-1]
            )
            if not siblings and not self._may_meet(path, arrival.path, steps, node):
                raise _breach(
                    node,
                    f"the join {node.name!r} is reached from branches of different splits: "
                    f"{_names(arrivals)}",
                    "close the inner split with a join of its own first",
                )
            path = _merged(path, arrival.path)
        self._close(node, path[-1])
        return path[:-1]

    def _close(self, join: Node, level: Level) -> None:
        """See that all branches of the splits that a join closes may lead to it."""
        for split in sorted(_splits(level)):
            missing = [out for out in self._graph[split].out_funcs if (split, out) not in level]
            if missing:
                raise _breach(
                    join,
                    f"the join {join.name!r} does not join all branches of {split!r}: "
                    f"{', '.join(map(repr, missing))} never gets there",
                    f"lead every branch of {split!r} to {join.name!r}",
                )

    def _may_meet(self, path: Path, other: Path, steps: tuple[str, str], node: Node) -> bool:
        """Whether paths that meet outside of a join are one, or a switch chooses between them."""
        if path == other:
            return True
        if len(path) != len(other):
            return False
        place = next(place for place, level in enumerate(path) if level != other[place])
        if _splits(path[place]) == _splits(other[place]):
            branches = path[place] | other[place]
            return any(
                len(around) > place
                and around[:place] == path[:place]
                and around[place] & branches
                and reached & set(steps)
                and (node.type == "join" or not self._always_leads(switch, node.name))
                for switch, around, reached in self._switches
            )
        return any(
            around == path[:place] and reached.issuperset(steps)
            for _, around, reached in self._switches
        )

    def _always_leads(self, switch: str, step: str) -> bool:
        """Whether every way from a switch leads to a step."""
        self._meetings = self._meetings or meetings(self._graph)
        at: str | None = switch
        while at not in {None, step}:
            at = self._meetings.get(str(at))
        return at == step


def _merged(path: Path, other: Path) -> Path:
    return tuple(one | two for one, two in zip(path, other, strict=True))


def _splits(level: Level) -> frozenset[str]:
    return frozenset(split for split, _ in level)


def _split(path: Path) -> str:
    return min(_splits(path[-1]))


def _names(arrivals: Iterable[_Arrival]) -> str:
    return ", ".join(repr(arrival.step) for arrival in arrivals)


def _breach(node: Node, message: str, hint: str) -> LintError:
    return LintError(message, hint=hint, line=node.func_lineno, source=node.source_file)
