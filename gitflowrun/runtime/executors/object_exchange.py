"""The objects that a driver and its agents give each other: git packs over links, in pieces.

What agents ask for is packed by git as it is sent. What they send is not believed:

1. The pieces of a pack are written beside the repository's objects (`git.transport.streamed_packs`).
2. The id and the BLAKE3 of every object are computed, and the pack is published, kept (`pack_intake`).
3. When the Result comes, each part of the task's own artifacts is looked for by its id. What is lacking is asked for,
   once.
4. The BLAKE3 of each part is compared with the one that the reference names. Of what was here, or has come in a pack
   that git has looked at, it is computed now, some in each turn of the loop.

Only then the Result counts. What is damaged costs the task, which is launched again; that it can't be written here
costs the run, as a commit that fails does.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import CorruptRecord, GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.command import Git, git_message
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.transport.streamed_packs import IncomingPack, start_pack
from gitflowrun.runtime.executors.executor_limits import (
    LINK_BACKLOG,
    REMOTE_PIECE,
    VERIFIED_AT_ONCE,
)
from gitflowrun.runtime.ipc.messages import Result
from gitflowrun.runtime.ipc.remote_messages import Objects, WantObjects, pack_remote
from gitflowrun.values import replace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from gitflowrun.artifacts.reference import ArtifactRef, Chunk
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.publish import PackStore
    from gitflowrun.git.pack.reader import PackReader
    from gitflowrun.names import TaskName
    from gitflowrun.runtime.executors.pack_intake import Blobs, PackIntake
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.link import Link
    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.remote_messages import TaskPack

_AGAIN = 0.005  # seconds until a link is asked again whether it has sent what waits


class ObjectSender:
    """Sends an agent what it asks for.

    Args:
        loop: The event loop.
        git: Of the repository.
    """

    def __init__(self, loop: EventLoop, git: Git) -> None:
        self._loop = loop
        self._git = git

    def send(self, link: Link, want: WantObjects) -> None:
        """Answer a request, piece by piece as the link takes them."""
        try:
            packing = start_pack(self._git, want.oids, closure=want.closure, have=want.have)
        except RepositoryError as error:
            link.send(pack_remote(Objects(want.request, b"", more=False, error=error.message)))
            return
        assert packing.stdout is not None
        self._loop.watch(packing.stdout.fileno(), lambda: self._go_on(link, want.request, packing))

    def _go_on(self, link: Link, request: int, packing: subprocess.Popen[bytes]) -> None:
        """Send what git has written, unless too much waits for the link."""
        assert packing.stdout is not None
        fd = packing.stdout.fileno()
        if not link.is_open:
            self._loop.forget(fd)
            packing.kill()
            packing.communicate()
            return
        if link.waiting > LINK_BACKLOG:
            self._loop.forget(fd)
            self._loop.after(
                _AGAIN,
                lambda: self._loop.watch(fd, lambda: self._go_on(link, request, packing)),
            )
            return
        data = packing.stdout.read1(REMOTE_PIECE)  # type: ignore[attr-defined]
        if data:
            link.send(pack_remote(Objects(request, data, more=True)))
            return
        self._loop.forget(fd)
        _, err = packing.communicate()
        error = git_message(err.decode(errors="replace")) if packing.returncode else ""
        link.send(pack_remote(Objects(request, b"", more=False, error=error)))


class Arrival:
    """What arrives of one task before its Result counts.

    Its methods, and what it has the loop call, raise RepositoryError where what arrives can't be stored.

    Args:
        loop: The event loop.
        git: Of the repository.
        packs: Publishes packs.
        intake: Looks at them.
        objects: Reads objects of the repository.
        task: The task.
        ask: Asks the agent for objects.
        deliver: Takes the Result and what follows it, once all is here.
        fail: Takes why what has arrived can't be used.
    """

    def __init__(
        self,
        loop: EventLoop,
        git: Git,
        packs: PackStore,
        intake: PackIntake,
        objects: PackReader,
        task: TaskName,
        ask: Callable[[tuple[Oid, ...]], None],
        deliver: Callable[[Message], None],
        fail: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._git = git
        self._store = packs
        self._intake = intake
        self._objects = objects
        self._task = task
        self._ask = ask
        self._deliver = deliver
        self._fail = fail
        self._arriving: dict[str, IncomingPack] = {}
        self._looked_at = 0  # packs of which all has come
        self._published: list[str] = []
        self._blobs: Blobs = {}  # of these packs
        self._result: Result | None = None
        self._held: list[Message] = []
        self._is_lacking = False
        self._is_asking = False
        self._is_verifying = False
        self._is_delivered = False
        self._is_over = False

    def piece(self, message: TaskPack) -> None:
        """Take the next bytes of a pack."""
        if self._is_over:
            return
        if message.error:
            self._give_up(message.error)
            return
        pack = self._arriving.get(message.name)
        if pack is None:
            pack = self._arriving[message.name] = IncomingPack(self._git, self._store)
        pack.write(message.data)
        if message.more:
            return
        del self._arriving[message.name]
        self._looked_at += 1
        self._intake.take(
            pack, lambda: not self._is_over, lambda blobs, error: self._taken(pack, blobs, error)
        )

    def _taken(self, pack: IncomingPack, blobs: Blobs, error: GitflowrunError | None) -> None:
        """A pack was looked at, and published unless there is an error."""
        self._looked_at -= 1
        if error is None:
            self._published.append(pack.name)
            self._blobs.update(blobs)
            self._is_asking = False
        if self._is_over:
            self.close()
        elif isinstance(error, CorruptRecord):
            self._give_up(error.message)
        elif error is not None:
            raise error
        else:
            self._go_on()

    def message(self, message: Message) -> None:
        """Take a Result or Exited, which is delivered when what it needs has arrived."""
        if self._is_over:
            return
        if not self._is_asking:
            self._discard_unfinished()  # packs come before it
        if isinstance(message, Result) and self._result is None:
            self._result = message
        else:
            self._held.append(message)
        self._go_on()

    def _go_on(self) -> None:
        if self._is_over or self._is_asking or self._is_verifying:
            return
        if self._looked_at or self._arriving:
            return
        if self._result is None or self._is_delivered:
            self._release()
            return
        lacking = tuple(
            {
                chunk.oid
                for chunk in _own_chunks(self._result, self._task)
                if chunk.digest not in self._result.inline and not self._has(chunk.oid)
            }
        )
        if not lacking:
            self._is_verifying = True
            self._verify(self._wrong_parts(self._result))
        elif self._is_lacking:
            self._give_up(f"{len(lacking)} objects of its artifacts did not arrive")
        else:
            self._is_lacking = self._is_asking = True
            self._ask(lacking)

    def _has(self, oid: Oid) -> bool:
        return oid in self._blobs or oid in self._objects

    def _verify(self, parts: Iterator[str]) -> None:
        """Compare some of what has arrived with its BLAKE3, and go on in the next turn of the loop."""
        if self._is_over:
            return
        try:
            wrong = next(parts, None)
        except GitflowrunError as error:
            wrong = error.message
        if wrong is None:
            assert self._result is not None
            self._is_verifying, self._is_delivered = False, True
            packs, self._published = tuple(self._published), []
            reached("remote.verified")
            self._deliver(replace(self._result, packs=packs))
            self._release()
        elif wrong:
            self._give_up(f"what arrived of its artifacts is damaged: {wrong}")
        else:
            self._loop.after(0, lambda: self._verify(parts))

    def _wrong_parts(self, result: Result) -> Iterator[str]:
        """What is wrong with each part; the empty text now and then where nothing is."""
        read = 0
        for size, wrong in self._checks(result):
            if wrong:
                yield wrong
            read += size
            if read > VERIFIED_AT_ONCE:
                read = 0
                yield ""

    def _checks(self, result: Result) -> Iterator[tuple[int, str]]:
        """Look at one part after the other: its bytes, and what is wrong with it, if anything is."""
        for name, data in result.inline.items():
            yield len(data), "" if digest(data) == name else f"payload blake3/{name.hex()[:12]}"
        for chunk in _own_chunks(result, self._task):
            if chunk.digest in result.inline:
                data = result.inline[chunk.digest]
                yield len(data), _difference(chunk, data)
            elif chunk.oid in self._blobs:
                is_right = self._blobs[chunk.oid] == (chunk.size, chunk.digest)
                yield 0, "" if is_right else _named(chunk)
            else:
                data = self._objects.blob(chunk.oid, max(chunk.size, 1))
                is_right = digest(data) == chunk.digest
                yield len(data), _difference(chunk, data) if is_right else _named(chunk)

    def _release(self) -> None:
        held, self._held = self._held, []
        for message in held:
            self._deliver(message)

    def _give_up(self, why: str) -> None:
        self.close()
        self._fail(why)

    def _discard_unfinished(self) -> None:
        for pack in self._arriving.values():
            pack.discard()
        self._arriving.clear()

    def close(self) -> None:
        """Let go of what arrived and does not count: git drops it."""
        self._is_over = True
        self._discard_unfinished()
        with suppress(RepositoryError):
            self._store.release(self._published)
        self._published.clear()


def _difference(chunk: Chunk, content: bytes) -> str:
    """In what a content of the right BLAKE3 differs from a part all the same; empty where it does not."""
    if len(content) != chunk.size:
        return _named(chunk)
    return "" if hash_object(ObjectType.BLOB, content) == chunk.oid else f"object {chunk.oid}"


def _named(chunk: Chunk) -> str:
    return f"chunk blake3/{chunk.digest.hex()[:12]}"


def _own_chunks(result: Result, task: TaskName) -> Iterator[Chunk]:
    """The parts of the artifacts that the task has made itself; what it has inherited is here."""
    for ref in result.artifacts.values():
        if ref.producer == task:
            yield from _chunks(ref)


def _chunks(ref: ArtifactRef) -> Iterator[Chunk]:
    yield from ref.chunks
    if ref.picture is not None:
        yield ref.picture.chunk
