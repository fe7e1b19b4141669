"""Messages between the processes of a run, over real sockets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.artifacts.reference import ArtifactRef, Chunk
from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.msgpack import pack_message, unpack_message
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.runs.records import ForeachLevel, RunIdentity, Transition
from gitflowrun.runtime.ipc import messages
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.settings import Isolation

TASK = TaskName("train", "3")
RUN = RunIdentity("F", RunId("12"), NULL_OID)
PARENT = messages.Parent(TASK, NULL_OID)
DIGEST = Digest(bytes(32))
ARTIFACT = ArtifactRef(DIGEST, 3, "plain/1", "builtins.int", (Chunk(DIGEST, NULL_OID, 3),), TASK)
PARAMETERS = messages.StoredParameters(
    {"x": "5"}, {"x": ARTIFACT}, ("y",), {DIGEST: b"5"}, ("pack-0",), 1.5, 2.5
)
REQUEST = RunRequest(
    RunKind.CLONE, 16, 100, tags=("a",), origin="11", run_id_file=Path("id"), argv=("f.py", "run"),
    isolation=Isolation.FRESH,
)  # fmt: skip
EXAMPLES: list[messages.Message] = [
    messages.StartRun(
        "F", {"steps": {}}, REQUEST, PARAMETERS, "f.py", ("python", "f.py"), ("python", "-m", "f"), "/r",
        ("util (/u.py)",), ("/lib",), None, "0", {"random": 7},
        {"git_dir": "/r/.git", "work_tree": None}, {"user.name": "Ada"}, {"train": messages.Retries(3, 1)},
    ),
    messages.InheritedParameters("7", ("x", "y")),
    PARAMETERS,
    messages.Interrupt(2),
    messages.RunRefused("NotFound", "no such run", None),
    messages.RunFinished(1, "step 'train' failed"),
    messages.RunContext(RUN, None, "a", None, ("t",), "/o", "/i", "/g", "/w", 1.5, "local@/w", "safe",
                   None, frozenset({RUN.uid}), 9, ".", {"random": 1}, PARENT),
    messages.RunContext(RUN, RUN, "ada", "user:ada", (), "/o", "/i", "/g", "/w", 1.5, "local@/w", "fast",
                   0o2770, frozenset(), 5, "/tmp", {}, PARENT),
    messages.Launch(7, TASK, 1, (ForeachLevel("s", "xs", 3, 1, "b"),), (PARENT, PARENT), (2,), "no luck"),
    messages.Launch(0, TASK, 0, (), ()),
    messages.LaunchItem(8, 4, 1, "bé"),
    messages.Kill(7, 9),
    messages.Started(7, 100),
    messages.LaunchFailed(7, "no more processes"),
    messages.Exited(7, 9, 0.25, 1 << 20),
    messages.Result(
        7, {"x": ARTIFACT}, {DIGEST: b"abc"}, ("pack-1",), Transition(("a",), "xs", 2), ("p", "q")
    ),
    messages.Result(7, {}, {}, (), None, (), "ValueError: no"),
    messages.Result(7, {}, {}, (), None, (), "SystemExit: 202", {}, (), 202),
    messages.Result(7, {}, {}, (), None, code={"lib/x.py": NULL_OID}),
    messages.Result(7, {}, {}, (), None, cards=("cards/train/7.0/0.json",)),
]  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a pair."""
    one, other = map(Channel, channel_pair())
    yield one, other
    one.close()
    other.close()


