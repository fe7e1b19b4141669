"""Programs for hooks, git and shells that are warm Pythons' forks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.helpers.warm_python import started

CLIENT = Path(__file__).with_name("warm_client.py")


def write_program(path: Path, *words: str, is_fresh: bool = False) -> Path:
    """Write a program that is `python WORDS` for whoever starts it.

    Args:
        path: Its file.
        words: The first ones of its arguments.
        is_fresh: Whether it has an interpreter of its own, as one has to that looks at its parents.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    called = [sys.executable, *words]
    if not is_fresh:
        called[1:1] = ["-IS", str(CLIENT), started().name]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(called)} "$@"\n')
    path.chmod(0o755)
    return path
