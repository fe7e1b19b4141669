"""The pipes of a task, to which the test writes in its place."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gitflowrun import limits
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from tests.helpers.descriptors import open_files


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """An event loop."""
    loop = EventLoop()
    yield loop
    loop.close()


class Taken(list[tuple[str, bytes]]):
    """What was read."""

    def __call__(self, stream: str, data: bytes) -> None:
        """Note it."""
        self.append((stream, data))


def turn(loop: EventLoop) -> None:
    """Turn the loop once, and wait for nothing."""
    loop.after(0, lambda: None)
    loop.turn()


def test_streams_are_read_to_their_end(loop: EventLoop) -> None:
    """Nothing before they are watched; of an end that was taken nothing is left."""
    before, taken = open_files(), Taken()
    pipes = TaskPipes(loop)
    with pipes.make() as (stdout, stderr):
        os.write(stdout, b"early")
        turn(loop)
        assert taken == []
        pipes.watch(taken)
        turn(loop)
        os.write(stderr, b"late")
        turn(loop)
    turn(loop)
    assert taken[:2] == [("stdout", b"early"), ("stderr", b"late")]
    assert sorted(taken[2:]) == [("stderr", b""), ("stdout", b"")]
    pipes.drain(taken)
    assert (len(taken), open_files()) == (4, before)


def test_nobody_waits_for_output(loop: EventLoop) -> None:
    """Where nothing was written, what was is taken all the same, and the pipes are closed."""
    before, taken = open_files(), Taken()
    pipes = TaskPipes(loop)
    with pipes.make() as (stdout, _):
        pipes.watch(taken)
        os.write(stdout, b"last")
        pipes.drain(taken)
        assert taken == [("stdout", b"last"), ("stdout", b""), ("stderr", b"")]
        turn(loop)
    assert (len(taken), open_files()) == (3, before)


def test_of_a_pipe_that_others_hold_a_limited_amount_is_read(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that a task has left behind may write for ever."""
    monkeypatch.setattr(limits, "PIPE_READ", 1)
    monkeypatch.setattr(limits, "LINGERING_OUTPUT", 3)
    taken = Taken()
    pipes = TaskPipes(loop)
    with pipes.make() as (stdout, _):
        os.write(stdout, b"x" * 100)
        pipes.drain(taken)
        with pytest.raises(BrokenPipeError):
            os.write(stdout, b"x")
    assert taken == [("stdout", b"x")] * 3 + [("stdout", b""), ("stderr", b"")]


def test_a_process_keeps_its_pipes(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a task has written is read then, and the next one's pipes take them over."""
    monkeypatch.setattr(limits, "PIPE_READ", 2)
    monkeypatch.setattr(limits, "LINGERING_OUTPUT", 3)
    before, first, second = open_files(), Taken(), Taken()
    pipes = TaskPipes(loop)
    with pipes.make() as ends:
        stdout, stderr = map(os.dup, ends)
    pipes.watch(first)
    os.write(stdout, b"12345")
    pipes.keep()
    assert not pipes.is_drained
    pipes.release()  # its process ends, before what it has written was read
    pipes.keep()
    pipes.drain(first)
    assert pipes.is_drained
    assert b"".join(it for _, it in first) == b"12345"
    assert [it for it in first if not it[1]] == [("stdout", b""), ("stderr", b"")]
    pipes.close()  # as the end of a task does
    pipes.watch(first)  # as one whose output had to wait for a link does, when that goes on
    os.write(stderr, b"6")
    turn(loop)
    following = TaskPipes(loop)
    following.take_over(pipes)
    pipes.release()
    following.watch(second)
    turn(loop)
    assert (first[-1], second) == (("stderr", b""), [("stderr", b"6")])
    following.keep()
    following.drain(second)
    following.release()
    for end in (stdout, stderr):
        with pytest.raises(BrokenPipeError):
            os.write(end, b"x")
        os.close(end)
    turn(loop)
    assert (len(second), open_files()) == (3, before)


def test_a_pause(loop: EventLoop) -> None:
    """Nothing is read until they are watched again."""
    taken = Taken()
    pipes = TaskPipes(loop)
    with pipes.make() as (stdout, stderr):
        pipes.watch(taken)
        pipes.pause()
        os.write(stdout, b"1")
        os.write(stderr, b"2")
        turn(loop)
        assert taken == []
        pipes.watch(taken)
        turn(loop)
        assert sorted(taken) == [("stderr", b"2"), ("stdout", b"1")]
        pipes.close()
        with pytest.raises(BrokenPipeError):
            os.write(stdout, b"x")
    turn(loop)
    assert len(taken) == 2


def test_no_more_descriptors(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pipes that are made in part nothing is left."""
    before = open_files()
    real = os.pipe
    made: list[int] = []

    def pipe() -> tuple[int, int]:
        if made:
            raise OSError
        made.append(1)
        return real()

    monkeypatch.setattr(os, "pipe", pipe)
    pipes = TaskPipes(loop)
    with pytest.raises(OSError), pipes.make():  # noqa: PT011  (it is this one)
        raise AssertionError
    pipes.close()
    assert open_files() == before
