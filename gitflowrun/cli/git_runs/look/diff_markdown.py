"""The differences between two runs as Markdown, for a pull request: a table, and the code folded below it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from gitflowrun.cli.git_runs.look.diff_lines import (
    code_lines,
    described,
    left_out_lines,
    step_line,
)
from gitflowrun.cli.output.markdown import code_span, fenced, markdown_table
from gitflowrun.cli.output.terminal import Screen
from gitflowrun.porcelain.comparison.changes import delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    from gitflowrun.porcelain.comparison.compare import RunDifference

_NONE = "(none)"


def markdown_lines(found: RunDifference, patch: str | None, out: TextIO) -> Iterator[str]:
    """What differs between two runs.

    Args:
        found: The difference.
        patch: What differs in the code line by line; its statistics are shown when None.
        out: Where it goes: no colours are wanted there.
    """
    screen = Screen(out)
    rows = list(_rows(found))
    if rows:
        yield from markdown_table(["", code_span(found.old), code_span(found.new)], rows)
    else:
        yield f"{code_span(found.old)} and {code_span(found.new)}"
    if not found.differs:
        yield ""
        yield (
            "What can be read of them is the same."
            if found.unreadable
            else "They have the same parameters, environment, artifacts and code, and ended alike."
        )
    more = chain.from_iterable((name, *lines) for name, lines in found.changes.items())
    yield from _folded("In what values differ", list(more), "diff")
    yield from _folded("Steps", [step_line(row).strip() for row in found.steps])
    stat = list(code_lines(found.code, screen))
    summary = f"Code: {stat[-1].strip()}" if stat else "Code"
    yield from _folded(summary, patch.split("\n") if patch else stat, "diff" if patch else "")
    missing = [line.strip() for line in left_out_lines(found, screen)]
    yield from _folded("Not in the recorded code", missing)


def _rows(found: RunDifference) -> Iterator[list[str]]:
    if found.status is not None:
        yield ["status", code_span(found.status.old or ""), code_span(found.status.new or "")]
    texts = [("parameter", row.name, row.old, row.new) for row in found.parameters]
    texts += [("environment", row.name, row.old, row.new) for row in found.environment]
    texts += [("artifact", row.name, *described(row)) for row in found.artifacts]
    for kind, name, old, new in texts:
        before, after = (_NONE if text is None else code_span(text) for text in (old, new))
        change = delta(old, new) if kind == "artifact" else ""
        yield [f"{kind} {code_span(name)}", before, after + change]


def _folded(summary: str, lines: Sequence[str], language: str = "") -> Iterable[str]:
    """Lines that are shown once somebody clicks on their summary; nothing where there are none."""
    if not lines:
        return ()
    block = fenced("\n".join(lines), language)
    return chain(("", f"<details><summary>{summary}</summary>", ""), block, ("", "</details>"))
