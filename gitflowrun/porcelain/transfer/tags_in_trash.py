"""Tags of runs in the trash: they count as here for what is common with a remote, for they come back with their runs.

A run in the trash has removed nothing. Were its tags no longer common, one that is removed after the run was restored
would look like one that somebody has made there, and would come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.porcelain.deletion.trash import Trash
from gitflowrun.porcelain.transfer.sync import TagKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository


def tags_in_trash(
    repo: Repository, dropped: Collection[TagKey], here: Callable[[], Collection[Oid]]
) -> set[TagKey]:
    """Those of some tags, which are not here, that runs in the trash have; not of those that are here as well.

    Args:
        repo: The repository.
        dropped: The tags.
        here: The uids of the runs that are here, where anybody has to know.
    """
    if not dropped:
        return set()
    trash = {TagKey(it.flow, tag, it.uid) for it in Trash(repo).runs() for tag in it.tags}
    found = trash.intersection(dropped)
    uids = here() if found else ()
    return {key for key in found if key.uid not in uids}
