"""`git runs doctor`: what crashes and power cuts have left in the repository, and mending it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import DAMAGED
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import printable
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.checks import doctor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.porcelain.checks.doctor import Ailment


def examine(*, fix: bool, as_json_: bool) -> int:
    """Tell what is wrong, or mend it; 1 if something is and was not mended."""
    repo = Repository.discover()
    found = doctor.mend(repo) if fix else doctor.examine(repo)
    show(repo, found, lambda screen: _lines(found, screen), json=as_json_)
    left = [it for it in found if not it.mended]
    if not fix and any(it.can_be_mended for it in left):
        sys.stderr.write("hint: `git runs doctor --fix` mends what it can\n")
    return DAMAGED if left else 0


def _lines(found: Sequence[Ailment], screen: Screen) -> Iterator[str]:
    for it in found:
        mark = screen.style.green("mended") if it.mended else screen.style.red(it.kind.value)
        yield f"{mark}: {screen.style.yellow(printable(it.where))}: {printable(it.what)}"
        yield f"    {'it' if it.can_be_mended else 'see:'} {printable(it.fix)}"
    if not found:
        yield "Nothing is wrong."
