"""What tasks write: all of it, in order, with times, within limits, while they run and afterwards."""

from __future__ import annotations

import time

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.line_times import decode_times
from gitflowrun.runtime.scheduler.logs import TaskLog
from tests.helpers.flows import latest, linear_flow, one_task
from tests.helpers.repos import GitRepo

TASK = TaskName("start", "1")


def test_lines_come_out_whole_however_they_come_in() -> None:
    """Pieces are put together, several lines in one piece are told apart, the last one needs no end."""
    log = TaskLog(1000)
    assert log.feed("stdout", b"one\ntw", 1.0) == ["one"]
    assert log.feed("stderr", b"error\n", 1.5) == ["error"]
    assert log.feed("stdout", b"o\nthree\nfo", 2.0) == ["two", "three"]
    assert log.feed("stdout", b"ur", 3.0) == []
    assert log.end("stdout", 4.0) == ["four"]
    assert log.output("stdout") == b"one\ntwo\nthree\nfour"
    assert decode_times(log.times()) == ([1.0, 1.0, 2.0, 2.0], [1.5])


def test_bytes_that_are_no_text_are_kept_and_shown_as_well_as_possible() -> None:
    """The record has the very bytes."""
    log = TaskLog(1000)
    assert log.feed("stdout", b"caf\xe9\n", 1.0) == ["caf\ufffd"]
    assert log.output("stdout") == b"caf\xe9\n"


def test_more_than_the_limit_is_cut_and_says_so() -> None:
    """What was written first is kept; words of the runtime still find room."""
    log = TaskLog(10)
    log.feed("stderr", b"123456\n", 1.0)
    assert log.feed("stderr", b"abcdef\nmore\n", 2.0) == ["abcdef", "more"]
    log.feed("stderr", b"even more\n", 3.0)
    log.say("Task failed.", 4.0)
    cut = b"123456\nabc\n[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]\nTask failed.\n"
    assert log.output("stderr") == cut
    _, times = decode_times(log.times())
    assert times == [1.0, 2.0, 2.0, 4.0]


def test_a_line_without_an_end_is_shown_in_pieces() -> None:
    """It takes no more memory than is kept of it, and counts as one line."""
    log = TaskLog(100_000)
    shown = []
    for _ in range(50):
        shown += log.feed("stdout", b"x" * 10_000, 1.0)
    shown += log.end("stdout", 4.0)
    assert sum(map(len, shown)) == 500_000
    assert len(shown) < 10
    times, _ = decode_times(log.times())
    assert len(times) == 2


def test_a_line_that_draws_itself_again_is_known_as_it_looks_now() -> None:
    """What a progress bar shows, before its line has an end."""
    log = TaskLog(1000)
    log.feed("stderr", b"begun\n\rbar 1\rbar", 1.0)
    assert log.unfinished("stderr") == "bar"
    log.feed("stderr", b" 2\r", 1.0)
    assert log.unfinished("stderr") == "bar 2"
    assert log.take("stderr") == b"begun\n\rbar 1\rbar 2\r"
    log.feed("stderr", b"\n", 1.0)
    assert (log.unfinished("stderr"), log.take("stderr")) == ("", b"\n")


@pytest.mark.parametrize(("kind", "count"), [("fork", 40_000), ("fresh", 10_000)])
def test_nothing_of_a_lot_of_output_is_lost(repo: GitRepo, kind: str, count: int) -> None:
    """Up to 80,000 lines on both streams, a 5 MB line, bytes that are no text, output of programs: in order."""
    repo.write(
        "f.py",
        linear_flow(
            f"for i in range({count}):\n"
            "    print(i)\n"
            "    print(i, file=sys.stderr)\n"
            "os.write(1, b'y' * 5_000_000 + b'\\n\\xff\\xfe\\n')\n"
            "os.system('echo from a program; echo and an error >&2')\n"
            "sys.stdout.write('no end')",
            head="print('module level')",
        ),
    )
    begun = time.time()
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.err[-1000:]
    task = one_task(latest(repo), "start")
    numbers = b"".join(b"%d\n" % i for i in range(count))
    first = b"module level\n" if kind == "fresh" else b""
    odd = b"y" * 5_000_000 + b"\n\xff\xfe\n"
    assert task.output("stdout") == first + numbers + odd + b"from a program\nno end"
    assert task.output("stderr") == numbers + b"and an error\n"
    lines = list(task.lines("stdout"))
    assert lines[-1][1] == "no end"
    moments = [moment for moment, _ in lines if moment is not None]
    assert len(moments) == len(lines)
    assert begun <= moments[0] <= moments[-1] <= time.time()
    assert done.out.count("module level") == 1 + 2 * (kind == "fresh")


def test_logging_set_up_by_the_module_writes_into_the_tasks_log(repo: GitRepo) -> None:
    """A handler that holds the streams of the launcher process writes to the task that uses it."""
    head = "import logging\nlogging.basicConfig(format='LOG %(message)s')"
    repo.write(
        "f.py", linear_flow("logging.warning('careful')", "print('é€', flush=False)", head=head)
    )
    done = repo.flow(
        "f.py", "run", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    )
    assert done.code == 0, done.err
    run = latest(repo)
    assert one_task(run, "start").output("stderr") == b"LOG careful\n"
    assert one_task(run, "end").output("stdout") == "é€\n".encode()


def test_the_limit_of_a_log_is_an_option(repo: GitRepo) -> None:
    """--max-log-size counts megabytes per task and stream."""
    repo.write("f.py", linear_flow("for _ in range(30): print('z' * 99_999)"))
    assert repo.flow("f.py", "run", "--max-log-size", "1").code == 0
    kept = one_task(latest(repo), "start").output("stdout")
    assert len(kept) < 1_100_000
    assert kept.endswith(b"[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]\n")
