"""`git runs completion`: the script of a shell."""

from __future__ import annotations

import sys

from gitflowrun.cli.completion.scripts import script_for


def print_script(shell: str) -> None:
    """Print what a shell completes `git runs` with."""
    sys.stdout.write(script_for(shell))
