"""Links: what arrives, what is refused, how an end is noticed, and what strangers get."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.errors import ExecutorError, UsageError
from gitflowrun.msgpack import pack_message
from gitflowrun.runtime.ipc import remote_limits
from gitflowrun.runtime.ipc.addresses import address_towards, own_addresses, parse_address
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.link import HELLO, MAGIC, PROTOCOL, WELCOME, Call
from gitflowrun.runtime.ipc.link_server import LinkServer
from tests.helpers.links import Meeting, Relay

MIB = 1 << 20


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    """A driver that listens."""
    made = Meeting()
    yield made
    made.close()


@pytest.fixture
def relay(meeting: Meeting) -> Iterator[Relay]:
    """A network between it and agent 1."""
    made = Relay(meeting.server.invite(1))
    yield made
    made.close()


def test_messages_of_all_sizes_arrive_in_order(meeting: Meeting) -> None:
    """Ten thousand each way, of no byte, of few, and of more than a frame."""
    driver, driver_side, agent, agent_side = meeting.pair()
    sizes = random.Random(5).choices(
        [0, 1, 60, 900, 9_000, 140_000, 300_000], [1, 5, 90, 4, 2, 0.05, 0.05], k=10_000
    )
    down = [b"d%d" % n + bytes(size) for n, size in enumerate(sizes)]
    up = [b"u%d" % n + bytes(size) for n, size in enumerate(reversed(sizes))]
    for one, other in zip(down, up, strict=True):
        driver.send(one)
        agent.send(other)
    meeting.turn_until(lambda: len(driver_side.messages) + len(agent_side.messages) == 20_000)
    assert agent_side.messages == down
    assert driver_side.messages == up
    assert driver.waiting == agent.waiting == 0


def test_a_slow_reader_is_seen_and_loses_nothing(meeting: Meeting) -> None:
    """64 MB: what the other side does not take waits here, and nowhere else."""
    driver, driver_side, agent, _ = meeting.pair()
    piece = os.urandom(MIB)
    before = _peak()
    for _ in range(16):
        agent.send(piece)
    assert agent.waiting > 8 * MIB
    meeting.turn_until(lambda: len(driver_side.messages) == 16)
    assert agent.waiting == 0
    for _ in range(48):
        agent.send(piece)
        meeting.turn_until(lambda: agent.waiting < 2 * MIB)
        assert set(driver_side.messages) == {piece}
        driver_side.messages.clear()
        driver_side.messages.append(piece)
    assert _peak() - before < 50 * MIB
    assert driver.is_open


def test_long_frames_of_several_links_do_not_mix(meeting: Meeting) -> None:
    """Each is read to memory that others have had before: whole messages, and messages that are sent in parts."""
    pairs = [meeting.pair(number) for number in (1, 2, 3)]
    sent: list[list[bytes]] = [[], [], []]
    for turn in range(6):
        for number, (_, _, agent, _) in enumerate(pairs):
            data = os.urandom(remote_limits.LINK_FRAME - 99 - 70_000 * turn)
            agent.send_parts([b"%d" % turn, data, b""])
            agent.send_parts([data, data])
            agent.send(b"short")
            sent[number] += [b"%d" % turn + data, data + data, b"short"]
    meeting.turn_until(lambda: all(len(side.messages) == 18 for _, side, _, _ in pairs))
    assert [side.messages for _, side, _, _ in pairs] == sent


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_message_that_is_too_long_is_refused(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sender, which says so; and by the receiver, if the sender has other limits."""
    _, driver_side, agent, _ = meeting.pair()
    monkeypatch.setattr(remote_limits, "REMOTE_MESSAGE", MIB)
    with pytest.raises(ExecutorError, match="a message of 1048577 bytes is more than the 1048576"):
        agent.send(bytes(MIB + 1))
    agent.send(bytes(MIB))
    meeting.turn_until(lambda: driver_side.messages)
    monkeypatch.setattr(remote_limits, "REMOTE_MESSAGE", 4 * MIB)
    agent.send(bytes(2 * MIB))
    monkeypatch.setattr(remote_limits, "REMOTE_MESSAGE", MIB)
    meeting.turn_until(lambda: driver_side.ends)
    assert "longer than messages may be" in driver_side.ends[0]
    assert len(driver_side.messages) == 1


