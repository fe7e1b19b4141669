"""`git runs cat`: the value of an artifact; text and bytes as they are, anything else as Python shows it."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from gitflowrun.cli.output.terminal import Screen, is_terminal, open_screen
from gitflowrun.cli.output.text import terminal_safe
from gitflowrun.client import DataArtifact
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.query import artifact_at
from gitflowrun.runs.runs import RunStore

_CONTAINERS = (dict, list, tuple, set, frozenset)


@click.command(name="cat")
@click.option("--raw", is_flag=True, help="Print the stored bytes, whatever they mean.")
@click.argument("address")
def cat_command(raw: bool, address: str) -> None:
    """Print an artifact: RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with.

    Text and bytes are printed as they are. A pickle of somebody else's run is not loaded before
    `git runs trust` allows it; its bytes can be had with --raw.
    """
    repo = Repository.discover()
    task, name = artifact_at(RunStore(repo).resolve(address))
    artifact = DataArtifact(f"{task.pathspec}/{name}", _namespace_check=False)
    if raw:
        _refuse_terminal(address)
        with artifact.open() as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
        return
    value = artifact.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        _refuse_terminal(address)
        sys.stdout.buffer.write(value)
        return
    with open_screen(repo, page=True) as screen:
        _print(value, screen)


def _refuse_terminal(address: str) -> None:
    if is_terminal(sys.stdout):
        raise UsageError(
            "these are bytes, and a terminal would obey them", hint=f"git runs cat {address} > FILE"
        )


def _print(value: Any, screen: Screen) -> None:
    if isinstance(value, str) and not screen.person:
        screen.out.write(value)
        return
    for line in _text(value, screen.columns or 80).split("\n"):
        screen.line(terminal_safe(line) if screen.person else line)


def _text(value: Any, columns: int) -> str:
    if isinstance(value, str):
        return value.removesuffix("\n")
    if isinstance(value, _CONTAINERS):
        from pprint import pformat

        return pformat(value, width=columns, compact=True, sort_dicts=False)
    return repr(value)
