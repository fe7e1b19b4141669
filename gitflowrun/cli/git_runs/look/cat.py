"""`git runs cat`: the value of an artifact; text and bytes as they are, anything else as Python shows it."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.codecs import is_file
from gitflowrun.cli.output.terminal import Screen, is_terminal, open_screen
from gitflowrun.cli.output.text import terminal_safe
from gitflowrun.client import DataArtifact
from gitflowrun.errors import NotFound, UntrustedArtifact, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.limits import COPY_PIECE, PRINT_SECONDS, PRINT_SIZE
from gitflowrun.porcelain.overview import is_trusted
from gitflowrun.porcelain.parts import artifact_at, artifact_ref
from gitflowrun.printing import pretty, shown, within
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trust import Trust

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.artifacts.preview import Preview
    from gitflowrun.errors import GitflowrunError

_CONTAINERS = (dict, list, tuple, set, frozenset)


def print_artifact(*, raw: bool, file: Path | None, address: str) -> None:
    """Print an artifact: RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with."""
    repo = Repository.discover()
    task, name = artifact_at(RunStore(repo).resolve(address, spins=True))
    artifact = DataArtifact(f"{task.pathspec}/{name}", _namespace_check=False)
    ref = artifact_ref(task, name)
    if file is not None and raw:
        raise UsageError(
            "--raw prints bytes", hint=f"git runs cat --raw {shlex.quote(address)} > FILE"
        )
    if file is not None:
        from gitflowrun.porcelain.export import danger, export

        for note in (export(artifact, ref, file), danger(Trust(repo), task, ref, file)):
            if note:
                click.echo(f"note: {terminal_safe(note)}", err=True)
        return
    if raw:
        _refuse_terminal(address, "--raw ")
        with artifact.open() as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, COPY_PIECE)
        return
    noted = task.run.preview(ref)
    try:
        if noted is not None and noted.whole:  # no reason to run anybody's code
            value = ArtifactReader(task.run.objects).load(ref, trusted=False)
        else:
            value = artifact.data
    except (NotFound, UntrustedArtifact) as error:
        if noted is None:
            raise
        with open_screen(repo, page=True) as screen:
            _print_noted(noted, error, screen, is_whole=noted.whole and is_trusted(task.run))
        return
    _show(value, repo, address)


def _show(value: Any, repo: Repository, address: str) -> None:
    """Print a value that was loaded."""
    if is_file(value):
        _refuse_terminal(address)
        with value.open() as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, COPY_PIECE)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _refuse_terminal(address)
        sys.stdout.buffer.write(value)
    else:
        with open_screen(repo, page=True) as screen:
            is_whole = _print(value, screen)
        if not is_whole:
            click.echo(
                "note: this is the beginning of it; with a file's name after the address, all is written",
                err=True,
            )


def _refuse_terminal(address: str, options: str = "") -> None:
    if is_terminal(sys.stdout):
        raise UsageError(
            "these are bytes, and a terminal would obey them",
            hint=f"git runs cat {options}{shlex.quote(address)} > FILE",
        )


def _print_noted(noted: Preview, error: GitflowrunError, screen: Screen, *, is_whole: bool) -> None:
    """What a task noted down of a value, and unless that is all of it, and one's own word, why there is no more."""
    lines = [] if noted.whole else [f"{name}: {text}" for name, text in noted.facts.items()]
    for line in "\n".join([*lines, noted.text]).split("\n"):
        screen.line(terminal_safe(line) if screen.person else line)
    if not is_whole:
        hint = f"; {error.hint}" if error.hint else ""
        click.echo(
            f"note: this is what its task noted: {terminal_safe(error.message + hint)}", err=True
        )


def _print(value: Any, screen: Screen) -> bool:
    """Print a value; whether that is all of it."""
    if isinstance(value, str) and not screen.person:
        screen.out.flush()
        sys.stdout.buffer.write(_bytes_of(value))
        return True
    text, is_whole = _text(value, screen.columns or 80)
    for line in text.split("\n"):
        screen.line(terminal_safe(line) if screen.person else line)
    return is_whole


def _bytes_of(text: str) -> bytes:
    """A text in UTF-8, whatever the locale is; a byte of a command line that was none comes out as it went in."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a character of UTF-16, which has no better bytes
        return text.encode(errors="surrogatepass")


def _text(value: Any, columns: int) -> tuple[str, bool]:
    if isinstance(value, str):
        return value[:PRINT_SIZE].removesuffix("\n"), len(value) <= PRINT_SIZE
    with within(PRINT_SECONDS):  # a class's `__repr__` may take any time
        return pretty(value, columns) if isinstance(value, _CONTAINERS) else shown(value)