def test_an_end_is_told_once_to_the_other_side(meeting: Meeting) -> None:
    """Whoever closes is told nothing; what was sent before arrives before."""
    driver, driver_side, agent, agent_side = meeting.pair()
    agent.send(b"last words")
    agent.close()
    agent.close()
    agent.send(b"too late")
    meeting.turn_until(lambda: driver_side.ends)
    assert driver_side.messages == [b"last words"]
    assert driver_side.ends == [f"{driver.peer} has closed the connection"]
    assert agent_side.ends == []
    assert not driver.is_open
    driver.send(b"nobody there")
    assert driver.waiting == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data + data, id="repeated"),
        pytest.param(lambda data: data[21 + 3 :], id="the first left out"),
        pytest.param(lambda data: data[24:48] + data[:24] + data[48:], id="in another order"),
        pytest.param(lambda data: b"\xff" * 5 + data, id="a frame of gigabytes"),
        pytest.param(lambda data: b"\0\0\0\3\x09" + data[5:], id="of an unknown kind"),
        pytest.param(lambda data: b"\0\0\0\2" + data[4:], id="cut"),
        pytest.param(lambda data: data[::-1], id="noise"),
    ],
)
def test_what_was_not_sent_so_ends_the_link(
    meeting: Meeting, relay: Relay, change: Callable[[bytes], bytes]
) -> None:
    """And nothing of it is passed on."""
    agent, agent_side = meeting.agent(relay.call)
    meeting.turn_until(lambda: meeting.links)
    side = meeting.sides[1]
    relay.change = change
    frames = [b"one", b"two", b"six"]
    for frame in frames:
        agent._put(0, memoryview(frame))
    agent._flush()  # all of them as one piece of the network's
    meeting.turn_until(lambda: side.ends and agent_side.ends)
    assert "was changed on its way" in side.ends[0] or "which no frame has" in side.ends[0]
    assert side.messages in (frames[:1], frames, [])
    assert "was lost" in agent_side.ends[0]


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, (21 + 300) * 8 - 1))
def test_a_flipped_bit_ends_the_link(place: int) -> None:
    """Whichever it is: a length that became longer is waited for, until the next frame."""
    meeting = Meeting()
    relay = Relay(meeting.server.invite(1))
    agent, _ = meeting.agent(relay.call)
    meeting.turn_until(lambda: meeting.links)

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        return bytes(changed)

    relay.change = flip
    agent.send(bytes(300))
    meeting.turn_for(0.01)
    relay.change = lambda data: data
    agent.send(bytes(2 * remote_limits.LINK_FRAME))
    meeting.turn_until(lambda: meeting.sides[1].ends)
    assert meeting.sides[1].messages == []
    relay.close()
    meeting.close()


def test_what_the_driver_has_said_is_not_taken_from_an_agent(
    meeting: Meeting, relay: Relay
) -> None:
    """Each direction has a key of its own."""
    meeting.agent(relay.call)
    meeting.turn_until(lambda: meeting.links)
    relay.from_driver = b""
    meeting.links[1].send(b"an order")
    meeting.turn_until(lambda: relay.from_driver)
    relay.inject(relay.from_driver)
    meeting.turn_until(lambda: meeting.sides[1].ends)
    assert meeting.sides[1].messages == []


