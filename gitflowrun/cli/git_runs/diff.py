"""`git runs diff`: the differences between two runs."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.errors import DIFFERS
from gitflowrun.cli.git_runs.options import json_option, open_repository
from gitflowrun.cli.git_runs.show import short_type
from gitflowrun.cli.output.tables import as_json, pairs
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.settings import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.git.diff import FileDiff, TreeDiff
    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain.compare import ArtifactDifference, Difference
    from gitflowrun.porcelain.overview import ArtifactRow
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.runs import RunStore

_SHORT = 7
_TWO = 2
_BEFORE = "@{-1}"
_BAR = 40
"""Columns of the longest bar of `+` and `-`."""


@click.command(name="diff")
@click.option("-p", "-u", "--patch", is_flag=True, help="Show the code's changes line by line.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.argument("runs", nargs=-1, metavar="[RUN [RUN]]")
def diff_command(patch: bool, exit_code: bool, as_json_: bool, runs: tuple[str, ...]) -> int:
    """Show what differs between two runs: parameters, environment, artifacts, code.

    One RUN is compared with the newest one; without any, the newest two are compared.
    """
    from gitflowrun.runs.runs import RunStore

    addresses = _addresses(runs)
    repo = open_repository()
    store = RunStore(repo)
    old, new = _find(store, addresses)
    with open_screen(repo, page=True) as screen:
        comparison = _Comparison(repo, old, new, patch=patch, colour=screen.style.colour)
        screen.lines([as_json(comparison.to_map())] if as_json_ else comparison.lines(screen))
    return DIFFERS if exit_code and comparison.differs else 0


def _addresses(runs: tuple[str, ...]) -> tuple[str, str]:
    """The two runs to compare, the older one first."""
    if len(runs) > _TWO:
        raise UsageError("git runs diff compares two runs", hint="name one or two")
    if len(runs) == _TWO:
        return runs[0], runs[1]
    return runs[0] if runs else _BEFORE, "@latest"


def _find(store: RunStore, addresses: tuple[str, str]) -> tuple[StoredRun, StoredRun]:
    old, new = addresses
    newest = store.find(new)
    try:
        return store.find(old), newest
    except NotFound:
        if old != _BEFORE:
            raise
        raise NotFound(
            f"{newest.pathspec} is the only run: there is nothing to compare it with",
            hint="`python FLOW.py run` makes another one; `git runs fetch` gets those of a remote",
        ) from None


class _Comparison:
    """Everything that differs between two runs."""

    def __init__(
        self, repo: Repository, old: StoredRun, new: StoredRun, *, patch: bool, colour: bool
    ) -> None:
        from gitflowrun.git.diff import diff_trees
        from gitflowrun.porcelain.compare import (
            code_diff,
            compare_artifacts,
            compare_environments,
            compare_parameters,
        )

        self.old, self.new = old, new
        self.parameters = compare_parameters(old, new)
        self.environment = compare_environments(old, new)
        self.artifacts = compare_artifacts(old, new)
        self.code = diff_trees(repo, old.code_tree, new.code_tree)
        self.patch = (
            code_diff(repo, old.code_tree, new.code_tree, colour=colour).text if patch else None
        )

    @property
    def differs(self) -> bool:
        """Whether the runs differ in anything but time."""
        return bool(self.parameters or self.environment or self.artifacts or self.code.files)

    def to_map(self) -> dict[str, Any]:
        """The comparison as `--json` shows it; the patch with `--patch` alone."""
        found = {
            "old": self.old.pathspec,
            "new": self.new.pathspec,
            "parameters": self.parameters,
            "environment": self.environment,
            "artifacts": self.artifacts,
            "code": self.code,
        }
        return found if self.patch is None else {**found, "patch": _text(self.patch)}

    def lines(self, screen: Screen) -> Iterator[str]:
        """The comparison for a person."""
        yield screen.style.red(f"--- {printable(self.old.pathspec)}")
        yield screen.style.green(f"+++ {printable(self.new.pathspec)}")
        if not self.differs:
            yield "They have the same parameters, environment, artifacts and code."
        yield from _section("Parameters", _pairs(self.parameters, screen), screen)
        yield from _section("Environment", _pairs(self.environment, screen), screen)
        yield from _section("Artifacts", _artifacts(self.artifacts, screen), screen)
        if self.code.files:
            patch = self.patch and _text(self.patch).rstrip("\n").split("\n")
            yield from _section("Code", patch or _code(self.code, screen), screen)


def _section(title: str, lines: Iterable[str], screen: Screen) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield screen.style.bold(title)
        yield from found


def _code(code: TreeDiff, screen: Screen) -> Iterator[str]:
    """The files that differ, as `git diff --stat` lists them."""
    names = [_name(file) for file in code.files]
    width = max(map(len, names), default=0)
    most = max((file.insertions + file.deletions for file in code.files), default=0)
    scale = min(1.0, _BAR / most) if most else 1.0
    for name, file in zip(names, code.files, strict=True):
        plus, minus = (ceil(count * scale) for count in (file.insertions, file.deletions))
        bar = screen.style.green("+" * plus) + screen.style.red("-" * minus)
        count = "Bin" if file.binary else f"{file.insertions + file.deletions:>{len(str(most))}}"
        yield f" {name:<{width}} | {count} {bar}".rstrip()
    if code.files:
        files = f"{len(code.files)} file{'' if len(code.files) == 1 else 's'} changed"
        yield f" {files}, {code.insertions} insertions(+), {code.deletions} deletions(-)"


def _name(file: FileDiff) -> str:
    old, new = (printable(path or "") for path in (file.old_path, file.new_path))
    return f"{old} => {new}" if file.status == "renamed" else new or old


def _text(patch: bytes) -> str:
    return patch.decode(errors="replace")


def _pairs(rows: Iterable[Difference], screen: Screen) -> Iterator[str]:
    return pairs([(row.name, _change(row.old, row.new, screen)) for row in rows], "  ")


def _artifacts(rows: Iterable[ArtifactDifference], screen: Screen) -> Iterator[str]:
    return pairs([(row.name, _change(*_described(row), screen)) for row in rows], "  ")


def _described(row: ArtifactDifference) -> tuple[str | None, str | None]:
    """Both sides as text, each side's value if it is small."""
    old, new = _value(row.old), _value(row.new)
    if old == new:  # long values that begin alike, or values of two types that are written alike
        return _facts(row.old, codec=True), _facts(row.new, codec=True)
    return old, new


def _value(row: ArtifactRow | None) -> str | None:
    return _facts(row) if row is None or row.preview is None else row.preview


def _facts(row: ArtifactRow | None, *, codec: bool = False) -> str | None:
    """What tells values apart that are large, and with the codec those that read alike."""
    if row is None:
        return None
    more = f", {row.codec}" if codec else ""
    return f"<{short_type(row.type)}, {format_size(row.size)}, {str(row.blake3)[:_SHORT]}{more}>"


def _change(old: str | None, new: str | None, screen: Screen) -> str:
    before = "(none)" if old is None else screen.style.red(printable(old))
    after = "(none)" if new is None else screen.style.green(printable(new))
    return f"{before} -> {after}"
