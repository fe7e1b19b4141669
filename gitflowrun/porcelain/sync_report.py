"""What a push or a fetch of runs did, as values. Doing it is `sending`'s and `receiving`'s business."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.git.objects import Oid
    from gitflowrun.names import RunId

__all__ = ["Outcome", "SyncReport", "SyncedRun"]


class Outcome(Enum):
    """How a run fared on its way to the other side."""

    NEW = "new"
    UPDATED = "updated"
    CURRENT = "up to date"
    AHEAD = "ahead"
    """The other side has a later state of it already."""
    REFUSED = "refused"


@frozen
class SyncedRun:
    """One run of a push or fetch.

    Attributes:
        flow: Its flow.
        source: Its id where it came from.
        target: Its id where it went to; None when it did not get there.
        uid: Its birth commit; None when what the remote has is no run.
        outcome: How it fared.
        reason: Why it was refused.
    """

    flow: str
    source: RunId
    target: RunId | None
    uid: Oid | None
    outcome: Outcome
    reason: str = ""

    @property
    def renamed(self) -> bool:
        """Whether its id was taken on the other side by another run."""
        return self.target is not None and self.target != self.source


@frozen
class SyncReport:
    """What a push or fetch did.

    Attributes:
        remote: The other side, as it was named.
        runs: Every run that was looked at, in the order of their numbers.
        tags_added: How many tags the receiving side got.
        tags_removed: How many it lost, because the other side had removed them.
        notices: What was passed over, for people.
    """

    remote: str
    runs: tuple[SyncedRun, ...]
    tags_added: int = 0
    tags_removed: int = 0
    notices: tuple[str, ...] = ()

    def with_outcome(self, *outcomes: Outcome) -> tuple[SyncedRun, ...]:
        """The runs that fared so."""
        return tuple(run for run in self.runs if run.outcome in outcomes)
