"""Named places in the protocols at which tests let a process die, the system report an error, or time stand still.

`GITFLOWRUN_FAILPOINTS` says what happens where, for every process that is started with it:

    publish.renamed=kill; ref.moved=ENOSPC:2; *=tell:/tmp/reached

    kill            the process dies, as by `kill -9`
    ENOSPC          the system reports that error, once; any name of `errno`
    ENOSPC:2        from the second time on
    kill:2          the second time
    kill:/FILE      where the file was not there yet, which is made: once, of all processes; errors likewise
    pause:FILE      the process waits until there is such a file
    tell:FILE       the name is appended to a file

`*` stands for every name; of several actions at one place, all are taken, in their order. Each process counts for
itself, and a forked one goes on from its parent's count. Without the variable a place costs a call that does nothing.
"""

from __future__ import annotations

import os

from gitflowrun.errors import UsageError

NAMES = frozenset({
    # A pack: written to `incoming/`, its files durable, kept, renamed into the repository, durable there, released.
    "publish.written", "publish.synced", "publish.kept", "publish.renamed", "publish.visible", "publish.durable",
    "publish.released",
    # A group commit: what was there before is there still; the group is acknowledged.
    "commit.verified", "commit.acknowledged",
    # An attempt that failed and is followed by another one is published; that one has ended, and holds the other.
    "attempt.published", "attempt.moved",
    # Cards: one is rendered, by a process of its own; those of some tasks are published.
    "card.rendered", "cards.published",
    # A transaction of refs: it is noted whose locks they are; all are locked and written, renamed, durable.
    "ref.claimed", "ref.locked", "ref.moved", "ref.durable",
    # Many new refs as one file: written, about to take its place, in place.
    "packed.written", "packed.locked", "packed.replaced",
    # A number: the lock `ids` is held, the run's is, the mark is written, the mark is in place.
    "ids.locked", "ids.chosen", "ids.written", "ids.marked",
    # A run: it has a number; its first commits are made and not published.
    "create.reserved", "create.prepared",
    # Its end: the last commit is published and nobody was told, only the program that waits was not told.
    "run.ended", "run.told",
    # The code: the index is copied, the tree is made.
    "snapshot.begun", "snapshot.made",
    # A task: its step has returned and its values are encoded, the large ones stored, its result is about to be sent.
    "payload.encoded", "payload.stored", "payload.sending",
    # A process of many tasks: one has ended and nobody was told; it waits for the next; it has read of that. What it
    # was given ahead was taken back, and nobody else has it.
    "batch.ended", "batch.waits", "batch.taken", "batch.recalled",
    # Caches and what people look at meanwhile.
    "cache.opened", "dedup.written", "live.started",
    # A task of an earlier run serves, and is about to be published; the tasks of a run are in the index.
    "step_cache.found", "step_cache.written",
    # A fold: git has written the new pack, it is checked, visible, durable, the first input is gone.
    "fold.written", "fold.checked", "fold.visible", "fold.durable", "fold.deleting",
    # Tags: the lock is held, the change is known.
    "tags.locked", "tags.planned",
    # The key of a clone, and a small file that takes the place of another.
    "key.written", "key.made", "file.written", "file.replaced", "trust.locked",
    # Transfers: objects and copies of the remote's refs are here, ours are moved; the remote has ours, that is noted;
    # it has our tags.
    "fetch.received", "fetch.planned", "fetch.moved", "fetch.tagged", "push.planned", "push.sent", "push.noted",
    "push.tagged",
    # Removal: what goes or comes back is known, its refs are moved, its notes are gone; a purged run is in the trash,
    # in the list of those that are gone, and gone.
    "trash.planned", "trash.moved", "trash.noted", "restore.planned", "restore.moved", "rm.remote",
    "purge.trashed", "purge.listed", "purge.freed",
    # Notes: what changes is in a pack, the ref is moved.
    "note.written", "note.moved",
    # Space: what may go is written down, no ref leads to it, packs without it are written, durable, no run can begin,
    # a loose file is gone, one of an old pack is, all is.
    "free.noted", "free.unreferenced", "free.written", "free.durable", "free.locked", "free.unlinking", "free.deleting",
    "free.unlinked",
    # An agent: the code has come, it is written as files, the flow is imported; a piece of what a task has stored is
    # about to be read, a Result is about to be sent.
    "agent.fetched", "agent.copied", "agent.ready", "agent.piece", "agent.sending",
    # A launch that an agent was given ahead: the agent is asked to give it back, drops it and has not said so; it is
    # among those that wait again.
    "remote.recalled", "agent.recalled", "remote.returned",
    # An agent is given a launch. A pack from another machine: all of it is in a file, it is published; what it has of
    # a Result is compared with its digests.
    "remote.launched", "remote.received", "remote.published", "remote.verified",
    # The doctor is about to mend something, has done so; a signature is about to be asked for, is made.
    "doctor.found", "doctor.mended", "sign.asked", "sign.made",
})  # fmt: skip

_VARIABLE = "GITFLOWRUN_FAILPOINTS"
_EVERY = "*"


class _Action:
    """What happens at one place.

    Args:
        text: As in the variable, behind `=`.
    """

    def __init__(self, text: str) -> None:
        self._what, _, self._more = text.partition(":")
        self._is_once = self._more.startswith("/") and self._what not in {"tell", "pause"}
        self._hits = 0

    def take(self, name: str) -> None:
        """The place was reached once more."""
        import errno
        import signal
        import time

        self._hits += 1
        if self._what == "tell":
            fd = os.open(self._more, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(fd, f"{name}\n".encode())
            os.close(fd)
        elif self._what == "pause":
            while not os.path.exists(self._more):  # noqa: PTH110  (no import that nobody else needs)
                time.sleep(0.01)
        elif self._what == "kill":
            if self._is_first() if self._is_once else self._hits == int(self._more or 1):
                os.kill(os.getpid(), signal.SIGKILL)
        elif self._is_due():
            number = getattr(errno, self._what)
            raise OSError(number, os.strerror(number))

    def _is_due(self) -> bool:
        """Whether an error is reported this time."""
        if self._is_once:
            return self._is_first()
        return self._hits >= int(self._more) if self._more else self._hits == 1

    def _is_first(self) -> bool:
        """Whether no process was here before this one, of all that have this action."""
        try:
            os.close(
                os.open(self._more, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            )
        except FileExistsError:
            return False
        return True


def _parsed(text: str) -> dict[str, list[_Action]]:
    table: dict[str, list[_Action]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, action = part.partition("=")
        if name not in NAMES and name != _EVERY:
            raise UsageError(f"{_VARIABLE}: there is no failpoint {name!r}")
        for each in NAMES if name == _EVERY else (name,):
            table.setdefault(each, []).append(_Action(action))
    return table


_ACTIONS = _parsed(os.environ.get(_VARIABLE, ""))


def _pass(name: str, /) -> None:
    """A protocol has reached a place: nothing happens."""


def _act(name: str, /) -> None:
    assert name in NAMES, f"{name!r} is not registered"
    for action in _ACTIONS.get(name, ()):
        action.take(name)


# Chosen once: a place in a task's way costs 30 ns.
reached = _act if _ACTIONS else _pass
