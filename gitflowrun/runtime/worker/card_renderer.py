"""The process that renders the cards of a run's tasks: one for a run, started with the first task that has any.

It knows nothing of how tasks get their processes. Where the cards are of types that the flow or an extension package
brings, it is the flow's program, so that these are there and values can be loaded as in a task; otherwise it spares the
run the flow's imports.

1. Take RunContext and OpenRepository, and import what cards need.
2. For each RenderCards, fork a child per card, a few at a time. It leaves the scheduler's socket, reads the task from
   git, renders, writes the card into a file and ends; what it prints is nobody's.
3. A child that takes longer than its card may, or dies, is killed; a card that says so takes the card's place.
4. When all cards of a request are done, answer with CardsRendered.
5. End with the scheduler, and all children with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gitflowrun.cards.card_files import CardFiles, CardRequest, read_request
from gitflowrun.cards.card_types import BUILT_IN
from gitflowrun.errors import GitflowrunError
from gitflowrun.failpoints import reached
from gitflowrun.git.repository import Repository
from gitflowrun.limits import ERROR_TEXT
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel, Connection
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import (
    CardsRendered,
    Message,
    OpenRepository,
    RenderCards,
    RunContext,
)
from gitflowrun.runtime.worker.task_process import set_environment
from gitflowrun.runtime.worker.task_secrets import Secrets
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from gitflowrun.client.task import Task
    from gitflowrun.runtime.ipc.event_loop import Timer

_AT_ONCE = max(2, min(8, os.cpu_count() or 1))
_LAST_SECONDS = 10
"""What a card that only says what went wrong may take."""


@mutable
class _Pending:
    """A request of the scheduler's: how many of its cards are not done yet, and what went wrong with the others."""

    message: RenderCards
    files: CardFiles
    left: int
    errors: list[str] = field(default_factory=list)


@mutable
class _Child:
    """A process that renders one card.

    Attributes:
        pending: What it belongs to.
        path: The file of the request.
        request: The card.
        said: The end of the pipe by which it says what went wrong.
        timer: Ends it.
        failure: Why it was killed, or what the card it renders is to say in the place of its content.
        is_last: Whether it renders what went wrong before.
    """

    pending: _Pending
    path: Path
    request: CardRequest
    said: int
    timer: Timer | None = None
    failure: str = ""
    is_last: bool = False


