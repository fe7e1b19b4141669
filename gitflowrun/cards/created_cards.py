"""The cards that `card create` has made of tasks which are in git already: they lie in this clone alone.

    .git/gitflowrun/cards/<uid>/<step>/<task>/<number>-<type>[-<id>].html

A run that has ended does not move: remotes refuse it, who has signed it has signed what it was, and clones that have it
would not hear of a card. So these are no part of it. They are made anew by the same command, and go with their run.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.cards.card_files import CardFiles
from gitflowrun.git.permissions import held_entries

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import TaskRecord

_CARDS = "cards"


def created_directory(repo: Repository, task: TaskRecord) -> Path:
    """Where the cards that were created of a task are, in whatever run it is found; there may be none."""
    return repo.state_dir.joinpath(_CARDS, str(task.run.uid), task.name.step, task.name.task)


def created_files(repo: Repository, task: TaskRecord) -> CardFiles:
    """The same as files that can be written. Raises RepositoryError: their directory can't be made."""
    names = _CARDS, str(task.run.uid), task.name.step, task.name.task
    return CardFiles(repo.state(*names), shared=repo.shared_mode)


def created_tasks(repo: Repository, uid: Oid, step: str) -> set[str]:
    """The tasks of a step of a run of which cards were created."""
    directory = repo.state_dir.joinpath(_CARDS, str(uid), step)
    return {path.name for path in directory.iterdir()} if directory.is_dir() else set()


def remove_created_cards(repo: Repository, uid: Oid) -> None:
    """Remove those of a run that is gone."""
    for entry in held_entries(repo.state_dir / _CARDS):
        if entry.name == str(uid):
            with suppress(OSError):
                shutil.rmtree(entry)
