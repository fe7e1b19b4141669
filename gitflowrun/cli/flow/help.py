"""`help`: the same as `--help`, for a command as well."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command(name="help")
@click.argument("name", required=False, metavar="[COMMAND]")
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Show all commands, or the options of one."""
    parent = ctx.parent
    assert parent is not None
    if name is None:
        click.echo(parent.get_help())
        return
    group = parent.command
    assert isinstance(group, click.Group)
    _, command_, _ = group.resolve_command(parent, [name])
    assert command_ is not None
    with click.Context(command_, parent=parent, info_name=name) as inner:
        click.echo(inner.get_help())