def _sized(number: int, size: int) -> messages.LaunchFailed:
    """A message of so many bytes and two-byte letters."""
    return messages.LaunchFailed(number, "é" * (size // 4) + "x" * (size // 2))


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    """Small and large messages keep their order and their bytes."""
    sent = [_sized(number, size) for number, size in enumerate((1, 300_000, 0, 140_000))]

    def send() -> None:
        for message in sent:
            ends[0].send(message)

    sender = threading.Thread(target=send)
    sender.start()
    assert [ends[1].receive() for _ in sent] == [(message, ()) for message in sent]
    sender.join()


def test_open_files_travel_with_their_message(ends: tuple[Channel, Channel]) -> None:
    """Descriptors arrive with the message they were sent with, also with a large one."""
    for size in (10, 200_000):
        reading, writing = os.pipe()
        ends[0].send(_sized(1, size), (writing,))
        ends[0].send(_sized(2, 0))
        os.close(writing)
        message, (fd,) = ends[1].receive()
        assert message == _sized(1, size)
        os.write(fd, b"hello")
        os.close(fd)
        assert os.read(reading, 10) == b"hello"
        assert os.read(reading, 10) == b""
        os.close(reading)
        assert ends[1].receive() == (_sized(2, 0), ())


def test_the_end_is_none(ends: tuple[Channel, Channel]) -> None:
    """A closed other end is the end of the channel, not an error."""
    ends[0].send(_sized(1, 0))
    ends[0].close()
    assert ends[1].receive() == (_sized(1, 0), ())
    assert ends[1].receive() == (None, ())


def test_a_channel_that_does_not_block_keeps_what_the_kernel_does_not_take() -> None:
    """Nothing is lost or reordered while the other end does not read."""
    one, other = channel_pair()
    sender, receiver = Channel(one, blocking=False), Channel(other, blocking=False)
    with pytest.raises(BlockingIOError):
        receiver.receive()
    for number in range(200):
        sender.send(_sized(number, 10_000))
    assert sender.wants_write
    received: list[messages.Message | None] = []
    while len(received) < 200:
        try:
            received.append(receiver.receive()[0])
        except BlockingIOError:
            sender.flush()
    assert received == [_sized(number, 10_000) for number in range(200)]
    assert not sender.wants_write
    sender.close()
    receiver.close()


@pytest.mark.parametrize(
    "message", [pytest.param(m, id=f"{i}-{type(m).__name__}") for i, m in enumerate(EXAMPLES)]
)
def test_every_message_survives_the_wire(message: messages.Message) -> None:
    """What is sent is what arrives."""
    one, other = map(Channel, channel_pair())
    one.send(message)
    assert other.receive() == (message, ())
    one.close()
    other.close()


scalars = st.one_of(st.none(), st.integers(0, 9), st.text(max_size=5), st.binary(max_size=5))


@settings(max_examples=40)  # each for five kinds
@given(st.recursive(scalars, lambda inner: st.lists(inner, max_size=12)))
def test_anything_else_is_a_corrupt_record(body: object) -> None:
    """A list that is no message never becomes one."""
    for kind in ("Launch", "Result", "RunContext", "StartRun", "nonsense"):
        with pytest.raises(CorruptRecord):
            messages.parse([kind, body])


_words = st.text(min_size=1, max_size=4).filter(lambda it: "/" not in it)


@given(
    st.lists(
        st.builds(
            messages.Parent,
            st.builds(TaskName, _words, _words),
            st.binary(min_size=20, max_size=20).map(Oid),
        )
    )
)
def test_parents_are_what_they_were(parents: list[messages.Parent]) -> None:
    """Whatever they are called, and in their order."""
    launch = messages.Launch(1, TASK, 0, (), tuple(parents))
    assert messages.parse(unpack_message(pack_message(messages.encode(launch)))) == launch


@pytest.mark.parametrize(
    "parents",
    [
        ["a/1", b"short"],
        ["a/1/b", bytes(30)],
        ["a/", bytes(20)],
        ["", bytes(20)],
        [b"a/1", bytes(20)],
        ["a/1"],
        None,
    ],
)
def test_malformed_parents_are_told(parents: object) -> None:
    """As any other malformed message."""
    _, serial, task, attempt, frames, _, *rest = messages.encode(
        messages.Launch(1, TASK, 0, (), (PARENT,))
    )
    with pytest.raises(CorruptRecord, match="malformed Launch"):
        messages.parse(["Launch", serial, task, attempt, frames, parents, *rest])
