"""Moving refs to objects that only we can have made: tells "it was us" from "somebody else was faster".

A ref can be written and its writer be told of a failure: between libgit2's rename of the ref and its fsync of
the directory, a `git pack-refs --prune` packs the ref and removes the directory. The next attempt then finds
the ref where it wanted to put it. A run's commits are unique (a nonce, a parent, a time, a seal), so a ref that
is at ours was moved by us. Taking that for a conflict would stop the run for good, or give it a second number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import RefConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.ref_update import Refs, RefUpdate

__all__ = ["publish"]


def publish(refs: Refs, updates: Sequence[RefUpdate]) -> None:
    """Change refs, all or none.

    Raises:
        RefConflict: one of them has not its expected old value, and they are not all as wanted either.
    """
    try:
        refs.transaction(updates)
    except RefConflict:
        if any(refs.get(update.name) != update.new for update in updates):
            raise
