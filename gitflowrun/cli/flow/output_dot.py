"""`output-dot`: the graph in GraphViz's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gitflowrun.cli.flow.main import FlowContext

__all__ = ["command"]

_SHAPES = {"foreach": "trapezium", "split": "trapezium", "join": "invtrapezium"}


@click.command(name="output-dot")
@click.pass_obj
def command(flow: FlowContext) -> None:
    """Print the graph; `| dot -Tsvg -o graph.svg` makes an image of it."""
    flow.say(f"The graph of {flow.name} for GraphViz; pipe it to: dot -Tsvg -o graph.svg")
    click.echo(f"digraph {flow.name} {{")
    click.echo('  node [fontname="Helvetica" shape="box"];')
    for name in flow.graph.sorted_nodes:
        node = flow.graph[name]
        shape = f' shape="{_SHAPES[node.type]}"' if node.type in _SHAPES else ""
        click.echo(f'  "{name}" [label="{name}\\n{node.type}"{shape}];')
    for name in flow.graph.sorted_nodes:
        node = flow.graph[name]
        label = f' [label="{node.foreach_param}"]' if node.foreach_param else ""
        for target in node.out_funcs:
            click.echo(f'  "{name}" -> "{target}"{label};')
    click.echo("}")
