"""A link: whole, signed messages over TCP between the driver of a run and one of its agents.

What the messages mean is in `remote_messages`. The engine carries an agent's *call* to it: where the driver listens,
the agent's number, and a key that is made for this agent alone. Nothing else has the key, so who has it is the agent:

1. The agent says its number and a nonce. A number that nobody is expected by is told so.
2. The driver answers with a nonce of its own and its proof: the keyed hash of both nonces.
3. The agent, once that is right, says its proof, which is another hash of the same. The call is used up.

From then on each direction has a key of its own, made of the call's key and both nonces, and frames are numbered:

    length of the body (4 bytes)  kind (1 byte)  body  keyed hash of number, length, kind and body (16 bytes)

So nothing that is forged, changed, repeated, left out, put elsewhere or sent back is ever looked at: the link ends. It
is not encrypted: what tasks print and store can be read by who can read the network, as with Dask and Ray. (The keyed
hash is BLAKE3: as fast as BLAKE2 for short frames, and five times as fast for long ones.)

Both sides say at least every few seconds that they are there, and a side that has heard nothing for long gives the
link up: a network that is cut tells nobody. A side that was stopped itself does not count that time.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING

from gitflowrun.artifacts.digest import keyed_hasher
from gitflowrun.errors import CorruptRecord, ExecutorError
from gitflowrun.msgpack import pack_message, unpack
from gitflowrun.runtime.ipc import remote_limits
from gitflowrun.schema import BINARY, COUNT, TEXTS, ArraySchema
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.event_loop import EventLoop, Timer

OnMessage = Callable[[bytes | memoryview], None]
"""What it is given is only there until it returns."""
OnClose = Callable[[str], None]

PROTOCOL = 2
"""Of the link: both sides must have the same."""
KEY_SIZE = 32
NONCE_SIZE = 32
PROOF_SIZE = 32
MAGIC = b"gitflowrun-link" + bytes([PROTOCOL])
NOT_EXPECTED = b"gitflowrun-gone" + bytes([PROTOCOL])
HELLO = Struct(f">16sQ{NONCE_SIZE}s")
WELCOME = Struct(f">16s{NONCE_SIZE}s{PROOF_SIZE}s")
_HEAD = Struct(">IB")
_SIGNED = Struct(">QIB")
_SIGNATURE_SIZE = 16
_LONGEST_FRAME = _HEAD.size + remote_limits.LINK_FRAME + _SIGNATURE_SIZE
_PORTS = range(1, 1 << 16)
_LAST, _MORE, _HEARTBEAT, _SILENCE, _GOODBYE = range(5)

_spare: list[bytearray] = []
"""Memory that long frames were read to, for the next ones: new pages would take longer than to fill them."""


@frozen
class Call:
    """What the engine carries to an agent.

    Attributes:
        protocol: The driver's `PROTOCOL`.
        hosts: Where the driver may be reached, the likeliest first.
        port: Its port.
        number: The agent's number.
        key: The key that only this agent has.
    """

    protocol: int
    hosts: tuple[str, ...]
    port: int
    number: int
    key: bytes

    def pack(self) -> bytes:
        """The call as an engine carries it."""
        return pack_message(_CALL.dump(self))

    @classmethod
    def unpack(cls, call: bytes) -> Call:
        """The call in what an engine has carried.

        Raises:
            ExecutorError: it is none, or that of another version.
        """
        try:
            fields = unpack(call)
            protocol = fields[0] if isinstance(fields, list) and fields else None
            if isinstance(protocol, int) and protocol != PROTOCOL:
                raise _other_version(protocol)
            made = _CALL.load(fields)
        except CorruptRecord as error:
            raise _no_call(str(error)) from error
        if not (made.hosts and made.port in _PORTS and len(made.key) == KEY_SIZE):
            raise _no_call("it has no address or no key")
        return made


_CALL = ArraySchema(Call, "Call", COUNT, TEXTS, COUNT, COUNT, BINARY)


def _no_call(reason: str) -> ExecutorError:
    return ExecutorError(
        f"this is no call of an agent: {reason}", hint="the executor's engine starts agents"
    )


def _other_version(protocol: int) -> ExecutorError:
    return ExecutorError(
        f"the driver's links have version {protocol}, this worker's {PROTOCOL}",
        hint="install the same version of gitflowrun on the driver and on the workers",
    )


def proof(key: bytes, side: bytes, number: int, nonces: bytes) -> bytes:
    """What only the owner of a key can say of two nonces, and each side says otherwise."""
    return blake2b(
        number.to_bytes(8, "big") + nonces, key=key, digest_size=PROOF_SIZE, person=side
    ).digest()


@frozen
class LinkKeys:
    """The keys of one connection: for what is sent and for what is received."""

    sending: bytes
    receiving: bytes

    @classmethod
    def of_driver(cls, key: bytes, nonces: bytes) -> LinkKeys:
        """The driver's, made of the agent's key and the nonces of both, the agent's first."""
        to_agent, to_driver = (
            blake2b(nonces, key=key, digest_size=KEY_SIZE, person=way).digest()
            for way in (b"to agent", b"to driver")
        )
        return cls(sending=to_agent, receiving=to_driver)

    def turned(self) -> LinkKeys:
        """Those of the other side."""
        return LinkKeys(sending=self.receiving, receiving=self.sending)


