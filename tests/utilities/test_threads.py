"""Work by a few threads, or by fewer where the system gives no more."""

from __future__ import annotations

import _thread
import os
import threading
from typing import Any

import pytest
from blake3 import blake3

from gitflowrun.artifacts import digest as digest_module
from gitflowrun.artifacts.digest import digest, digest_all, digest_parts
from gitflowrun.utilities import threads
from gitflowrun.utilities.threads import Workers


@pytest.fixture(params=[0, 1, 9])
def left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many threads the system still gives."""
    real = _thread.start_new_thread
    there_are = [request.param]

    def start(*given: Any) -> int:
        if not there_are[0]:
            raise RuntimeError("can't start new thread")
        there_are[0] -= 1
        return real(*given)

    monkeypatch.setattr("gitflowrun.utilities.threads.start_new_thread", start)
    return int(request.param)


def test_work_is_done_by_as_many_threads_as_there_are(left: int) -> None:
    """Each item is worked on once, in order of results; without threads by the caller; and they are gone then."""
    before = threading.active_count()
    done: list[int] = []

    def work(item: int) -> int:
        done.append(item)
        return item * 2

    with Workers(3) as workers:
        assert workers.count == min(left, 3)
        assert list(workers.map(work, range(50))) == list(range(0, 100, 2))
    assert sorted(done) == list(range(50))
    assert threading.active_count() == before


@pytest.mark.usefixtures("left")
def test_an_error_of_work_is_raised_where_its_result_is_asked_for() -> None:
    """As for other executors."""
    with Workers(2) as workers:
        failed = workers.submit(lambda: 1 // 0)
        assert workers.submit(lambda: 1).result() == 1
        with pytest.raises(ZeroDivisionError):
            failed.result()


@pytest.mark.usefixtures("left")
def test_digests_need_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large payloads have the same digest, however many threads there are."""
    monkeypatch.setattr("gitflowrun.artifacts.digest.HASH_BY_THREADS", 1000)
    monkeypatch.setattr("gitflowrun.artifacts.digest._pool_owner", [])
    views = [memoryview(bytes([number]) * 4000) for number in range(3)]
    assert digest_all(views) == [digest(view) for view in views]
    assert digest_parts(views) == digest(b"".join(views))


def test_how_many_threads_hash_a_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are, of a large one, in the process that has them, where the system gives them; else one."""
    monkeypatch.setattr(digest_module, "HASH_BY_THREADS", 1000)
    for has_pool, owner, size, wanted in (
        (True, [], 999, 1), (True, [], 1000, blake3.AUTO), (False, [], 1000, 1),
        (False, [os.getpid()], 1000, blake3.AUTO), (True, [1], 1000, 1),
    ):  # fmt: skip
        monkeypatch.setattr(digest_module, "_pool_owner", owner)
        monkeypatch.setattr(digest_module, "_may_have_a_pool", lambda has_pool=has_pool: has_pool)
        assert digest_module._threads(size) == wanted
        assert owner in ([], [os.getpid()], [1])


def test_fewer_threads_than_processors_are_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAKE3 would start one for each processor, and end the process where it gets fewer."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3})
    start = threads.start
    left = [1, 1, 1, 1, 1]
    monkeypatch.setattr(threads, "start", lambda work: start(work) if left and left.pop() else None)
    assert [digest_module._may_have_a_pool() for _ in range(2)] == [True, False]
