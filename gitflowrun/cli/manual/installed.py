"""The files that are installed below the environment's prefix, where other programs look for them."""

from __future__ import annotations

from gitflowrun.cli.manual.page import page_names, read_page
from gitflowrun.cli.manual.roff import to_roff


def installed_files() -> dict[str, str]:
    """Their texts by their paths below the prefix."""
    return {f"share/man/man1/{name}.1": to_roff(read_page(name)) for name in page_names()}
