"""The objects that an agent asks its driver for.

1. Of what is wanted, what is not here and not on its way is asked for, in one request.
2. The pack that answers is written to a file as it comes.
3. git computes the id of each of its objects. Those of a small pack become loose objects of the agent's own, so that
   thousands of small ones make no thousands of packs; a larger one is published for other agents of the machine, too.
4. Whoever waits is told, also when it can't be had.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.transport.streamed_packs import IncomingPack
from gitflowrun.limits import MAX_DELTA_BLOB
from gitflowrun.runtime.ipc.agent_limits import LOOSE_ARRIVAL
from gitflowrun.runtime.ipc.remote_messages import Objects, WantObjects
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable

    from gitflowrun.git.objects import Oid
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.remote.agent_cache import AgentCache


@mutable
class _Request:
    """A request that is not answered yet.

    Attributes:
        oids: What it is for.
        pack: What has come of the answer.
        for_all: Whether it is kept for other agents, however small.
        waiting: Who is told when it is here: with why it can't be had, or the empty text.
    """

    oids: tuple[Oid, ...]
    for_all: bool = False
    pack: IncomingPack | None = None
    waiting: list[Callable[[str], None]] = field(default_factory=list)


class ObjectRequests:
    """Asks for objects and takes them in.

    Args:
        loop: The event loop.
        cache: Where they are kept.
        send: Sends a request.
    """

    def __init__(
        self, loop: EventLoop, cache: AgentCache, send: Callable[[WantObjects], None]
    ) -> None:
        self._loop = loop
        self._cache = cache
        self._send = send
        self._reader = cache.reader
        self._numbers = count(1)
        self._open: dict[int, _Request] = {}
        self._coming: dict[Oid, _Request] = {}

    def want(self, oids: Iterable[Oid], done: Callable[[str], None]) -> None:
        """Have objects here.

        Args:
            oids: Which ones.
            done: Called once when they are, with the empty text; or with why they are not.
        """
        wanted = dict.fromkeys(oids)
        here = self._reader.homes(wanted)
        lacking = [oid for oid in wanted if oid not in here]
        requests = {id(it): it for oid in lacking if (it := self._coming.get(oid)) is not None}
        new = tuple(oid for oid in lacking if oid not in self._coming)
        if new:
            request = self._ask(WantObjects(next(self._numbers), new))
            self._coming.update(dict.fromkeys(new, request))
            requests[id(request)] = request
        if not requests:
            done("")
            return
        tell = _Countdown(len(requests), done)
        for request in requests.values():
            request.waiting.append(tell)

    def want_again(self, oid: Oid, done: Callable[[str], None]) -> None:
        """As `want`, of one that a task could not read: it is got anew where what is here is damaged."""
        if oid in self._coming or oid not in self._reader:
            self.want([oid], done)
        elif self._is_whole(oid):
            done("")
        else:
            request = self._ask(WantObjects(next(self._numbers), (oid,)))
            request.for_all = True  # git makes no loose object of what it takes to be here
            self._coming[oid] = request
            request.waiting.append(done)

    def want_tree(self, tree: Oid, have: tuple[Oid, ...], done: Callable[[str, str], None]) -> None:
        """Have a tree here and all that it leads to.

        Args:
            tree: The tree.
            have: Trees of which all is here.
            done: As in `want`; its second argument is the name of the pack that has come.
        """
        request = self._ask(WantObjects(next(self._numbers), (tree,), closure=True, have=have))
        request.waiting.append(lambda why: done(why, request.pack.name if request.pack else ""))

    def _is_whole(self, oid: Oid) -> bool:
        try:
            self._reader.read(oid, MAX_DELTA_BLOB)
        except GitflowrunError:
            return False
        return True

    def _ask(self, want: WantObjects) -> _Request:
        request = self._open[want.request] = _Request(want.oids, want.closure)
        self._send(want)
        return request

    def take(self, message: Objects) -> None:
        """Take a piece of an answer."""
        request = self._open.get(message.request)
        if request is None:
            return
        try:
            if message.data:
                if request.pack is None:
                    request.pack = IncomingPack(self._cache.shared.git, self._cache.shared.packs)
                request.pack.write(message.data)
            if message.more:
                return
            del self._open[message.request]
            if message.error or request.pack is None:
                self._end(request, message.error or _lacking(request.oids))
            else:
                self._index(request, request.pack)
        except GitflowrunError as error:
            self._open.pop(message.request, None)
            self._end(request, error.message)

    def _index(self, request: _Request, pack: IncomingPack) -> None:
        """Have git look at a pack that has come, and keep its objects."""
        is_small = pack.size < LOOSE_ARRIVAL and not request.for_all
        reading = pack.unpack(self._cache.own.git) if is_small else pack.index(alone=True)
        assert reading.stdout is not None
        fd = reading.stdout.fileno()
        self._loop.watch(fd, lambda: self._indexed(fd, request, pack, reading, is_small=is_small))

    def _indexed(
        self,
        fd: int,
        request: _Request,
        pack: IncomingPack,
        reading: subprocess.Popen[bytes],
        *,
        is_small: bool,
    ) -> None:
        assert reading.stdout is not None
        if reading.stdout.read1():  # type: ignore[attr-defined]
            return
        self._loop.forget(fd)
        try:
            if is_small:
                pack.unpacked(reading)
            else:
                pack.publish(reading, durable=False)
                self._cache.shared.packs.release([pack.name])
        except GitflowrunError as error:
            self._end(request, error.message)
            return
        lacking = [oid for oid in request.oids if oid not in self._reader]
        self._end(request, _lacking(lacking) if lacking else "")
        if is_small:
            self._cache.loose_arrived(pack.size, len(request.oids))
        else:
            self._cache.pack_arrived(pack.name)

    def _end(self, request: _Request, why: str) -> None:
        for oid in request.oids:
            self._coming.pop(oid, None)
        if request.pack is not None:
            request.pack.discard()
        for tell in request.waiting:
            tell(why)

    def close(self) -> None:
        """Let go of what has come of answers."""
        for request in self._open.values():
            if request.pack is not None:
                request.pack.discard()


class _Countdown:
    """Calls back when it was called so many times: with the last error, if there was any."""

    def __init__(self, left: int, done: Callable[[str], None]) -> None:
        self._left = left
        self._done = done
        self._why = ""

    def __call__(self, why: str) -> None:
        self._why = why or self._why
        self._left -= 1
        if not self._left:
            self._done(self._why)


def _lacking(oids: Iterable[Oid]) -> str:
    first, *others = oids
    more = f" and {len(others)} others" if others else ""
    return f"object {first}{more} can't be had: the driver's repository has not got it either"
