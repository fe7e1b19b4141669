"""What a run's execution is made of: its channels, and how many tasks may run at a time."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.runs.commit_message import Status
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Event
from gitflowrun.runtime.ipc.messages import Exited, Interrupt, Retries, RunFinished
from gitflowrun.runtime.ipc.remote_messages import EngineFailed
from gitflowrun.runtime.scheduler import setup
from gitflowrun.runtime.scheduler.setup import Channels, RunExecution
from gitflowrun.settings import Isolation
from tests.runtime.scheduler.wire import Wire


def test_nobody_needs_to_be_at_the_other_end() -> None:
    """What is said to a launcher process that is gone is lost; both channels are closed in the end."""
    launcher, zygote = Wire(), Wire()
    channels = Channels(cast("Any", launcher), (cast("Any", zygote), 5))
    channels.say(RunFinished(0, None))
    channels.close()
    assert (launcher.is_open, zygote.is_open) == (False, False)
    channels.say(RunFinished(1, None))
    assert launcher.sent == [RunFinished(0, None)]


@pytest.mark.parametrize(
    ("limit", "workers", "files", "affordable"),
    [
        (resource.RLIM_INFINITY, 1000, 4, 1000),
        (64 + 40, 10, 4, 10),
        (64 + 39, 10, 4, 9),
        (64 + 69, 10, 7, 9),
        (64, 10, 4, 1),
        (10, 2, 4, 1),
    ],
)
def test_so_many_tasks_run_at_a_time_as_there_are_descriptors_for(
    monkeypatch: pytest.MonkeyPatch, limit: int, workers: int, files: int, affordable: int
) -> None:
    """Fewer than wanted are told; one always runs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    events: list[Event] = []
    assert setup._affordable(workers, files, events.append) == affordable
    assert len(events) == (affordable != workers)


class Course:
    """A scheduler that notes what it is made of, and what it is told while its loop turns."""

    during: Callable[[], object]
    told_enough = 1
    status = Status.DONE

    def __init__(self, loop: EventLoop, *parts: Any, **options: Any) -> None:
        self.loop = loop
        self.executor = parts[2]
        self.options = options
        self.told: list[tuple[Any, ...]] = []

    def run(self) -> tuple[Status, str | None]:
        """Let the test do something, and turn until enough was told."""
        self.loop.after(15, _hang)
        self.during()
        while len(self.told) < self.told_enough:
            self.loop.turn()
        return self.status, "why"

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.told.append((name, *args))


def _hang() -> None:
    raise AssertionError("nothing more is told")


class Bench:
    """An execution that is about to begin, and the other ends of its channels.

    Args:
        isolation: Which is asked for.
        has_zygote: Whether there is one.
        most: The bytes of output that are asked for.
        engine: What executes tasks, if it is no process of this machine.
    """

    def __init__(
        self,
        isolation: Isolation,
        *,
        has_zygote: bool = True,
        most: int | None = None,
        engine: Any = None,
    ) -> None:
        ours, theirs = channel_pair()
        self.launcher, self.their_launcher = Channel(ours), Channel(theirs)
        ours, theirs = channel_pair()
        self.zygote, self.their_zygote = Channel(ours), Channel(theirs)
        self.alive, self.their_alive = os.pipe()
        zygote = (self.zygote, self.alive) if has_zygote else None
        self.channels = Channels(self.launcher, zygote)
        request = SimpleNamespace(max_workers=4, max_log_size=most)
        start: Any = SimpleNamespace(
            command=("f.py",),
            request=request,
            retries={"train": Retries(2)},
            repository={},
            config={},
            graph={},
        )
        settings = SimpleNamespace(max_log_size=77)
        repo: Any = SimpleNamespace(settings=settings, shared_mode=None)
        writer: Any = SimpleNamespace(
            identity=SimpleNamespace(uid=1), snapshot=SimpleNamespace(tree=None)
        )
        key = SimpleNamespace(texts=[b"hunter2-hunter2"])
        run: Any = SimpleNamespace(secrets={"key": key}, spin=None)
        plan: Any = None
        self.execution = RunExecution(
            repo, self.channels, start, isolation, lambda _: None, writer, plan, run, plan, 9,
            engine=engine,
        )  # fmt: skip
        self.course = cast("Course", self.execution._scheduler)

    def close(self) -> None:
        """Close what is left."""
        for channel in (self.launcher, self.their_launcher, self.zygote, self.their_zygote):
            channel.close()
        for fd in (self.alive, self.their_alive):
            if fd >= 0:
                os.close(fd)