class Link:
    """One end of a link, in an event loop. Nothing of it ever waits.

    Args:
        loop: The event loop.
        sock: A connection after the handshake, which the link closes.
        keys: This side's keys.
        on_message: Called with each message.
        on_close: Called once with the reason when the link has ended, unless this side has closed it.
    """

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        keys: LinkKeys,
        on_message: OnMessage,
        on_close: OnClose,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self.on_message = on_message
        self.on_close = on_close
        self.peer = _address(sock)
        """The other side's address."""
        self.is_open = True
        """Whether messages may still come."""
        self.is_cut = False
        """Whether it has ended because nothing was heard: what the other side has said last may never have come."""
        self.waiting = 0
        """Bytes that wait for the other side to take them."""
        self._queue: deque[memoryview] = deque()
        self._may_send = True
        self._watches_room = False
        self._sent = self._received = 0  # frames
        self._sending = keyed_hasher(keys.sending)
        self._receiving = keyed_hasher(keys.receiving)
        self._buffer = bytearray()
        self._long: bytearray | None = None  # for a frame that is longer than what is read at once
        self._length = self._filled = 0  # bytes of it
        self._pieces: list[bytes] = []  # of a message whose last frame is still to come
        self._size = 0  # of these
        self._heard = time.monotonic()
        self._peer_rests = False
        self._beaten = 0  # frames sent at the last heartbeat
        self._timer: Timer | None = None
        sock.settimeout(0)
        _prepare(sock)
        loop.watch(sock.fileno(), self._read)
        self._wait_for_beat()

    def send(self, message: bytes) -> None:
        """Send a message, now or as soon as the other side takes it; nothing once the link has ended.

        Raises:
            ExecutorError: it is longer than a message may be.
        """
        self.send_together((message,))

    def send_together(self, messages: Iterable[bytes]) -> None:
        """Send messages as `send` does, several short ones by one system call."""
        for message in messages:
            self._put_message(message)
        self._flush()

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Send a message as `send` does that is in parts, which are not put together if it fits into a frame."""
        if sum(map(len, parts)) > remote_limits.LINK_FRAME:
            self.send(b"".join(parts))
        else:
            self._put(_LAST, *(memoryview(part) for part in parts))
            self._flush()

    def _put_message(self, message: bytes) -> None:
        if len(message) > remote_limits.REMOTE_MESSAGE:
            raise ExecutorError(
                f"a message of {len(message)} bytes is more than the {remote_limits.REMOTE_MESSAGE} "
                "that a link carries",
                hint="store large values as artifacts, which travel in pieces",
            )
        view = memoryview(message)
        while len(view) > remote_limits.LINK_FRAME:
            self._put(_MORE, view[: remote_limits.LINK_FRAME])
            view = view[remote_limits.LINK_FRAME :]
        self._put(_LAST, view)

    def announce_silence(self) -> None:
        """Tell the other side that this process is about to be stopped for a while, which is not its end."""
        self._put(_SILENCE)
        self._flush()

    def close(self) -> None:
        """End the link; what still waits is lost, what the kernel has taken arrives."""
        if self.is_open:
            self._put(_GOODBYE)
            self._flush()
            self._release()

    def _put(self, kind: int, *body: memoryview) -> None:
        """Queue a frame."""
        if not (self.is_open and self._may_send):
            return
        length = sum(map(len, body))
        signature = self._sending.copy()
        signature.update(_SIGNED.pack(self._sent, length, kind))
        for part in body:
            signature.update(part)
        self._sent += 1
        head, ending = _HEAD.pack(length, kind), signature.digest(_SIGNATURE_SIZE)
        if length <= remote_limits.LINK_JOINED:
            self._queue.append(memoryview(b"".join((head, *body, ending))))
        else:
            self._queue.extend((memoryview(head), *body, memoryview(ending)))
        self.waiting += len(head) + length + _SIGNATURE_SIZE

    def _flush(self) -> None:
        """Send of the queue what the kernel takes, and no more than is one turn's share."""
        if not self.is_open:
            return
        left = remote_limits.LINK_WRITTEN
        while self._queue and left > 0:
            try:
                sent = self._socket.sendmsg(
                    list(islice(self._queue, remote_limits.LINK_PIECES)), [], socket.MSG_NOSIGNAL
                )
            except BlockingIOError:
                break
            except OSError:
                # What the other side has said before its end may still be read; that tells of the end, too.
                self._may_send = False
                self._queue.clear()
                self.waiting = 0
                break
            self._take_off(sent)
            left -= sent
        if self._watches_room != bool(self._queue):
            self._watches_room = not self._watches_room
            self._loop.watch(
                self._socket.fileno(), self._read, self._flush if self._queue else None
            )

    def _take_off(self, sent: int) -> None:
        self.waiting -= sent
        while sent:
            piece = self._queue.popleft()
            if len(piece) > sent:
                self._queue.appendleft(piece[sent:])
                return
            sent -= len(piece)

    def _read(self) -> None:
        try:
            data, size = self._received_bytes()
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"the connection to {self.peer} was lost: {error.strerror or error}")
            return
        if not size:
            self._end(
                f"the connection to {self.peer} was lost: its process or its machine has ended"
            )
            return
        self._heard = time.monotonic()
        self._peer_rests = False
        if self._long is None:
            self._buffer += data
            self._deliver()
        elif self._filled == self._length:
            frame, self._long = self._long, None
            self._deliver_frame(memoryview(frame)[: self._length])
            if len(_spare) < remote_limits.LINK_SPARE:
                _spare.append(frame)

    def _received_bytes(self) -> tuple[bytes, int]:
        """Read of the socket: bytes, and how many; those of a long frame go to their place in that."""
        if self._long is None:
            data = self._socket.recv(remote_limits.LINK_READ)
            return data, len(data)
        size = self._socket.recv_into(memoryview(self._long)[self._filled : self._length])
        self._filled += size
        return b"", size

    def _deliver(self) -> None:
        """Pass on the messages whose frames have come."""
        buffer, place = self._buffer, 0
        try:
            while self.is_open and len(buffer) - place >= _HEAD.size:
                length, _ = _HEAD.unpack_from(buffer, place)
                size = _HEAD.size + length + _SIGNATURE_SIZE
                if length > remote_limits.LINK_FRAME:
                    self._end(f"{self.peer} has sent a frame of {length} bytes, which no frame has")
                elif len(buffer) - place >= size:
                    with memoryview(buffer) as view:
                        frame = bytes(view[place : place + size])
                    place += size
                    self._deliver_frame(frame)
                else:
                    if size > remote_limits.LINK_READ:
                        self._expect(size, buffer, place)
                        place = len(buffer)
                    return
        finally:
            del buffer[:place]

    def _expect(self, size: int, buffer: bytearray, place: int) -> None:
        """Have a long frame read to a place of its own: it is copied once, not with each piece that comes."""
        self._long = _spare.pop() if _spare else bytearray(_LONGEST_FRAME)
        self._length, self._filled = size, len(buffer) - place
        with memoryview(buffer) as view:
            self._long[: self._filled] = view[place:]

    def _deliver_frame(self, frame: bytes | memoryview) -> None:
        """Act on a whole frame, if its signature is that of the next one."""
        _, kind = _HEAD.unpack_from(frame)
        body = frame[_HEAD.size : -_SIGNATURE_SIZE]
        signature = self._receiving.copy()
        signature.update(_SIGNED.pack(self._received, len(body), kind))
        signature.update(body)
        self._received += 1
        if hmac.compare_digest(signature.digest(_SIGNATURE_SIZE), frame[-_SIGNATURE_SIZE:]):
            self._take(kind, body)
        else:
            self._end(f"a frame from {self.peer} was changed on its way, or is not from there")

    def _take(self, kind: int, body: bytes | memoryview) -> None:
        """Act on a frame that is the other side's."""
        if kind in {_LAST, _MORE}:
            self._size += len(body)
            if self._size > remote_limits.REMOTE_MESSAGE:
                self._end(f"{self.peer} has sent a message that is longer than messages may be")
            elif kind == _MORE:
                self._pieces.append(bytes(body))
            else:
                message = b"".join((*self._pieces, body)) if self._pieces else body
                self._pieces, self._size = [], 0
                self.on_message(message)
        elif kind == _SILENCE:
            self._peer_rests = True
        elif kind == _GOODBYE:
            self._end(f"{self.peer} has closed the connection")

    def _wait_for_beat(self) -> None:
        due = time.monotonic() + remote_limits.LINK_HEARTBEAT
        self._timer = self._loop.after(remote_limits.LINK_HEARTBEAT, lambda: self._beat(due))

    def _beat(self, due: float) -> None:
        """Say that this side is there, and see whether the other one is."""
        now = time.monotonic()
        if now - due > remote_limits.LINK_HEARTBEAT:
            self._heard = (
                now  # this process was stopped or busy: what came meanwhile is still to be read
            )
        if now - self._heard > remote_limits.LINK_SILENCE and not self._peer_rests:
            self.is_cut = True
            self._end(
                f"nothing was heard from {self.peer} for {remote_limits.LINK_SILENCE:g} seconds"
            )
            return
        if self._sent == self._beaten:
            self._put(_HEARTBEAT)
            self._flush()
        self._beaten = self._sent
        self._wait_for_beat()

    def _end(self, reason: str) -> None:
        if self.is_open:
            self._release()
            self.on_close(reason)

    def _release(self) -> None:
        self.is_open = False
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._queue.clear()
        self._pieces.clear()
        self._long = None
        self.waiting = 0
        if self._timer is not None:
            self._timer.cancel()


