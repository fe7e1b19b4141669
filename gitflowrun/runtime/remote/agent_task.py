"""One task as its agent sees it: what it writes, what it has stored, and its end, for the driver.

1. Its output is read from pipes and sent as it comes, unless too much waits for the link: then the task waits.
2. Its Result is sent behind the packs that it has written and the files of its cards.
3. When its process has ended, what that has left behind is ended, too; then Exited is sent.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from gitflowrun import limits
from gitflowrun.cards.card_files import card_directory
from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.failpoints import reached
from gitflowrun.runtime.ipc.agent_limits import CARD_LOOK, PACK_PIECE
from gitflowrun.runtime.ipc.left_behind import LeftBehind
from gitflowrun.runtime.ipc.messages import Exited, LaunchFailed, Result, Started
from gitflowrun.runtime.ipc.remote_messages import (
    CardRequested,
    Recalled,
    TaskNote,
    TaskOutput,
    TaskPack,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gitflowrun.runtime.executors.local import Executor
    from gitflowrun.runtime.ipc.event_loop import EventLoop, Timer
    from gitflowrun.runtime.ipc.messages import Launch, Message
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage
    from gitflowrun.runtime.remote.outbox import Outbox


class AgentTask:
    """A launch.

    Args:
        loop: The event loop.
        outbox: Sends messages.
        launch: The launch.
        pack_dir: Where its packs are; None where the driver has them already.
        live: Where the files of its cards are; None where the driver has these already.
        on_sent: Called with the name of a pack that was sent.
        on_end: Called when all is over.
    """

    def __init__(
        self,
        loop: EventLoop,
        outbox: Outbox,
        launch: Launch,
        pack_dir: Path | None,
        live: Path | None,
        on_sent: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self.launch = launch
        self.is_killed = False
        """Whether the driver has had it killed."""
        self._loop = loop
        self._outbox = outbox
        self._pack_dir = pack_dir
        self._live = live
        self._on_sent = on_sent
        self._on_end = on_end
        self.has_failed = False
        """Whether it can't begin here."""
        self.has_begun = False
        """Whether a process was asked for."""
        self.is_ready = False
        """Whether all is here that it needs to begin."""
        self.is_held = False
        """Whether it must not begin for now: the run is stopped."""
        self._pid = 0
        self._pipes = TaskPipes(loop)
        self._result: Result | None = None
        self._rest = LeftBehind()
        self._cards: dict[str, tuple[int, int]] = {}
        self._timer: Timer | None = None
        self._follower: Timer | None = None
        self._is_over = False

    @property
    def serial(self) -> int:
        """The number of the launch."""
        return self.launch.serial

    def start(self, executor: Executor) -> None:
        """Give it a process."""
        self.has_begun = True
        try:
            executor.launch(self.launch, self._pipes)
        except OSError as error:
            self.fail(error.strerror or str(error))

    def begin_anew(self) -> None:
        """Its process has ended before it knew of the task: it gets another one."""
        self._pipes.close()

    def fail(self, reason: str) -> None:
        """It has got no process."""
        self.has_failed = True
        self._outbox.send(LaunchFailed(self.serial, reason))
        self._end()

    def give_up(self, number: int) -> None:
        """End it before a process has known of it, as if this signal had ended that."""
        self.is_killed = True
        self._outbox.send(Exited(self.serial, number, 0.0, 0))
        self._end()

    def drop(self) -> None:
        """Forget it before it has begun: another agent gets it."""
        self.is_killed = True
        reached("agent.recalled")
        self._outbox.send(Recalled(self.serial))
        self._end()

    def deliver(self, message: Message) -> None:
        """Take what the executor or the task says."""
        if isinstance(message, Started):
            if not self._pid:
                self._outbox.send(message)
            if self._pid != message.pid:
                if self._follower is not None:
                    self._follower.cancel()
                self._follower = self._loop.after(limits.FOLLOWED_AFTER, self._read_output)
            self._pid = message.pid
            if self._live is not None and self._timer is None:
                self._timer = self._loop.after(CARD_LOOK, self._look_at_cards)
        elif isinstance(message, Result):
            self._result = message
            self._outbox.add(self._with_all(message))
        elif isinstance(message, Exited):
            self._exited(message)
        elif isinstance(message, LaunchFailed):
            self.fail(message.reason)

    # ---- output ----

    def _read_output(self) -> None:
        self._pipes.watch(self._take)

    def _send_output(self, stream: str, data: bytes) -> None:
        if data:
            self._outbox.send(TaskOutput(self.serial, stream, data))

    def _take(self, stream: str, data: bytes) -> None:
        self._send_output(stream, data)
        if self._outbox.is_full:
            self._pipes.pause()
            self._outbox.when_not_full(self._read_output)

    # ---- what it has made ----

    def _with_all(self, result: Result) -> Iterator[Message | RemoteMessage]:
        """A result behind all that belongs to it."""
        try:
            if self._pack_dir is not None:
                for name in result.packs:
                    yield from pack_pieces(self.serial, name, self._pack_dir / f"{name}.pack")
                    self._on_sent(name)
        except OSError as error:
            # What was sent of this pack the driver drops, for the Result has come before the rest.
            where = f"on {os.uname().nodename}: {error.filename or self._pack_dir}"
            why = f"what the task has stored can't be read {where}: {error.strerror or error}"
            result = Result(
                self.serial, {}, {}, (), None, error=why, code=result.code, cards=result.cards
            )
        yield from self._new_cards(result.cards)
        reached("agent.sending")
        yield result

    def _look_at_cards(self) -> None:
        """Send the cards that the task has refreshed."""
        if self._is_over or self._live is None:
            return
        directory = card_directory(self._live, self.launch.task, self.launch.attempt)
        with contextlib.suppress(OSError):
            names = [f"{directory.relative_to(self._live)}/{it}" for it in os.listdir(directory)]  # noqa: PTH208
            for card in self._new_cards(tuple(it for it in names if it.endswith(".json"))):
                self._outbox.send(card)
        self._timer = self._loop.after(CARD_LOOK, self._look_at_cards)

    def _new_cards(self, names: tuple[str, ...]) -> Iterator[CardRequested]:
        """Those of its cards' files that have changed since they were sent."""
        for name in names if self._live is not None else ():
            assert self._live is not None
            with contextlib.suppress(OSError), (self._live / name).open("rb") as file:
                found = os.fstat(file.fileno())
                mark = found.st_ino, found.st_mtime_ns
                if self._cards.get(name) != mark and not name.rpartition("/")[2].startswith("."):
                    self._cards[name] = mark
                    yield CardRequested(self.serial, name, file.read(2 * CARD_SIZE))

    # ---- its end ----

    def _exited(self, exited: Exited) -> None:
        if self._is_over:
            return
        result = self._result
        is_good = result is not None and result.error is None
        patient = is_good and exited.status == 0 and not self.is_killed
        wait, words = self._rest.end(self._pid, patient=patient)
        if wait:
            self._loop.after(limits.LEFT_BEHIND_PAUSE, lambda: self._exited(exited))
            return
        self._pipes.drain(self._send_output)
        last: list[Message | RemoteMessage] = [exited]
        if words is not None:
            last.insert(0, TaskNote(self.serial, words))
        self._outbox.add(iter(last))
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._pipes.close()
        for timer in (self._timer, self._follower):
            if timer is not None:
                timer.cancel()
        self._on_end()


def pack_pieces(serial: int, name: str, path: Path) -> Iterator[TaskPack]:
    """A pack in pieces, of which one is read when the one before it was sent.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb", buffering=0) as file, _named(path):
        left = os.fstat(file.fileno()).st_size
        while True:
            reached("agent.piece")
            data = file.read(min(left, PACK_PIECE))
            left -= len(data)
            yield TaskPack(serial, name, data, more=bool(left and data))
            if not (left and data):
                return


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which file an error of reading is."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
