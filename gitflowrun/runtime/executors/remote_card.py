"""The requests for cards that tasks on other machines have written, kept where those of this machine are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.cards.card_files import CardFiles, card_directory
from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.errors import CorruptRecord

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.names import TaskName

_REQUEST = re.compile(r"(0|[1-9][0-9]{0,5})\.json\Z")


def keep_card_request(
    live: Path, task: TaskName, attempt: int, name: str, data: bytes, *, shared: int | None
) -> None:
    """Keep a request of a task.

    Args:
        live: The directory of the run's live state.
        task: The task.
        attempt: Its attempt.
        name: The file's name as the task calls it, below the live state of its machine.
        data: Its content.
        shared: The permissions of a shared repository's directories; None where it is not shared.

    Raises:
        CorruptRecord: it is no request of this task.
        OSError: it can't be written.
    """
    directory = card_directory(live, task, attempt)
    place, _, file = name.rpartition("/")
    found = _REQUEST.match(file)
    if found is None or place != str(directory.relative_to(live)) or len(data) > 2 * CARD_SIZE:
        raise CorruptRecord(f"{name!r} is no request for a card of task {task}")
    CardFiles(directory, shared=shared).write_text(int(found[1]), data.decode(errors="replace"))
