"""The limits of the verbs over runs: how much is shown and looked at, how often something is tried."""

from __future__ import annotations

MAX_PREVIEW = 256
"""Bytes of a stored value, and characters of its text, that are shown in a list."""
RECENT_RUNS = 20
"""Runs whose code the post-commit hook compares with a new commit."""
PUSH_ROUNDS = 6
"""Times that a push is tried while others are faster; then it says so."""
MAX_NOTICES = 20
"""Strange refs of a remote that are named; the others are counted."""
UID_DIGITS = 7
"""Digits of its uid in the id of a run whose number was taken; more where they are taken, too."""
