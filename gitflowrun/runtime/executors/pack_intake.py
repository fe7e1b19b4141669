"""Packs that have arrived of tasks: looked at and published by a few threads, so that the scheduler's loop goes on.

Each byte is hashed once for each of what is compared with it: the ids of the objects, the checksum of the pack, and the
BLAKE3 of the contents, which the references of artifacts name. The disk is waited for in these threads, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import Oid
from gitflowrun.runtime.executors.executor_limits import INTAKE_THREADS, REMOTE_PIECE
from gitflowrun.runtime.ipc.thread_calls import ThreadCalls
from gitflowrun.utilities.threads import Workers
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import subprocess
    from concurrent.futures import Future

    from gitflowrun.git.transport.streamed_packs import IncomingPack
    from gitflowrun.runtime.ipc.event_loop import EventLoop

Blobs = dict[Oid, tuple[int, bytes]]
"""The size and the BLAKE3 of each blob of a pack."""
OnTaken = Callable[[Blobs, GitflowrunError | None], None]


@frozen
class _Taking:
    """A pack that is being looked at.

    Attributes:
        pack: The pack.
        is_wanted: Whether it is still to be published.
        done: Called at the end.
    """

    pack: IncomingPack
    is_wanted: Callable[[], bool]
    done: OnTaken


class PackIntake:
    """Takes packs in.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._calls: ThreadCalls | None = None
        self._threads: Workers | None = None

    def take(self, pack: IncomingPack, is_wanted: Callable[[], bool], done: OnTaken) -> None:
        """Publish a pack of which all has come.

        Args:
            pack: The pack.
            is_wanted: Whether it is still to be published.
            done: Called in the loop with what is in it when it is published, or with why it can't be. Of what is in
                packs that git has looked at nothing is said. It may not be called where the pack is not wanted.
        """
        if self._threads is None:
            self._calls, self._threads = ThreadCalls(self._loop), Workers(INTAKE_THREADS)
        calls, taking = self._calls, _Taking(pack, is_wanted, done)
        assert calls is not None
        looking = self._threads.submit(pack.take_in, digest, is_wanted)
        looking.add_done_callback(lambda it: calls.ask(lambda: self._looked_at(taking, it)))

    def _looked_at(self, taking: _Taking, looking: Future[Blobs | None]) -> None:
        """A thread is done with a pack: what is not for it goes to git."""
        try:
            blobs = looking.result()
        except GitflowrunError as error:
            taking.done({}, error)
            return
        if blobs is not None:
            taking.done(blobs, None)
        elif taking.is_wanted():
            self._index(taking)
        else:
            taking.pack.discard()

    def _index(self, taking: _Taking) -> None:
        try:
            indexing = taking.pack.index()
        except GitflowrunError as error:
            taking.pack.discard()
            taking.done({}, error)
            return
        assert indexing.stdout is not None
        fd = indexing.stdout.fileno()
        self._loop.watch(fd, lambda: self._indexed(fd, taking, indexing))

    def _indexed(self, fd: int, taking: _Taking, indexing: subprocess.Popen[bytes]) -> None:
        """Publish a pack when git has made its index."""
        assert indexing.stdout is not None
        if indexing.stdout.read1(REMOTE_PIECE):  # type: ignore[attr-defined]
            return
        self._loop.forget(fd)
        if not taking.is_wanted():
            indexing.communicate()
            taking.pack.discard()
            return
        error = None
        try:
            taking.pack.publish(indexing)
        except GitflowrunError as why:
            error = why
        taking.done({}, error)

    def close(self) -> None:
        """Wait for what is being looked at, and take nothing more in."""
        if self._threads is not None:
            self._threads.shutdown()
        if self._calls is not None:
            self._calls.close()
