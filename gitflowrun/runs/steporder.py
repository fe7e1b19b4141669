"""The order in which people read the steps of a run: along the graph, branches side by side. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["order_steps"]


def order_steps(graph: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """`names` in the order of `graph` (a run's `_graph_info`); private ones first, unknown ones last.

    The graph may be anybody's data: what does not look like one is passed over.
    """
    present = set(names)
    known = [name for name in _along(_edges(graph), graph.get("start_step")) if name in present]
    rest = sorted(present - set(known))
    private = [name for name in rest if name.startswith("_")]
    return [*private, *known, *(name for name in rest if not name.startswith("_"))]


def _edges(graph: Mapping[str, Any]) -> dict[str, list[str]]:
    steps = graph.get("steps")
    edges: dict[str, list[str]] = {}
    for name, node in steps.items() if isinstance(steps, Mapping) else ():
        following = node.get("next") if isinstance(node, Mapping) else None
        found = following if isinstance(following, list | tuple) else ()
        edges[str(name)] = [target for target in found if isinstance(target, str)]
    return edges


def _along(edges: Mapping[str, list[str]], start: object) -> list[str]:
    """Topological order by depth-first search, a step's first target first; back edges don't count."""
    first = [start] if isinstance(start, str) else []
    done: dict[str, None] = {}
    entered: set[str] = set()
    # Reverse postorder turns siblings around, so they are visited last first. No recursion: graphs are data.
    stack = [(name, False) for name in [*edges, *first]]
    while stack:
        name, leaving = stack.pop()
        if leaving:
            done[name] = None
        elif name not in entered:
            entered.add(name)
            stack.append((name, True))
            stack.extend((target, False) for target in edges.get(name, ()) if target not in entered)
    return list(reversed(done))