def _prepare(sock: socket.socket) -> None:
    """Let small frames leave at once, and the kernel probe whether the other machine is there."""
    for level, option, value in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, remote_limits.LINK_PROBE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, remote_limits.LINK_PROBE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, remote_limits.LINK_PROBES),
    ):
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, value)


def _address(sock: socket.socket) -> str:
    """Host and port of the other side."""
    try:
        host, port = sock.getpeername()[:2]
    except (OSError, ValueError):
        return "an unknown address"
    host = str(host).removeprefix("::ffff:")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connect(loop: EventLoop, call: bytes, on_message: OnMessage, on_close: OnClose) -> Link:
    """Go where a call says; waits until the driver has proved that it is the one.

    Args:
        loop: The event loop in which the link lives.
        call: What the engine has carried here.
        on_message: Called with each message.
        on_close: Called once with the reason when the link has ended, unless this side has closed it.

    Raises:
        ExecutorError: the driver can't be reached, or does not expect this agent any more.
    """
    invitation = Call.unpack(call)
    failures: dict[str, str] = {}
    for turn in range(remote_limits.CONNECT_ROUNDS):
        if turn:
            time.sleep(remote_limits.CONNECT_PAUSE)
        for host in invitation.hosts:
            try:
                sock, keys = _join(host, invitation)
            except (OSError, UnicodeError) as error:
                failures[host] = getattr(error, "strerror", None) or str(error)
            else:
                return Link(loop, sock, keys, on_message, on_close)
    tried = "; ".join(f"{host}: {reason}" for host, reason in failures.items())
    raise ExecutorError(
        f"the driver can't be reached from {socket.gethostname()} at port {invitation.port} ({tried})",
        hint="workers need a way to the machine that the run was started on: set runs.executorAddress to a host, "
        "or HOST:PORT, that they reach it by, and let firewalls pass it",
    )


