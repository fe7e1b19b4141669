"""`version`: which gitflowrun this is. On standard error, where Metaflow prints its own."""

from __future__ import annotations

import click

from gitflowrun._version import __version__

__all__ = ["command"]


@click.command(name="version")
def command() -> None:
    """Print the version of gitflowrun."""
    click.echo(__version__, err=True)
