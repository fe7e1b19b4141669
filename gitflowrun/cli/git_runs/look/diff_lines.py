"""What differs between two runs, in lines: of the code, of steps, of values too large for a line."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from gitflowrun.cli.git_runs.look.show import short_type, shown, some_files
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.settings import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.git.diff import FileDiff, TreeDiff
    from gitflowrun.porcelain.comparison.compare import Difference, RunDifference, StepDifference
    from gitflowrun.porcelain.overview import ArtifactRow

_SHORT = 7
_BAR = 40
"""Columns of the longest bar of `+` and `-`."""


def left_out_lines(found: RunDifference, screen: Screen) -> Iterator[str]:
    """What is known of what the snapshots do not hold."""
    for row in found.left_out:
        old = screen.style.red(printable(row.old or "(not left out)"))
        new = screen.style.green(printable(row.new or "(not left out)"))
        yield f"  {printable(row.name)}: {old} -> {new}"
    if found.unknown:
        listed = some_files(found.unknown, len(found.unknown))
        yield f"  perhaps changed, for their contents are not recorded: {listed}"


def code_lines(code: TreeDiff, screen: Screen) -> Iterator[str]:
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
        lines = (code.insertions, "insertion", "(+)"), (code.deletions, "deletion", "(-)")
        counts = [f"{counted(number, noun)}{sign}" for number, noun, sign in lines if number]
        yield " " + ", ".join([f"{counted(len(code.files), 'file')} changed", *counts])


def _name(file: FileDiff) -> str:
    old, new = (printable(path or "") for path in (file.old_path, file.new_path))
    return f"{old} => {new}" if file.status == "renamed" else new or old


def step_line(row: StepDifference) -> str:
    """A step whose tasks made other values, or are more or fewer."""
    counts = f"{row.old:,} -> {counted(row.new, 'task')}" if row.old != row.new else ""
    both = counted(min(row.old, row.new), "task")
    made = (
        f"{', '.join(map(printable, row.artifacts))} in {row.tasks:,} of {both}"
        if row.tasks
        else ""
    )
    return f"  {printable(row.step)}: {'; '.join(filter(None, (counts, made)))}"


def described(row: Difference[ArtifactRow]) -> tuple[str | None, str | None]:
    """Both sides as text, each side's value if it is small."""
    old, new = _value(row.old), _value(row.new)
    if old == new:  # long values that begin alike, or values of two types that are written alike
        return _facts(row.old, codec=True), _facts(row.new, codec=True)
    return old, new


def _value(row: ArtifactRow | None) -> str | None:
    """A value if it is short; a larger one by what it is, for below it stands in what it differs."""
    return _facts(row) if row is None or row.preview is None or row.facts else shown(row)


def _facts(row: ArtifactRow | None, *, codec: bool = False) -> str | None:
    """What tells values apart that are large, and with the codec those that read alike."""
    if row is None:
        return None
    more = f", {row.codec}" if codec else ""
    return f"<{short_type(row.type)}, {format_size(row.size)}, {str(row.blake3)[:_SHORT]}{more}>"
