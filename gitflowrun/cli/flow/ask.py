"""The question for a secret, on a terminal that does not show the answer."""

from __future__ import annotations

import os
import signal
import sys


def ask_secret(prompt: str) -> str | None:
    """Ask the user for a secret; None where nobody sits at a terminal, or where it would be shown."""
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr) and _is_in_foreground()):
        return None
    import getpass
    import warnings

    # While a run begins, an interrupt is a message to the scheduler; nobody would answer the question any more.
    forwarding = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except (getpass.GetPassWarning, EOFError):
        return None
    finally:
        signal.signal(signal.SIGINT, forwarding)


def _is_in_foreground() -> bool:
    """Whether the terminal is ours to read from: a job in the background would be stopped for trying."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and not getattr(stream, "closed", False) and bool(isatty())
