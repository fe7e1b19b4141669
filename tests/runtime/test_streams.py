"""Steps that close or replace their streams: what ends them is in the task's log and record all the same."""

from __future__ import annotations

import pytest

from tests.helpers.flows import background, latest, linear_flow, one_task
from tests.helpers.repos import GitRepo

FAIL = "raise ValueError('the real reason')"
WAYS = {
    "none": "sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    "close": "sys.stdout.close(); sys.stderr.close()",
    "no stream": "sys.stdout = sys.stderr = object()",
    "raising": (
        "from unittest.mock import Mock; sys.stderr = sys.stdout = Mock(); "
        "sys.stderr.write = sys.stderr.flush = Mock(side_effect=RuntimeError('no'))"
    ),
    "elsewhere": "import io; sys.stderr = io.StringIO()",
}
DESCRIPTORS = {
    "descriptors": "os.close(1); os.close(2)",
    "null": "fd = os.open('/dev/null', os.O_RDWR); os.dup2(fd, 1); os.dup2(fd, 2)",
    "another file": "os.close(2); os.open('mine', os.O_WRONLY | os.O_CREAT)",
    "low descriptors": "os.closerange(1, 300)",
}


FEW_FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"


def check(repo: GitRepo, kind: str, way: str, first: str = "") -> None:
    """Run a step that treats its streams so, and fails; the module begins with `first`."""
    repo.write("f.py", first + linear_flow(f"{way}\n{FAIL}"))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 1
    assert "step 'start' (task 1) failed: ValueError: the real reason" in done.err
    task = one_task(latest(repo), "start")
    assert task.record.attempts[-1].error == "ValueError: the real reason"
    assert task.output("stderr").endswith(b"ValueError: the real reason\n")
    assert b"Traceback" in task.output("stderr")


@pytest.mark.parametrize("kind", ["fork", "batch", "inline"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_error_is_told_without_streams(repo: GitRepo, kind: str, way: str) -> None:
    """Streams that are None, closed, broken or elsewhere hide nothing."""
    check(repo, kind, way)


@pytest.mark.parametrize("kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", DESCRIPTORS.values(), ids=DESCRIPTORS)
def test_an_error_is_told_without_descriptors(repo: GitRepo, kind: str, way: str) -> None:
    """Descriptors that are closed, or lead elsewhere by now, hide nothing, and nobody's file gets our words."""
    check(repo, kind, way)
    if "mine" in way:
        assert (repo.path / "mine").read_bytes() == b""


def test_an_error_is_told_where_few_files_may_be_open(repo: GitRepo) -> None:
    """A system that allows no high descriptor for it (`ulimit -n 200`) hides nothing, either."""
    check(repo, "fork", "sys.stderr = None", FEW_FILES)


@pytest.mark.parametrize("kind", ["fork", "batch", "inline"])
def test_a_value_that_cannot_be_stored_is_told_without_streams(repo: GitRepo, kind: str) -> None:
    """Its name is in the log."""
    repo.write("f.py", linear_flow("sys.stderr = None; self.lock = __import__('threading').Lock()"))
    assert repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind}).code == 1
    assert b"artifact 'lock'" in one_task(latest(repo), "start").output("stderr")


@pytest.mark.parametrize("kind", ["fork", "batch", "inline"])
def test_tasks_after_a_closed_stream_have_theirs(repo: GitRepo, kind: str) -> None:
    """What one step has closed, the next has open, and an exit handler that prints harms nothing."""
    close = "import atexit; atexit.register(print, 'bye'); sys.stdout.close(); sys.stderr.close()"
    repo.write("f.py", linear_flow(close, "print('again')"))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.err
    assert one_task(latest(repo), "end").output("stdout") == b"again\n"


@pytest.mark.parametrize("kind", ["fork", "batch", "fresh"])
def test_streams_lead_to_pipes_though_the_run_writes_into_a_file(repo: GitRepo, kind: str) -> None:
    """A step may give its streams another encoding, and asks in vain for a place in them."""
    other = (
        "sys.stdout.reconfigure(encoding='latin-1'); sys.stderr.reconfigure(encoding='utf-16-le')"
    )
    say = "print('\\xe9', sys.stdout.seekable(), sys.stdout.mode); print('\\xe9', file=sys.stderr)"
    repo.write("f.py", linear_flow(f"{other}\n{say}"))
    flow = background(repo, "f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert flow.wait() == 0, flow.text
    task = one_task(latest(repo), "start")
    assert task.output("stdout") == b"\xe9 False w\n"
    assert task.output("stderr") == "\xe9\n".encode("utf-16-le")
