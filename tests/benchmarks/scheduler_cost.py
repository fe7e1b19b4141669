"""What a task costs the scheduler's process, how that grows with their number, and how much memory it takes.

    python -m tests.benchmarks.scheduler_cost [--tasks 1000 10000 30000] [--workers 2] [--foreaches 1]
        [--rounds 3] [--flow fork batch] [--profile FILE]

The scheduler is the real one: plan, messages, pipes, log, live state, records, commits with fsync, the run log
into a file. Tasks are simulated: each launch is taken with its pipes, a line is written into one, and it is answered as
the zygote and the task would, so that nothing but the scheduler is measured, and as many tasks may run at a time as
are asked for. With `--flow` a real flow is run as well, with each of these isolations; its scheduler is watched from
outside.

The cost of a task is the slope between a foreach of so many tasks and one of a tenth of that, of each the round that
took least.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.launch import FLOW
from tests.benchmarks.machine import ROOT, describe, environment, repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import Launch, Message, Result, RunContext


def graph_of(foreaches: int) -> dict[str, Any]:
    """The graph of a flow with so many foreaches, one after the other."""
    steps: dict[str, Any] = {"start": {"type": "start", "next": ["work0"]}}
    for number in range(foreaches):
        following = f"work{number + 1}" if number + 1 < foreaches else "end"
        steps[f"work{number}"] = {"type": "linear", "next": [f"join{number}"]}
        steps[f"join{number}"] = {"type": "join", "next": [following]}
    steps["end"] = {"type": "end", "next": []}
    return {"start_step": "start", "end_step": "end", "steps": steps}


_NO_PROCESS = 1 << 23  # no process has a number above this: nothing is left behind by it


class SimulatedTasks:
    """A zygote and its tasks, which do nothing, in the scheduler's own process and event loop.

    In a process of its own each of its messages would let the scheduler wait and wake up again, and what that costs
    is the machine's: with other programs beside it, twice as much.

    Args:
        loop: The scheduler's event loop.
        channel: To the scheduler; it does not block.
        tasks: The items of each foreach.
        graph: The graph of the flow.
        workers: Tasks that run at a time: so many are taken before the first one ends.

    Attributes:
        cpu: Seconds of CPU that it has taken itself.
    """

    def __init__(
        self, loop: EventLoop, channel: Channel, tasks: int, graph: Mapping[str, Any], workers: int
    ) -> None:
        self.cpu = 0.0
        self._loop = loop
        self._channel = channel
        self._steps = graph["steps"]
        self._tasks = tasks
        self._workers = workers
        self._begun = 0
        self._running: deque[tuple[Launch, tuple[int, ...]]] = deque()
        self._last: Launch | None = None
        self._inherited: dict[str, ArtifactRef] = {}
        self._watch()

    def _watch(self) -> None:
        on_write = self._flush if self._channel.wants_write else None
        self._loop.watch(self._channel.fileno(), self._serve, on_write)

    def _flush(self) -> None:
        self._channel.flush()
        self._watch()

    def _serve(self) -> None:
        """Take launches and answer them."""
        before = time.process_time()
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(*self._channel.receive())
        # Of a step: the scheduler sends no more before these have ended.
        is_last = self._begun % self._tasks == 0
        while len(self._running) >= (1 if is_last else self._workers):
            self._end(*self._running.popleft())
        if self._channel.wants_write:  # many have ended at once
            self._watch()
        self.cpu += time.process_time() - before

    def _take(self, message: Message | None, fds: tuple[int, ...]) -> None:
        from gitflowrun.runtime.ipc.messages import Launch, LaunchItem, Started

        if isinstance(message, LaunchItem):
            assert self._last is not None
            message = message.launch(self._last)
        elif isinstance(message, Launch):
            self._last = message
        if isinstance(message, Launch):
            self._begun += bool(message.frames)
            self._put(Started(message.serial, _NO_PROCESS + message.serial))
            self._running.append((message, fds))

    def _end(self, launch: Launch, fds: tuple[int, ...]) -> None:
        from gitflowrun.runtime.ipc.messages import Exited

        if launch.frames:
            os.write(fds[0], b"item %d\n" % launch.frames[-1].index)
        for fd in fds:
            os.close(fd)
        self._put(self._result(launch))
        self._put(Exited(launch.serial, 0, 0.005, 18 << 20))

    def _put(self, message: Message) -> None:
        """As the zygote sends it."""
        from gitflowrun.runtime.ipc.channel import EXITED, STARTED
        from gitflowrun.runtime.ipc.messages import Exited, Started

        if isinstance(message, Started):
            self._channel.put(STARTED.pack(b"S", message.serial, message.pid))
        elif isinstance(message, Exited):
            row = message.serial, message.status, message.cpu, message.max_rss
            self._channel.put(EXITED.pack(b"E", *row))
        else:
            self._channel.send(message)

    def _result(self, launch: Launch) -> Result:
        """One artifact of its own and those of the step before."""
        from gitflowrun.runs.records import Transition
        from gitflowrun.runtime.ipc.messages import Result
        from tests.helpers.runs import artifact, digest

        following = self._steps[launch.task.step]["next"]
        if following and following[0].startswith("work"):
            listed = str(list(range(self._tasks))).encode()
            self._inherited = {"items": artifact(listed, launch.task)}
            jump = Transition(tuple(following), "items", self._tasks)
            values = tuple(str(number) for number in range(self._tasks))
            inline = {digest(listed): listed}
            return Result(launch.serial, self._inherited, inline, (), jump, values)
        made = str(launch.frames[-1].index if launch.frames else launch.task).encode()
        found = {**self._inherited, "x": artifact(made, launch.task)}
        return Result(
            launch.serial, found, {digest(made): made}, (),
            Transition(tuple(following)) if following else None,
        )  # fmt: skip


def simulate(tasks: int, workers: int, foreaches: int, profile: str) -> dict[str, float]:
    """Run foreaches of so many simulated tasks in this process; what that has taken of it."""
    from gitflowrun.runtime.scheduler.main import collect_rarely

    with tempfile.TemporaryDirectory() as directory:
        place = repository(Path(directory) / "repo", {"flow.py": "pass\n"})
        os.chdir(place)
        run, simulated = prepare(tasks, workers, foreaches)
        gc.collect()
        collect_rarely()
        before, begun = _used(), time.perf_counter()
        if profile:
            import cProfile

            profiler = cProfile.Profile()
            profiler.runcall(run)
            profiler.dump_stats(profile)
        else:
            run()
        cpu, wall = _used() - before - simulated.cpu, time.perf_counter() - begun
        system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        refs = ["rev-list", "--count", "--all"]
        commits = subprocess.run(["git", *refs], capture_output=True, check=True, cwd=place)
        size = sum(it.stat().st_size for it in place.glob(".git/objects/pack/*"))
    return {
        "cpu": cpu, "system": system, "wall": wall, "peak": peak(), "commits": float(commits.stdout), "size": size,
    }  # fmt: skip


def prepare(
    tasks: int, workers: int, foreaches: int
) -> tuple[Callable[[], object], SimulatedTasks]:
    """Make a run of the repository in this directory, and its scheduler as `runtime.scheduler.setup` makes it."""
    from gitflowrun.cli.flow.run_log import RunLog
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import take_snapshot
    from gitflowrun.limits import MAX_LOG_SIZE
    from gitflowrun.runs.create import create_run
    from gitflowrun.runs.live import LiveState
    from gitflowrun.runtime.executors.local import ForkExecutor
    from gitflowrun.runtime.ipc.channel import Channel, Connection, channel_pair
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.scheduler.card_queue import CardQueue
    from gitflowrun.runtime.scheduler.code_check import CodeCheck
    from gitflowrun.runtime.scheduler.plan import Plan, Shape
    from gitflowrun.runtime.scheduler.scheduler import Scheduler
    from gitflowrun.values import replace
    from tests.helpers.runs import draft

    repo = Repository.discover(Path.cwd())
    graph = graph_of(foreaches)
    writer = create_run(repo, replace(draft(), graph=graph), take_snapshot(repo))
    loop = EventLoop()

    def deliver(message: Message) -> None:
        scheduler.deliver(message)

    ours, theirs = (Channel(it, blocking=False) for it in channel_pair())
    simulated = SimulatedTasks(loop, theirs, tasks, graph, workers)
    connection = Connection(loop, ours, deliver, lambda: None)
    context = context_of(repo, writer.identity)
    live = LiveState(repo, writer.identity.uid)
    scheduler = Scheduler(
        loop, writer, Plan(Shape.of(graph)), ForkExecutor(connection, context),
        RunLog(out=Path("log").open("w"), config={}),  # noqa: SIM115  (the run's)
        live, CodeCheck(repo, writer.snapshot.tree),
        CardQueue(lambda _: connection, live.directory, None),
        max_workers=workers, max_log_size=MAX_LOG_SIZE,
    )  # fmt: skip
    return scheduler.run, simulated


def context_of(repo: Repository, run: RunIdentity) -> RunContext:
    """What the tasks of a run have in common; simulated tasks look at none of it."""
    from gitflowrun.names import TaskName
    from gitflowrun.runtime.ipc.messages import Parent, RunContext

    return RunContext(
        run=run, origin=None, user="ada", namespace=None, tags=(), objects_dir=str(repo.objects_dir),
        incoming=str(repo.packs.incoming), git_dir=str(repo.git_dir), work_tree=str(repo.work_tree),
        snapshot_begun=time.time(), metadata="local", durability="safe", shared=None, trusted_runs=frozenset(),
        max_num_splits=1, tempdir=".", seeds={}, parameters=Parent(TaskName("_parameters", "0"), run.uid),
    )  # fmt: skip


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak(pid: str = "self") -> float:
    """Peak resident MB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def watch_flow(place: Path, tasks: int, workers: int, isolation: str) -> tuple[float, float]:
    """CPU seconds and peak MB of the scheduler of a real flow with a foreach of so many tasks."""
    flow = subprocess.Popen(
        [sys.executable, "wide.py", "--quiet", "run", "--n", str(tasks), "--max-num-splits", str(tasks),
         "--max-workers", str(workers), "--isolation", isolation],
        cwd=place, env={**os.environ, **environment()}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    cpu = memory = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    scheduler: Path | None = None
    while flow.poll() is None:
        if scheduler is None:
            found = [it for it in Path("/proc").glob("[0-9]*") if _is_scheduler(it, place)]
            scheduler = found[0] if found else None
        if scheduler is not None:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (scheduler / "stat").read_text().rpartition(")")[2].split()
                cpu = max(cpu, (int(fields[11]) + int(fields[12])) / ticks)
                memory = max(memory, peak(scheduler.name))
        time.sleep(0.02)
    if flow.returncode:
        msg = f"the flow of {tasks} tasks has failed"
        raise RuntimeError(msg)
    return cpu, memory


def _is_scheduler(process: Path, place: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes()
        return b"scheduler_main.py" in words and (process / "cwd").resolve() == place.resolve()
    except OSError:
        return False


def measure(tasks: int, workers: int, foreaches: int = 1, profile: str = "") -> dict[str, float]:
    """What foreaches of simulated tasks take of a scheduler in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scheduler_cost", "--simulate", str(tasks)]
    command += ["--workers", str(workers), "--foreaches", str(foreaches), "--profile", profile]
    env = {**os.environ, **environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 10000, 30000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--foreaches", type=int, default=1, help="of so many tasks, one after the other"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of simulated tasks")
    parser.add_argument("--flow", nargs="+", metavar="ISOLATION", help="also run a real flow")
    parser.add_argument("--profile", default="", help="where cProfile's figures of the last one go")
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.simulate:
        print(json.dumps(simulate(args.simulate, args.workers, args.foreaches, args.profile)))
        return
    print(describe())
    for tasks in args.tasks:
        few, many = (
            min(
                (measure(it, args.workers, args.foreaches) for _ in range(args.rounds)),
                key=lambda found: found["cpu"],
            )
            for it in (tasks // 10, tasks)
        )
        cost, left = many["cpu"] - few["cpu"], args.foreaches * (tasks - tasks // 10)
        print(
            f"{tasks * args.foreaches:9,} tasks {cost / left * 1e3:6.3f} ms CPU a task, "
            f"{tasks * args.foreaches / many['wall']:6.0f} tasks/s, "
            f"{many['peak']:6.1f} MB peak ({(many['peak'] - few['peak']) / left * 1024:5.2f} KB a task), "
            f"{many['commits']:.0f} commits, {many['size'] / tasks / args.foreaches:.0f} bytes a task in git"
        )
        if args.profile:
            measure(tasks, args.workers, args.foreaches, args.profile)
    if args.flow:
        with tempfile.TemporaryDirectory() as directory:
            place = repository(
                Path(directory) / "repo", {"wide.py": FLOW.format(package="gitflowrun")}
            )
            for tasks in args.tasks:
                for isolation in args.flow:
                    few_cpu, _ = watch_flow(place, tasks // 10, args.workers, isolation)
                    cpu, memory = watch_flow(place, tasks, args.workers, isolation)
                    cost = (cpu - few_cpu) / (tasks - tasks // 10)
                    print(
                        f"{tasks:9,} {isolation:5} {cost * 1e3:6.3f} ms CPU a task, {memory:6.1f} MB peak"
                    )


if __name__ == "__main__":
    main()
