"""Executors of `concurrent.futures` as engines."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import ExecutorError
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.futures_engine import FuturesEngine, factory_of
from tests.helpers.engines import PROGRAM, Ends, is_alive, pids_in, start, wait_for
from tests.helpers.repos import ROOT

Make = Callable[[Callable[[], object]], FuturesEngine]


@pytest.fixture
def ends() -> Ends:
    """What is told of agents."""
    return Ends()


@pytest.fixture
def make(ends: Ends) -> Iterator[Make]:
    """Makes engines that are closed in the end."""
    made: list[FuturesEngine] = []

    def engine(factory: Callable[[], object]) -> FuturesEngine:
        made.append(FuturesEngine("pools:make", factory, ends, PROGRAM))
        return made[-1]

    yield engine
    for it in made:
        it.close()


def _processes() -> Executor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def test_each_end_is_told_once(make: Make, ends: Ends, tmp_path: Path) -> None:
    """Of agents that end as they should, that fail, and that were given up before they began."""
    engine = make(lambda: ThreadPoolExecutor(1))
    assert engine.where() == "concurrent.ThreadPoolExecutor"
    start(engine, 1, f"say {tmp_path / 'one'}")
    assert ends.next() == (1, None)
    start(engine, 2, "fail because")
    number, reason = ends.next()
    assert number == 2
    assert (reason or "").endswith("because")
    start(engine, 3, f"stay {tmp_path / 'three'}")
    pid, _ = pids_in(tmp_path / "three")
    start(engine, 4, f"say {tmp_path / 'four'}")
    wait_for(lambda: engine._calls.future(4) is not None)
    engine.cancel(4)
    engine.cancel(4)
    assert ends.next() == (4, "it was given up before it began")
    os.kill(pid, signal.SIGKILL)
    assert ends.next() == (3, "the agent was killed by SIGKILL")
    assert ends.empty()
    assert not (tmp_path / "four").exists()


def test_a_pool_whose_process_was_killed_is_replaced(
    make: Make, ends: Ends, tmp_path: Path
) -> None:
    """The agents of that process die with it; the next ones have a pool again."""
    engine = make(_processes)
    start(engine, 1, f"stay {tmp_path / 'one'}")
    pid, worker = pids_in(tmp_path / "one")
    os.kill(worker, signal.SIGKILL)
    number, reason = ends.next()
    assert number == 1
    assert (reason or "").startswith("BrokenProcessPool: ")
    wait_for(lambda: not is_alive(pid))
    start(engine, 2, f"say {tmp_path / 'two'}")
    assert ends.next() == (2, None)


def test_pools_that_break_for_ever_are_given_up(make: Make, ends: Ends) -> None:
    """With what to look at."""
    made = []

    def broken() -> Executor:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        made.append(pool)
        return pool

    engine = make(broken)
    for number in range(25):
        start(engine, number, "say nothing")
    reasons = [ends.next()[1] or "" for _ in range(25)]
    assert len(made) == 20
    assert "RuntimeError: cannot schedule new futures after shutdown" in reasons[0]
    assert reasons[-1].startswith("ExecutorError: 20 executors of pools:make have broken")


class _Odd(Executor):
    """An executor that takes nothing."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        msg = "not\ntoday"
        raise ValueError(msg)


def test_an_executor_that_takes_nothing_is_told_of(make: Make, ends: Ends) -> None:
    """In a line; it stays, for others' agents may run there."""
    engine = make(_Odd)
    start(engine, 1, "say nothing")
    assert ends.next() == (1, "ValueError: not today")


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda: None, "pools:make returns NoneType, which is no concurrent.futures.Executor"),
        (lambda: 1 / 0, "pools:make has failed: ZeroDivisionError: division by zero"),
        (
            lambda: ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")),
            "the processes of pools:make would be forks of the scheduler",
        ),
    ],
)
def test_factories_that_make_no_executor(make: Make, factory: Any, words: str) -> None:
    """What is wrong, and what to do."""
    with pytest.raises(ExecutorError, match=words) as caught:
        make(factory)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("no_such_module:make", "can't be imported: ModuleNotFoundError", "beside the flow's file"),
        ("my_pools_of_a_test:mak", "my_pools_of_a_test has no mak", "did you mean make"),
        ("my_pools_of_a_test:xyzzy.y", "has no xyzzy", "name a function"),
        ("my_pools_of_a_test:NUMBER", r"is a value \(int\), not a function", "name a function"),
        ("my_broken_pools_of_a_test:make", "KeyError: 'a line'", "beside the flow's file"),
    ],
)
def test_what_names_no_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str, hint: str
) -> None:
    """Which part of it, and what was meant."""
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "my_pools_of_a_test.py").write_text("NUMBER = 5\ndef make(): return NUMBER\n")
    (tmp_path / "my_broken_pools_of_a_test.py").write_text(
        "raise KeyError('a\\nline'.replace('\\n', ' '))\n"
    )
    with pytest.raises(ExecutorError, match=message) as caught:
        factory_of(words, [str(tmp_path)])
    assert hint in (caught.value.hint or "")


def test_a_factory_is_found_beside_the_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a module, or as a method of something in it."""
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "pools_beside_a_flow.py").write_text(
        "class Pools:\n    @staticmethod\n    def make(): return 7\n"
    )
    assert factory_of("pools_beside_a_flow:Pools.make", [str(tmp_path)])() == 7


def test_the_processes_of_a_pool_end_with_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have nothing to do by themselves, those whose agents stay after some seconds."""
    monkeypatch.setattr(engine_limits, "POOL_END", 0.5)
    engine = make(_processes)
    start(engine, 1, f"stay {tmp_path / 'one'}")
    agent, worker = pids_in(tmp_path / "one")
    engine.close()
    wait_for(lambda: not is_alive(worker) and not is_alive(agent))


def test_the_processes_of_a_pool_end_with_the_process_that_made_it(tmp_path: Path) -> None:
    """However that ends, and with them their agents: they would wait for each other for ever."""
    program = (
        "import multiprocessing, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from gitflowrun.runtime.executors.engine import Resources\n"
        "from gitflowrun.runtime.executors.engines.futures_engine import FuturesEngine\n"
        "from tests.helpers.engines import PROGRAM\n"
        "if __name__ == '__main__':\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    pool = lambda: ProcessPoolExecutor(2, mp_context=spawn)\n"
        "    engine = FuturesEngine('p:p', pool, print, PROGRAM)\n"
        "    for number, call in enumerate(sys.argv[1:]):\n"
        "        engine.start(number, f'stay {call}'.encode(), Resources())\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "driver.py").write_text(program)
    places = [str(tmp_path / name) for name in ("one", "two")]
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), *places],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    pids = [pid for place in places for pid in pids_in(Path(place))]
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
