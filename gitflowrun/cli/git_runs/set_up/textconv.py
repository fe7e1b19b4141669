"""`git runs textconv`: a record as text, for git; and whether git asks for that."""

from __future__ import annotations

import sys
from pathlib import Path

from gitflowrun.cli.errors import REFUSED
from gitflowrun.cli.output.text import printable


def print_record(file: str) -> int:
    """Print the content of a file as text, whatever it is."""
    from gitflowrun.porcelain.textconv import lines_of

    for line in lines_of(Path(file).read_bytes(), file):
        # Tabs are a part of the text files that git shows.
        sys.stdout.write("\t".join(map(printable, line.removesuffix("\r").split("\t"))) + "\n")
    return 0


def change_textconv(*, action: str | None, as_json_: bool) -> int:
    """Have git show records as text, take that back, or say how it is."""
    from gitflowrun.cli.output.tables import show
    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain import textconv

    repo = Repository.discover()
    change = {"install": textconv.install_textconv, "uninstall": textconv.uninstall_textconv}
    state = change.get(action or "", textconv.textconv_state)(repo)
    word = "git shows records of runs as text"
    if not state.installed:
        word = f"git shows no records of runs as text{f': {state.reason}' if state.reason else ''}"
    show(repo, state, lambda _: [printable(word)], json=as_json_)
    return REFUSED if state.reason else 0