class Executor:
    """An executor that is only there."""

    def __init__(self, *_: Any) -> None:
        pass


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Makes benches, whose parts note what they are told."""
    made: list[Bench] = []
    numbers = (signal.SIGTERM, signal.SIGTSTP, signal.SIGCHLD)
    handlers = {it: signal.signal(it, signal.SIG_DFL) for it in numbers}
    for name in ("ForkExecutor", "ConnectedExecutor", "FreshExecutor"):
        monkeypatch.setattr(setup, name, type(name, (Executor,), {}))
    monkeypatch.setattr(setup, "Scheduler", Course)
    monkeypatch.setattr(setup, "LiveState", lambda *_: SimpleNamespace(directory=None))

    def make(isolation: Isolation, **options: Any) -> Bench:
        made.append(Bench(isolation, **options))
        return made[-1]

    yield make
    for it in made:
        it.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("isolation", "has_zygote", "kind"),
    [
        (Isolation.FORK, True, "ForkExecutor"),
        (Isolation.FORK, False, "FreshExecutor"),
        (Isolation.FRESH, True, "FreshExecutor"),
        (Isolation.INLINE, True, "ConnectedExecutor"),
    ],
)
def test_how_tasks_get_their_processes(
    bench: Callable[..., Bench], isolation: Isolation, has_zygote: bool, kind: str
) -> None:
    """As was asked for, or the next best; a zygote that nobody needs ends. Inline tasks show their own output."""
    made = bench(isolation, has_zygote=has_zygote)
    course, is_inline = made.course, isolation is Isolation.INLINE
    assert type(course.executor).__name__ == kind
    options = course.options
    assert (options["max_workers"], options["echo"]) == (1 if is_inline else 4, not is_inline)
    assert (options["first_id"], options["max_log_size"]) == (9, 77)
    assert options["mask"].text("it is hunter2-hunter2") != "it is hunter2-hunter2"
    if kind == "ForkExecutor":
        assert type(options["substitute"]()).__name__ == "FreshExecutor"
        assert made.channels.zygote is not None
    else:
        assert options["substitute"] is None
        assert made.channels.zygote is None
        assert not has_zygote or made.their_zygote.receive() == (None, ())
    assert bench(isolation, most=5).course.options["max_log_size"] == 5


def test_an_engine_has_as_many_agents_as_there_are_descriptors_for(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has a link to this process; that no agent can begin ends the run."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64 + 8, 64 + 8))
    made: list[tuple[Any, ...]] = []
    engine = SimpleNamespace(loop=EventLoop(), executor=lambda *args: made.append(args))
    course = bench(Isolation.FORK, engine=engine).course
    assert (made[0][-1], course.options["max_workers"]) == (2, 2)
    hear = made[0][3]
    hear(EngineFailed("why"))
    hear(Exited(1, 0, 0.5, 1))
    assert course.told == [("stop", Status.FAILED, "why"), ("deliver", Exited(1, 0, 0.5, 1))]


def test_what_comes_from_the_other_processes(bench: Callable[..., Bench]) -> None:
    """The scheduler gets it, and waits for none of them; at the end who speaks to the launcher process waits again."""
    made = bench(Isolation.FORK)
    course, message = made.course, Exited(1, 0, 0.5, 1)

    def during() -> None:
        assert not os.get_blocking(made.launcher.fileno())
        assert not os.get_blocking(made.zygote.fileno())
        made.their_zygote.send(message)
        made.their_launcher.send(message)
        made.their_launcher.send(Interrupt(signal.SIGHUP))
        os.kill(os.getpid(), signal.SIGTSTP)

    course.during, course.told_enough, course.status = during, 4, Status.INTERRUPTED
    assert made.execution.execute() == (128 + signal.SIGHUP, "why")
    delivered = ("deliver", message)
    expected = [delivered, delivered, ("interrupt", signal.SIGHUP), ("suspend",)]
    assert sorted(course.told, key=str) == sorted(expected, key=str)
    assert os.get_blocking(made.launcher.fileno())


def test_a_signal_interrupts_the_run(bench: Callable[..., Bench]) -> None:
    """And the exit code says which."""
    made = bench(Isolation.FRESH)
    made.course.status = Status.INTERRUPTED
    made.course.during = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert made.execution.execute() == (128 + signal.SIGTERM, "why")
    assert made.course.told == [("interrupt", signal.SIGTERM)]


@pytest.mark.parametrize(
    ("isolation", "told"),
    [
        (Isolation.INLINE, ("process_lost",)),
        (
            Isolation.FRESH,
            ("stop", Status.INTERRUPTED, "its launcher process was killed", signal.SIGKILL),
        ),
    ],
)
def test_a_launcher_process_that_is_killed_ends_the_run(
    bench: Callable[..., Bench], isolation: Isolation, told: tuple[Any, ...]
) -> None:
    """Nobody waits for it any more; of an inline run its task has ended with it."""
    made = bench(isolation)
    made.course.during = made.their_launcher.close
    assert made.execution.execute() == (0, "why")
    assert made.course.told == [told]


@pytest.mark.parametrize("end", ["pipe", "channel"])
def test_a_zygote_that_is_killed_is_lost_once(bench: Callable[..., Bench], end: str) -> None:
    """However it is noticed; its pipe is closed."""
    made = bench(Isolation.FORK)

    def during() -> None:
        if end == "pipe":
            os.close(made.their_alive)
            made.their_alive = -1
        made.their_zygote.close()
        made.course.loop.after(0.05, lambda: made.course.told.append(("later",)))

    made.course.during, made.course.told_enough = during, 2
    made.execution.execute()
    assert made.course.told == [("executor_lost",), ("later",)]
    assert made.channels.zygote is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made.alive)
    made.alive = -1


@pytest.mark.parametrize(
    ("status", "code"), [(Status.DONE, 0), (Status.FAILED, 1), (Status.INTERRUPTED, 130)]
)
def test_exit_codes(status: Status, code: int) -> None:
    """As a shell has them."""
    assert setup.exit_code(status, signal.SIGINT) == code
