"""Gangs: tasks of one step that run at the same time and may wait for each other, so that they end together.

What a node has done counts when all nodes have: until then it is held back. Where one fails that may be tried again,
the others are ended, after a while in which they may end by themselves, and all of them are tried again. Where only
its failure is still to be recorded (`@catch`), those that end well keep what they have done, and those that were lost
with their zygote, which was not their fault, begin again. Where neither is so, the
run ends, and what the others have done is kept with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.names import NODE
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.runtime.ipc.event_loop import Timer
    from gitflowrun.runtime.ipc.messages import Exited
    from gitflowrun.runtime.scheduler.attempt import Job, TaskAttempt

NODE_FAILED = "another node of its gang failed"
_Done = list[tuple["TaskAttempt", "Exited"]]


@mutable
class Gang:
    """The nodes of one gang, until all have ended once.

    Attributes:
        size: How many nodes it has.
        held: The nodes that have succeeded.
        ended: The nodes that are to be tried again.
        fails: Whether a node has failed, so that some are to be tried again.
        begins_anew: Whether all are, those that succeed included.
        falls_back: Whether nodes do no more than record how they have failed: none of them needs another.
        timer: Ends the nodes that go on though one has failed.
    """

    size: int
    held: _Done = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    fails: bool = False
    begins_anew: bool = False
    falls_back: bool = False
    timer: Timer | None = None

    @property
    def has_ended(self) -> bool:
        """Whether all nodes have ended."""
        return len(self.held) + len(self.ended) == self.size

    def release(self) -> _Done:
        """What was held back, in the order of the nodes; it is forgotten here."""
        held, self.held = self.held, []
        return sorted(held, key=lambda item: item[0].job.planned.index or 0)

    def take_ended(self) -> list[Job]:
        """What is to be tried again, in the order of the nodes; it is forgotten here."""
        ended, self.ended = self.ended, []
        return sorted(ended, key=lambda job: job.planned.index or 0)


class Gangs:
    """The gangs of a run that have begun and not ended."""

    def __init__(self) -> None:
        self._gangs: dict[tuple[str, str], Gang] = {}

    def of(self, job: Job) -> Gang | None:
        """The gang of a task; None of one that is a node of none."""
        level = job.planned.gang
        if level is None:
            return None
        key = _key(job)
        if key not in self._gangs:
            self._gangs[key] = Gang(level.num_splits)
        return self._gangs[key]

    def fall_back(self, gang: Gang, job: Job, held: _Done) -> None:
        """Put another one in the place of a gang whose other nodes record how they have failed."""
        self._gangs[_key(job)] = Gang(gang.size, held, falls_back=True)

    def forget(self, job: Job) -> None:
        """Forget the gang of a task: it has ended, or begins anew."""
        self._gangs.pop(_key(job), None)

    def release(self) -> Iterator[tuple[TaskAttempt, Exited]]:
        """What all gangs have held back: their run ends without them."""
        for gang in self._gangs.values():
            yield from gang.release()


def _key(job: Job) -> tuple[str, str]:
    control = job.name.task.partition(NODE)[0]
    return job.name.step, control