def _join(host: str, invitation: Call) -> tuple[socket.socket, LinkKeys]:
    """A connection after the handshake, with its keys."""
    sock = socket.create_connection((host, invitation.port), remote_limits.CONNECT_TIME)
    try:
        return sock, _shake_hands(sock, invitation)
    except BaseException:
        sock.close()
        raise


def _shake_hands(sock: socket.socket, invitation: Call) -> LinkKeys:
    """The agent's side of the handshake."""
    nonce = os.urandom(NONCE_SIZE)
    sock.sendall(HELLO.pack(MAGIC, invitation.number, nonce))
    answer = _receive(sock, WELCOME.size)
    if answer.startswith(NOT_EXPECTED):
        raise ExecutorError(
            "the driver does not expect this agent any more",
            hint="the run has ended, or has given this place up",
        )
    if len(answer) < WELCOME.size or not answer.startswith(MAGIC):
        raise ConnectionError("what listens there is not the driver of this run")
    _, driver_nonce, driver_proof = WELCOME.unpack(answer)
    nonces = nonce + driver_nonce
    expected = proof(invitation.key, b"driver", invitation.number, nonces)
    if not hmac.compare_digest(driver_proof, expected):
        raise ConnectionError("what listens there does not know the key of this agent")
    sock.sendall(proof(invitation.key, b"agent", invitation.number, nonces))
    return LinkKeys.of_driver(invitation.key, nonces).turned()


def _receive(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer where the connection ends or a refusal stands there."""
    data = b""
    deadline = time.monotonic() + remote_limits.CONNECT_TIME
    while len(data) < size and not data.startswith(NOT_EXPECTED):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(left)
        piece = sock.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data
