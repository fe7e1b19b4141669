"""`show`: the flow in words. Steps go to standard output, what is said about the flow to standard error."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gitflowrun.cli.flow.main import FlowContext
    from gitflowrun.flow.graph import Node

__all__ = ["command"]


@click.command(name="show")
@click.pass_obj
def command(flow: FlowContext) -> None:
    """Show what the flow and its steps say about themselves."""
    if flow.graph.doc:
        flow.say(f"\n{flow.graph.doc}\n")
    for name in flow.graph.sorted_nodes:
        for line in _lines(flow.graph[name]):
            click.echo(line)


def _lines(node: Node) -> list[str]:
    lines = [f"Step {node.name}"]
    lines += [f"    @{name}" for name in node.decorators]
    lines += textwrap.indent(node.doc.strip() or "?", "    ").split("\n")
    if node.out_funcs:
        each = f"  (for each of {node.foreach_param})" if node.foreach_param else ""
        lines.append(f"    => {', '.join(node.out_funcs)}{each}")
    return lines
