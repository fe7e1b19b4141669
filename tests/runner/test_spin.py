"""`Runner.spin` and `async_spin`: programs that spin tasks."""

from __future__ import annotations

import asyncio

import pytest

from gitflowrun import Runner
from tests.helpers.repos import GitRepo
from tests.runner.conftest import flow


@pytest.fixture
def spun(here: GitRepo) -> GitRepo:
    """A flow with a run."""
    here.write(
        "f.py",
        flow("self.x = 1", "print('end', self.x, os.environ.get('MORE'))\nself.y = self.x + 1"),
    )
    assert here.flow("f.py", "run").code == 0
    return here


def test_a_task_is_spun(spun: GitRepo, capfd: pytest.CaptureFixture[str]) -> None:
    """It is waited for, and the result has the task; options are arguments."""
    spun.write("mine.py", "ARTIFACTS = {'x': 10}\n")
    with Runner("f.py", show_output=False, env={"MORE": "yes"}, quiet=True) as runner:
        result = runner.spin("end", persist=True, artifacts_module="mine.py")
        assert (result.status, result.returncode) == ("successful", 0), result.stderr
        assert str(result.task) == "Task('F/spin-1/end/2')"
        assert (result.task.data.y, result.task.stdout) == (11, "end 10 yes\n")
        assert "end 10 yes" in result.stdout
        with runner.spin("1/end/2", persist=False) as second:
            assert second.task.pathspec == "F/spin-2/end/2"
            assert second.task.successful
    assert capfd.readouterr() == ("", "")


def test_failures(spun: GitRepo) -> None:
    """A task that fails is no exception, but its status; one that can't be spun is, with what the program said."""
    text = (spun.path / "f.py").read_text()
    spun.write("f.py", text.replace("print('end'", "1 / 0\n        print('end'"))
    with Runner("f.py", show_output=False) as runner:
        result = runner.spin("end")
        assert (result.status, result.task.successful) == ("failed", False)
        assert "division by zero" in str(result.task.exception)
        with pytest.raises(RuntimeError, match="step 'nope' not found"):
            runner.spin("nope")
        with pytest.raises(
            ValueError, match=r"unknown argument 'persits'; possible are pathspec, .*persist"
        ):
            runner.spin("end", persits=True)
        with pytest.raises(TypeError, match="'persist' is str"):
            runner.spin("end", persist="yes")


def test_one_that_is_not_waited_for(spun: GitRepo) -> None:
    """It has an id, and its task is there while it runs; several run at the same time."""
    text = (spun.path / "f.py").read_text()
    wait = "while not os.path.exists('go'):\n            time.sleep(0.01)\n        print('end'"
    spun.write("f.py", text.replace("print('end'", wait))

    async def both() -> list[str]:
        async with Runner("f.py", show_output=False) as runner:
            first, second = await runner.async_spin("end"), await runner.async_spin("1/end/2")
            told = [first.status, str(first.task), second.status, str(second.task)]
            spun.write("go", "")
            lines = [line async for _, line in first.stream_log("stdout")]
            await asyncio.gather(first.wait(), second.wait())
            assert any("end 1 None" in line for line in lines)
            return [*told, first.status, second.status]

    assert asyncio.run(both()) == [
        "running", "Task('F/spin-1/end/2')", "running", "Task('F/spin-2/end/2')", "successful", "successful",
    ]  # fmt: skip