class CardRenderer:
    """Renders cards until the scheduler is gone.

    Args:
        channel: To the scheduler.
        context: What all tasks of the run have in common.
        opened: The repository.
    """

    def __init__(self, channel: Channel, context: RunContext, opened: OpenRepository) -> None:
        self._loop = EventLoop()
        self._context = context
        self._opened = opened
        self._queue: deque[tuple[_Pending, Path, str]] = deque()
        self._children: dict[int, _Child] = {}
        self._is_over = False
        self._is_warm = False
        self._channel = channel
        channel.set_blocking(False)
        self._death_signal = process.ParentDeathSignal()
        self._scheduler = Connection(self._loop, channel, self._take, self._end)
        self._loop.on_signal(signal.SIGCHLD, self._reap)

    def serve(self) -> None:
        """Turn the loop until the scheduler is gone."""
        while not self._is_over:
            self._loop.turn()

    def _end(self) -> None:
        self._is_over = True
        for pid in self._children:
            process.signal_group(pid, signal.SIGKILL)

    def _take(self, message: Message) -> None:
        if not isinstance(message, RenderCards):
            return
        if not self._is_warm:
            self._warm_up(message)
        files = CardFiles(Path(message.directory), shared=self._context.shared)
        paths = files.paths()  # each is read when its turn comes: they may be large
        pending = _Pending(message, files, len(paths))
        self._queue += [(pending, path, "") for path in paths]
        if not paths:
            self._scheduler.send(CardsRendered(message.serial, ()))
        self._fill()

    def _warm_up(self, message: RenderCards) -> None:
        """Make a card once, for nobody, so that no child imports and compiles what all of them need: 25 ms each."""
        from gitflowrun.cards.rendering import render_card

        self._is_warm = True
        with contextlib.suppress(Exception):  # the child meets the same error, and can tell it
            render_card(CardRequest(0, "default"), self._task(message))
        gc.freeze()

    def _fill(self) -> None:
        while self._queue and len(self._children) < _AT_ONCE:
            self._start(*self._queue.popleft())

    def _start(self, pending: _Pending, path: Path, failure: str) -> None:
        """Fork a child for a card; `failure`: why it can't be rendered, where that is known."""
        try:
            request = read_request(path)
        except GitflowrunError as error:
            if not failure:  # what was wrong before is told already
                pending.errors.append(f"a card can't be rendered: {error}")
            self._done(pending)
            return
        said, says = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:
            os.close(said)
            os.close(says)
            pending.errors.append(f"no process for card {request.told}: {error.strerror}")
            self._done(pending)
            return
        if not pid:
            self._become(pending, request, failure, says)
        os.close(says)
        child = _Child(pending, path, request, said, is_last=bool(failure))
        seconds = _LAST_SECONDS if failure else max(1, request.timeout)
        child.timer = self._loop.after(seconds, lambda: self._kill(pid, seconds))
        self._children[pid] = child

    def _kill(self, pid: int, seconds: int) -> None:
        self._children[pid].failure = f"rendering took longer than {seconds} s"
        if not process.signal_group(pid, signal.SIGKILL):
            os.kill(pid, signal.SIGKILL)  # it has not made its session yet, and is not reaped

    def _reap(self) -> None:
        while self._children and (ended := process.reap()) is not None:
            pid, status, *_ = ended
            child = self._children.pop(pid, None)
            if child is None:
                continue
            process.signal_group(pid, signal.SIGKILL)  # what it has started and left behind
            if child.timer is not None:
                child.timer.cancel()
            error = child.failure or _said(child.said) or _how(status)
            os.close(child.said)
            wants_card = status != 0 and child.request.save_errors and not child.is_last
            if wants_card:
                self._queue.appendleft((child.pending, child.path, error))
            if error and not child.is_last:
                told = f"card {child.request.told} can't be rendered: " if status else ""
                child.pending.errors.append(f"{told}{error}")
            if not wants_card:
                self._done(child.pending)
        self._fill()

    def _done(self, pending: _Pending) -> None:
        pending.left -= 1
        if not pending.left:
            self._scheduler.send(CardsRendered(pending.message.serial, tuple(pending.errors)))

    # ---- in the child ----

    def _become(self, pending: _Pending, request: CardRequest, failure: str, says: int) -> NoReturn:
        code = 1
        try:
            self._death_signal.set()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            os.close(
                self._channel.fileno()
            )  # the scheduler waits for its end, and cards may leave daemons behind
            gc.enable()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            error = self._render(pending, request, failure)
            os.write(says, error.encode(errors="replace")[:ERROR_TEXT])
            code = 0
        except BaseException as error:  # noqa: BLE001  (only the end of the process follows)
            with contextlib.suppress(OSError):
                text = "".join(traceback.format_exception_only(error)).strip()
                text = self._hidden(request, text)
                os.write(says, text.encode(errors="replace")[:ERROR_TEXT])
        finally:
            os._exit(code)

    def _render(self, pending: _Pending, request: CardRequest, failure: str) -> str:
        """Render a card into its files; what went wrong."""
        from gitflowrun.cards.rendering import error_card, render_card

        task = self._task(pending.message)
        if failure:
            pending.files.write_card(request, "html", error_card(task, failure))
            return ""
        made = render_card(request, task)
        for suffix, text in (("html", made.html), ("json", made.data)):
            if text is not None:
                pending.files.write_card(request, suffix, self._hidden(request, text))
        reached("card.rendered")
        return self._hidden(request, made.error or "")

    def _hidden(self, request: CardRequest, text: str) -> str:
        """What a type has made, without secrets: code of a flow finds those of the command line in its environment.

        Our own types find none, and a secret that is a common word would take their pages apart.
        """
        return text if request.type in BUILT_IN else Secrets(self._context.secrets).text(text)

    def _task(self, message: RenderCards) -> Task:
        from gitflowrun.client.repository import Source
        from gitflowrun.client.task import Task

        opened = self._opened
        Source.use(self._context.metadata, Repository.opened(opened.repository, opened.config))
        return Task(f"{self._context.run.pathspec}/{message.task}", _namespace_check=False)


def _said(fd: int) -> str:
    """What a child that has ended has said."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, ERROR_TEXT).decode(errors="replace")
    except OSError:
        return ""


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"its process ended with exit status {code}" if code else ""
    return f"its process was ended by signal {-code} ({signal.strsignal(-code)})"


def serve() -> NoReturn:
    """Be the renderer that the socket named in the environment asks; the process ends here."""
    process.ParentDeathSignal(os.getppid()).set()
    channel = Channel.from_fd(int(os.environ.pop(process.CARDS_FD)))
    channel.move_away()
    (context, _), (opened, _) = channel.receive(), channel.receive()  # 1
    if not isinstance(context, RunContext) or not isinstance(opened, OpenRepository):
        os._exit(1)  # the scheduler is gone
    process.prefer_as_oom_victim()
    set_environment(context)
    # What the children need is imported once.
    import gitflowrun.cards.rendering
    import gitflowrun.client.task  # noqa: F401

    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # the scheduler decides when it ends
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    CardRenderer(channel, context, opened).serve()
    os._exit(0)
