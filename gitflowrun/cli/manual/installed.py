"""The files that are installed below the environment's prefix, where other programs look for them."""

from __future__ import annotations

from gitflowrun.cli.completion.scripts import INSTALLED, script_for
from gitflowrun.cli.manual.page import PROGRAM, page_names, read_page
from gitflowrun.cli.manual.roff import to_roff

_PAGES = "share/man/man1"


def installed_files() -> dict[str, str]:
    """Their texts by their paths below the prefix."""
    files = {f"{_PAGES}/{name}.1": to_roff(read_page(name)) for name in page_names()}
    # git takes what is no program on PATH for a guide: `git help runs-list` asks for `gitruns-list`.
    guides = [name for name in page_names() if name != PROGRAM]
    files |= {f"{_PAGES}/git{name[4:]}.1": f".so man1/{name}.1\n" for name in guides}
    return files | {place: script_for(shell) for shell, place in INSTALLED.items()}
