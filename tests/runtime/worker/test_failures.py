"""What is said of a task whose step has returned and whose values could not be stored."""

from __future__ import annotations

import pytest

from tests.helpers.flows import latest, linear_flow, one_task
from tests.helpers.repos import GitRepo


@pytest.mark.parametrize("kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "MemoryError",
            "the artifacts, of which 'big' is the largest, of step 'start' can't be stored: there is not enough memory",
        ),
        ("RuntimeError('odd')", "gitflowrun failed: RuntimeError: odd"),
    ],
)
def test_a_failure_after_the_step_is_not_called_its_end(
    repo: GitRepo, kind: str, error: str, said: str
) -> None:
    """Want of memory is one line with an artifact's name; a failure of ours is told as one, with where it was."""
    step = (
        "import gitflowrun.artifacts.artifacts as there\n"
        f"def save(*_given): raise {error}\n"
        "there.ArtifactWriter.save = save\nself.big = 'x' * 100\nself.a = 1"
    )
    repo.write("f.py", linear_flow(step))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 1
    assert said in done.err
    assert "before its step had returned" not in done.out + done.err
    task = one_task(latest(repo), "start")
    assert said in (task.record.attempts[-1].error or "")
    assert (b"Traceback" in task.output("stderr")) is (error != "MemoryError")
