"""Commands that describe a flow without running it: `show`, `check`, `output-dot`, `output-raw`, `help`, `version`.

What was asked for goes to standard output, what is said about the flow to standard error; `version` prints
there as well, as Metaflow does.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from gitflowrun._version import __version__
from gitflowrun.flow.definition import define

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext
    from gitflowrun.flow.graph import Node


@click.command(name="show")
@click.pass_obj
def show_command(flow: FlowContext) -> None:
    """Show what the flow and its steps say about themselves."""
    flow = flow.configured()
    define(flow.flow_cls, flow.all_decospecs())
    if flow.graph.doc:
        flow.say(f"\n{flow.graph.doc}\n")
    of_steps = flow.graph.to_map()["steps"]
    for name in flow.graph.sorted_nodes:
        for line in _lines(flow.graph[name], of_steps[name]["decorators"]):
            click.echo(line)


def _lines(node: Node, decorators: list[dict[str, Any]]) -> list[str]:
    lines = [f"Step {node.name}"]
    lines += [f"    @{row['name'].removeprefix('__main__.')}" for row in reversed(decorators)]
    lines += textwrap.indent(node.doc.strip() or "?", "    ").split("\n")
    if node.out_funcs:
        lines.append(f"    => {', '.join(node.out_funcs)}{_how(node)}")
    return lines


def _how(node: Node) -> str:
    if node.foreach_param:
        return f"  (for each of {node.foreach_param})"
    if node.num_parallel is not None:
        return f"  ({node.num_parallel} at the same time)"
    if node.condition:
        cases = ", ".join(f"{key}: {target}" for key, target in node.switch_cases.items())
        return f"  (by {node.condition}; {cases})"
    return ""


@click.command(name="check")
@click.option("--warnings/--no-warnings", default=False, hidden=True, expose_value=False)
@click.pass_obj
def check_command(flow: FlowContext) -> None:
    """Check the flow's configs, parameters and graph without running it."""
    flow = flow.configured()
    flow.check()
    flow.say()
    flow.say(
        f"`{flow.command('run')}` runs it, `{flow.command('run', '--help')}` lists its parameters."
    )
    flow.say(
        f"`{flow.command('show')}` describes its steps, `{flow.command('help')}` lists all commands."
    )


_SHAPES = {
    "foreach": "trapezium", "split": "trapezium", "join": "invtrapezium", "split-switch": "diamond",
}  # fmt: skip


@click.command(name="output-dot")
@click.pass_obj
def output_dot_command(flow: FlowContext) -> None:
    """Print the graph; `| dot -Tsvg -o graph.svg` makes an image of it."""
    flow = flow.configured()
    flow.say(f"The graph of {flow.name} for GraphViz; pipe it to: dot -Tsvg -o graph.svg")
    click.echo(f"digraph {flow.name} {{")
    click.echo('  node [fontname="Helvetica" shape="box"];')
    for name in flow.graph.sorted_nodes:
        node = flow.graph[name]
        shape = f' shape="{_SHAPES[node.type]}"' if node.type in _SHAPES else ""
        click.echo(f'  "{name}" [label="{name}\\n{node.type}"{shape}];')
    for name in flow.graph.sorted_nodes:
        node = flow.graph[name]
        for target, label in _edges(node):
            said = f' [label="{_quoted(label)}"]' if label else ""
            click.echo(f'  "{name}" -> "{target}"{said};')
    click.echo("}")


def _edges(node: Node) -> list[tuple[str, str]]:
    """The steps that follow, each with what chooses it or how often it runs."""
    if node.condition:
        return [(target, str(key)) for key, target in node.switch_cases.items()]
    often = f"{node.num_parallel} nodes" if node.num_parallel is not None else node.foreach_param
    return [(target, often or "") for target in node.out_funcs]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_RAW = (
    "in_funcs", "out_funcs", "split_parents", "split_branches", "matching_join", "is_inside_foreach", "decorators",
    "num_args", "has_tail_next", "tail_next_lineno", "invalid_tail_next", "foreach_param", "condition",
    "switch_cases", "num_parallel", "parallel_step", "parallel_foreach",
)  # fmt: skip


@click.command(name="output-raw")
@click.option(
    "--json", "as_json", is_flag=True, help="As JSON: each step, and how they are nested."
)
@click.pass_obj
def output_raw_command(flow: FlowContext, as_json: bool) -> None:
    """Print the graph as it is kept: for each step all that is known of it."""
    if as_json:
        data = flow.graph.to_map()
        shown = {"graph": data["steps"], "graph_structure": data["graph_structure"]}
        click.echo(json.dumps(shown, indent=4))
        return
    for name in flow.graph.sorted_nodes:
        node = flow.graph[name]
        click.echo(f"[{name} {node.type} ({node.source_file} line {node.func_lineno})]")
        for field in _RAW:
            click.echo(f"    {field}={_raw(getattr(node, field))}")


def _raw(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"[{item}]" for item in value)
    return str(value)


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
