"""A run in a list: what its newest commit's message says, or that it can't be read; and what is known besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.runs.commit_message import Status
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.git.objects import Oid
    from gitflowrun.names import RunId
    from gitflowrun.runs.commit_message import RunState


@frozen
class RunSummary:
    """A run in a list.

    Attributes:
        flow: Its flow.
        id: Its id here.
        commit: Its newest commit.
        uid: Its first commit, as its message says.
        state: What the message says.
        status: How far it is now, which the message of a run whose process is gone can't say.
        subject: The first line of the message.
        author: The commit's author, as git names them.
        email: Their e-mail address.
        tree: The commit's tree, as git writes it: few ask for it.
        tags: Its user tags, sorted.
    """

    flow: str
    id: RunId
    commit: Oid
    uid: Oid
    state: RunState
    status: Status
    subject: str
    author: str
    email: str
    tree: str
    tags: tuple[str, ...] = ()

    @property
    def pathspec(self) -> str:
        """`Flow/id`."""
        return f"{self.flow}/{self.id}"


@frozen
class DamagedRun:
    """A run in a list of which no state can be read: its ref, its commit or that one's message is damaged.

    Attributes:
        flow: Its flow.
        id: Its id here.
        commit: Its newest commit; None where the ref does not say it.
        tags: Its user tags, sorted.
    """

    flow: str
    id: RunId
    commit: Oid | None
    tags: tuple[str, ...] = ()

    @property
    def pathspec(self) -> str:
        """`Flow/id`."""
        return f"{self.flow}/{self.id}"

    @property
    def status(self) -> Status:
        """That it is damaged."""
        return Status.DAMAGED


@frozen
class RunFacts:
    """What lists know of a run.

    Attributes:
        parameters: Its parameters as texts, by the names of their options.
        metrics: The scalars among the artifacts of its end task.
        branch: Where it was started; empty where that is not known.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    branch: str = ""


NO_FACTS = RunFacts()
