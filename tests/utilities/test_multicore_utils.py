"""`parallel_map` and its sibling: order, results of any size, failures, and processes that are gone afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun import parallel_imap_unordered, parallel_map
from gitflowrun.errors import MulticoreException, UsageError
from tests.helpers.flows import eventually, latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo


def _children() -> set[str]:
    """Processes that this one has started and not waited for; another test's, if it has left one, are among them."""
    return {
        pid for it in Path("/proc/self/task").glob("*/children") for pid in it.read_text().split()
    }


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    before = _children()
    yield
    assert _children() <= before


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_results_come_in_the_order_of_items() -> None:
    """Whatever ends first, and though neither function nor items can be pickled; nothing of it is left."""
    before = _descriptors()

    def slow_first(item: object) -> int:
        number: int = item.n  # type: ignore[attr-defined]
        time.sleep(0.05 if number == 0 else 0)
        return number * 2

    class Local:
        def __init__(self, n: int) -> None:
            self.n = n

    assert parallel_map(slow_first, (Local(n) for n in range(5)), max_parallel=3) == [0, 2, 4, 6, 8]
    assert _descriptors() == before


def test_each_call_has_a_process_of_its_own() -> None:
    """What a function changes is changed there alone."""
    seen: list[int] = []

    def note(item: int) -> int:
        seen.append(item)
        return os.getpid()

    pids = parallel_map(note, range(3))
    assert len({*pids, os.getpid()}) == 4
    assert seen == []


def test_large_results_and_none_at_all() -> None:
    """More than fits into a pipe; no items make no results."""
    assert [len(it) for it in parallel_map(lambda n: b"x" * n, [5 << 20, 1])] == [5 << 20, 1]
    assert parallel_map(lambda n: n, []) == []


def test_unordered_results_come_as_they_are_made() -> None:
    """The first to end is the first to be there, and items are taken from the iterable only then."""
    taken = []

    def items() -> object:
        for n in range(4):
            taken.append(n)
            yield n

    def last_first(n: int) -> int:
        if n == 0:
            time.sleep(0.3)
        return n

    results = parallel_imap_unordered(last_first, items(), max_parallel=2)  # type: ignore[arg-type]
    assert next(results) == 1
    assert taken == [0, 1]
    assert sorted(results) == [0, 2, 3]


def test_a_failure_names_the_item_and_ends_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    """The error says what was raised, the call's own output has the traceback, and no process stays."""

    def fail(n: int) -> int:
        if n == 1:
            raise ValueError("no luck")
        time.sleep(60)
        return n

    with pytest.raises(MulticoreException, match="item 1 has failed: ValueError: no luck"):
        parallel_map(fail, range(3), max_parallel=3)
    assert "in fail\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by signal 9"),
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os._exit(0), "exit code 0"),
        (lambda: lambda: 1, "has failed: "),  # it can't be pickled
    ],
)
def test_other_ends_of_a_call(way: object, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A killed process, one that has ended itself, and a result that can't be handed back are failures."""
    with pytest.raises(MulticoreException, match=said):
        parallel_map(lambda _: way(), [0])  # type: ignore[operator]
    capfd.readouterr()


def test_giving_up_ends_what_runs() -> None:
    """Whoever takes no more results leaves no process behind."""
    results = parallel_imap_unordered(lambda n: time.sleep(60 * n), [0, 1], max_parallel=2)
    assert next(results) is None
    results.close()  # type: ignore[attr-defined]


def test_no_processes_are_no_number_of_processes() -> None:
    """A limit that nothing fits is a mistake."""
    with pytest.raises(UsageError, match="max_parallel is 0"):
        parallel_map(lambda n: n, [1], max_parallel=0)


def test_in_a_task(repo: GitRepo) -> None:
    """A step may use it; what calls print is output of the task, in whole lines and once."""
    body = (
        "from gitflowrun import parallel_map\n"
        "print('before', end=' ')\n"
        "self.found = parallel_map(lambda n: [print('call', n), n * n][1], range(3), max_parallel=1)"
    )
    repo.write("f.py", linear_flow(body))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.out + done.err
    task = one_task(latest(repo), "start")
    assert value_of(task, "found") == [0, 1, 4]
    assert task.output("stdout") == b"before call 0\ncall 1\ncall 2\n"


def test_an_interrupt_ends_all(repo: GitRepo) -> None:
    """Processes of a step that is killed end with it."""
    body = (
        "from gitflowrun import parallel_map\n"
        "def note(n):\n"
        "    open(f'pid{n}', 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "def die():\n"
        "    while not (os.path.exists('pid0') and os.path.exists('pid1')): time.sleep(0.01)\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "parallel_map(lambda n: note(n) if n < 2 else die(), range(3), max_parallel=3)"
    )
    repo.write("f.py", linear_flow(body))
    done = repo.flow("f.py", "run")
    assert done.code == 1, done.out + done.err
    pids = [int((repo.path / name).read_text()) for name in ("pid0", "pid1")]
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