def test_a_cut_network_is_noticed_on_both_sides(
    meeting: Meeting, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes, not even an end. As long as it carries, silence of the users is none of the link."""
    monkeypatch.setattr(remote_limits, "LINK_HEARTBEAT", 0.05)
    monkeypatch.setattr(remote_limits, "LINK_SILENCE", 0.4)
    agent, agent_side = meeting.agent(relay.call)
    meeting.turn_until(lambda: meeting.links)
    meeting.turn_for(1)
    assert agent.is_open
    assert meeting.links[1].is_open
    relay.is_cut = True
    meeting.turn_until(lambda: agent_side.ends and meeting.sides[1].ends)
    assert agent_side.ends[0].startswith("nothing was heard from 127.0.0.1:")
    assert meeting.sides[1].ends[0].startswith("nothing was heard from 127.0.0.1:")


def test_a_side_that_was_stopped_does_not_blame_the_other(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the other one, if it was told of it."""
    monkeypatch.setattr(remote_limits, "LINK_HEARTBEAT", 0.05)
    monkeypatch.setattr(remote_limits, "LINK_SILENCE", 0.3)
    driver, driver_side, agent, agent_side = meeting.pair()
    driver.announce_silence()
    end = time.monotonic() + 0.8
    meeting.turn_until(lambda: time.monotonic() > end, driver=False)
    assert agent.is_open
    meeting.turn_for(0.2)
    assert driver.is_open
    driver.send(b"here again")
    meeting.turn_until(lambda: agent_side.messages)
    meeting.turn_until(lambda: driver_side.ends or agent_side.ends, driver=False)
    assert agent_side.ends, "a silence that was not told of counts"


def test_a_killed_peer_is_noticed_at_once(meeting: Meeting) -> None:
    """The kernel of its machine says so."""
    call = meeting.server.invite(1)
    program = (
        "import sys\n"
        "from gitflowrun.runtime.ipc.event_loop import EventLoop\n"
        "from gitflowrun.runtime.ipc.link import connect\n"
        "loop = EventLoop()\n"
        "link = connect(loop, bytes.fromhex(sys.argv[1]), print, print)\n"
        "link.send(b'ready')\n"
        "while True: loop.turn()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, call.hex()])
    meeting.turn_until(lambda: 1 in meeting.sides and meeting.sides[1].messages)
    process.send_signal(signal.SIGKILL)
    process.wait()
    start = time.monotonic()
    meeting.turn_until(lambda: meeting.sides[1].ends)
    assert time.monotonic() - start < 5
    assert "was lost" in meeting.sides[1].ends[0]


def test_a_call_is_good_for_one_connection(meeting: Meeting) -> None:
    """Who comes later with the same one, or with one that was given up, is told so."""
    used = meeting.server.invite(1)
    meeting.agent(used)
    meeting.turn_until(lambda: meeting.links)
    revoked = meeting.server.invite(2)
    meeting.server.revoke(2)
    for call in (used, revoked):
        with pytest.raises(ExecutorError, match="does not expect this agent any more"):
            meeting.agent(call)
    meeting.turn_until(lambda: meeting.links)


def test_another_key_is_no_key(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side takes the other one for what it is not; the agent itself may still come."""
    monkeypatch.setattr(remote_limits, "CONNECT_PAUSE", 0.01)
    call = meeting.server.invite(1)
    known = Call.unpack(call)
    forged = Call(known.protocol, known.hosts, known.port, known.number, bytes(32)).pack()
    with pytest.raises(ExecutorError, match="does not know the key of this agent"):
        meeting.agent(forged)
    # A program of no principles that does not care who the driver is.
    with meeting.served(), socket.create_connection(("127.0.0.1", meeting.server.port)) as sock:
        sock.sendall(HELLO.pack(MAGIC, 1, bytes(32)))
        assert len(sock.recv(WELCOME.size)) == WELCOME.size
        sock.sendall(bytes(32))
        assert sock.recv(1) == b""
    assert meeting.links == {}
    meeting.agent(call)
    meeting.turn_until(lambda: meeting.links)


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(300), HELLO.pack(MAGIC, 7, bytes(32))],
)
def test_strangers_learn_nothing(meeting: Meeting, said: bytes) -> None:
    """A port scanner, a browser, TLS, and an agent of another run."""
    meeting.server.invite(1)
    with meeting.served(), socket.create_connection(("127.0.0.1", meeting.server.port)) as sock:
        sock.settimeout(30)
        sock.sendall(said)
        with contextlib.suppress(OSError):  # it may have hung up
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := _received(sock):
            answer += piece
    assert len(answer) in {0, 16}
    assert meeting.server._callers == {}


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1_000)
    except ConnectionResetError:
        return b""


def test_many_silent_strangers_do_not_keep_agents_out(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are so many at most; the oldest makes room, and all go after some time."""
    monkeypatch.setattr(remote_limits, "HANDSHAKES", 8)
    monkeypatch.setattr(remote_limits, "HANDSHAKE_GRACE", 0.05)
    monkeypatch.setattr(remote_limits, "HANDSHAKE_TIME", 0.6)
    strangers = [socket.create_connection(("127.0.0.1", meeting.server.port)) for _ in range(40)]
    most = 0
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        meeting.turn_for(0.01)
        most = max(most, len(meeting.server._callers))
    assert most == 8
    meeting.agent(meeting.server.invite(1))
    meeting.turn_until(lambda: meeting.links)
    meeting.turn_until(lambda: not meeting.server._callers)
    for stranger in strangers:
        stranger.close()


def test_a_driver_without_files_to_open_goes_on(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts once there are some again, and does not spin until then."""
    real, tries = meeting.server._socket, []

    class Full:
        """A socket of a process that may open no more files."""

        def accept(self) -> None:
            tries.append(1)
            raise OSError(24, "Too many open files")

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(remote_limits, "HANDSHAKE_GRACE", 0.2)
    monkeypatch.setattr(meeting.server, "_socket", Full())
    with socket.create_connection(("127.0.0.1", meeting.server.port)):
        meeting.turn_for(0.2)
        assert 1 < len(tries) < 10
    monkeypatch.setattr(meeting.server, "_socket", real)
    meeting.agent(meeting.server.invite(1))
    meeting.turn_until(lambda: meeting.links)


def test_an_agent_says_why_it_does_not_reach_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which addresses, what happened there, and what to do."""
    monkeypatch.setattr(remote_limits, "CONNECT_PAUSE", 0.01)
    monkeypatch.setattr(remote_limits, "CONNECT_TIME", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        call = Call(PROTOCOL, ("127.0.0.1", "127.0.0.2", "no such.host"), port, 1, bytes(32)).pack()
        with pytest.raises(ExecutorError) as caught:
            _connect(call)
    message = str(caught.value)
    assert "127.0.0.1: timed out" in message
    assert "127.0.0.2: Connection refused" in message
    assert "no such.host: " in message
    assert "runs.executorAddress" in (caught.value.hint or "")


def _connect(call: bytes) -> None:
    from gitflowrun.runtime.ipc.link import connect

    loop = EventLoop()
    try:
        connect(loop, call, print, print)
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (b"", "this is no call of an agent"),
        (bytes([0x93, PROTOCOL, 2, 3]), "this is no call of an agent"),
        (pack_message([PROTOCOL + 1, "whatever"]), f"links have version {PROTOCOL + 1}"),
        (pack_message([PROTOCOL, [], 1, 1, b"k"]), "this is no call of an agent"),
        (pack_message([PROTOCOL, ["h"], 70_000, 1, bytes(32)]), "this is no call of an agent"),
    ],
)
def test_a_damaged_call_is_refused(call: bytes, words: str) -> None:
    """So is one of another version, which says what to install."""
    with pytest.raises(ExecutorError, match=words):
        _connect(call)


def test_a_port_that_is_taken_is_said() -> None:
    """With the setting that decides."""
    loop = EventLoop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = f"can't listen for workers at 127.0.0.1, port {port}: "
        with pytest.raises(ExecutorError, match=words) as caught:
            LinkServer(loop, lambda _, __: None, "127.0.0.1", port)
    assert (caught.value.hint or "").startswith("another run may use it; set runs.executorAddress")
    loop.close()


def test_where_a_driver_listens() -> None:
    """On a loopback address alone where that is what agents are told, else everywhere."""
    loop = EventLoop()
    for host, expected in (("127.0.0.1", False), (None, True), ("login1.example", True)):
        server = LinkServer(loop, lambda _, __: None, host)
        assert server.hosts == (own_addresses() if host is None else (host,))
        try:
            socket.create_connection(("127.0.0.2", server.port)).close()
            reached = True
        except ConnectionRefusedError:
            reached = False
        assert reached is expected, host
        server.close()
    loop.close()


def test_an_address_that_is_likely_comes_first() -> None:
    """The others that this machine has follow; where a host is said, it is the only one."""
    loop = EventLoop()
    for host, expected in ((None, ("10.9.8.7", *own_addresses())), ("login1", ("login1",))):
        server = LinkServer(loop, lambda _, __: None, host, likely="10.9.8.7")
        assert server.hosts == expected
        server.close()
    loop.close()


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("10.0.0.5", ("10.0.0.5", 0)),
        ("login1:9000", ("login1", 9000)),
        (" login1 ", ("login1", 0)),
        ("::1", ("::1", 0)),
        ("[fe80::1]:80", ("fe80::1", 80)),
    ],
)
def test_addresses(words: str, address: tuple[str, int]) -> None:
    """A host, and a port if one is said."""
    assert parse_address(words) == address


@pytest.mark.parametrize(
    "words", ["", ":80", "a b", "host:99999", "host:x", "tcp://host:1", "[::1"]
)
def test_what_is_no_address(words: str) -> None:
    """It is refused, with an example."""
    with pytest.raises(UsageError, match="is not an address"):
        parse_address(words)


def test_the_way_to_a_host() -> None:
    """The address that it would see; none of a host that there is not."""
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_towards("no-such-host.invalid") is None
