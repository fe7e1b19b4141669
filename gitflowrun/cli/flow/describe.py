"""Commands that describe a flow without running it: `show`, `check`, `output-dot`, `help` and `version`.

What was asked for goes to standard output, what is said about the flow to standard error; `version` prints
there as well, as Metaflow does.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from gitflowrun._version import __version__

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext
    from gitflowrun.flow.graph import Node


@click.command(name="show")
@click.pass_obj
def show_command(flow: FlowContext) -> None:
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


@click.command(name="check")
@click.option("--warnings/--no-warnings", default=False, hidden=True, expose_value=False)
@click.pass_obj
def check_command(flow: FlowContext) -> None:
    """Check the flow's parameters and graph without running it."""
    flow.check()
    flow.say()
    flow.say(
        f"`{flow.command('run')}` runs it, `{flow.command('run', '--help')}` lists its parameters."
    )
    flow.say(
        f"`{flow.command('show')}` describes its steps, `{flow.command('help')}` lists all commands."
    )


_SHAPES = {"foreach": "trapezium", "split": "trapezium", "join": "invtrapezium"}


@click.command(name="output-dot")
@click.pass_obj
def output_dot_command(flow: FlowContext) -> None:
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


@click.command(name="help")
@click.argument("name", required=False, metavar="[COMMAND]")
@click.pass_context
def help_command(ctx: click.Context, name: str | None) -> None:
    """Show all commands, or the options of one."""
    parent = ctx.find_root()
    if name is None:
        click.echo(parent.get_help())
        return
    group = parent.command
    assert isinstance(group, click.Group)
    _, command_, _ = group.resolve_command(parent, [name])
    assert command_ is not None
    with command_.context_class(command_, parent=parent, info_name=name) as inner:
        click.echo(inner.get_help())


@click.command(name="version")
def version_command() -> None:
    """Print the version of gitflowrun."""
    click.echo(__version__, err=True)
