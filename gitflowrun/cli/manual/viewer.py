"""`git runs VERB --help`: the page of a verb, shown by `man` on a terminal and printed as text elsewhere.

The page is made here and now, so it is that of this very program, wherever `man` would look for pages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from gitflowrun.cli.manual.page import PROGRAM, read_page
from gitflowrun.cli.output.terminal import obeys_commands, style_for

_WIDTH = 80


def show_page(verb: str) -> int:
    """Show the page of a verb, or, of "", that of `git runs` itself.

    Raises:
        UsageError: there is no such verb.
    """
    page = read_page(f"{PROGRAM}-{verb}" if verb else PROGRAM)
    if obeys_commands(sys.stdout) and (man := shutil.which("man")):
        from gitflowrun.cli.manual.roff import to_roff

        # Of what `man` can't do (a small one knows no `-l`, a minimal system has no groff) nobody needs to hear.
        done = subprocess.run(
            [man, "-l", "-"], input=to_roff(page).encode(), stderr=subprocess.DEVNULL, check=False
        )
        if not done.returncode:
            return 0
    from gitflowrun.cli.manual.plain_text import to_text

    columns = shutil.get_terminal_size((_WIDTH, 24)).columns
    for line in to_text(page, columns, style_for(sys.stdout)):
        sys.stdout.write(line + "\n")
    return 0
