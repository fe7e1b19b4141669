"""`Runner`: arguments, results, failures and interrupts of flows that a program starts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from gitflowrun import Runner
from gitflowrun.runner.click_api import MetaflowAPI
from gitflowrun.runner.metaflow_runner import ExecutingRun
from tests.helpers.flows import Background, eventually, started
from tests.helpers.repos import GitRepo
from tests.runner.conftest import flow


def test_parameters_and_options(here: GitRepo, capfd: pytest.CaptureFixture[str]) -> None:
    """They are keyword arguments, by the names of attributes as well; the result tells of the run that ended."""
    here.write("f.py", flow("print('said', self.api_token == 'hidden')"))
    arguments = {
        "alpha": 4, "rate": 2, "flag": True, "words": ["x", "y"], "spec": {"a": [1]}, "api_token": "hidden",
        "tags": ["one", "two"], "max_workers": 2, "decospecs": ["retry:times=1"], "user_namespace": "",
    }  # fmt: skip
    with Runner("f.py", show_output=False, quiet=True) as runner:
        result = runner.run(**arguments)
        assert (result.status, result.returncode) == ("successful", 0), result.stderr
        data = result.run.data
        assert data is not None
        assert (data.alpha, data.rate, data.flag, data.words) == (4, 2.0, True, ["x", "y"])
        assert data.spec == {"a": [1]}
        assert result.run.user_tags == {"one", "two"}
        assert "said True" in result.stdout
        assert "executing" not in result.stderr
        assert "hidden" not in " ".join(result.command_obj.command)
        assert Path(result.command_obj.log_files["stdout"]).read_text() == result.stdout
    assert capfd.readouterr() == ("", "")
    with pytest.raises(FileNotFoundError):
        _ = result.stdout


def test_configs(here: GitRepo) -> None:
    """They are given as files, or as values of any kind, before what depends on them is asked for."""
    members = "    c = Config('c', default='c.json')\n    p = Parameter('p', default=config_expr('c.p'))\n"
    here.write("f.py", flow("self.seen = (self.c.p, self.p)", members=members))
    here.write("other.json", '{"p": 2}')
    ways = ({"config_value": [("c", {"p": 1})]}, {"config": [("c", "other.json")]})
    seen = []
    for way in ways:
        with Runner("f.py", show_output=False, **way) as runner:
            for more in ({}, {"p": 9}) if "config" in way else ({},):
                result = runner.run(**more)
                assert result.run.data is not None, result.stderr
                seen.append(result.run.data.seen)
    assert seen == [(1, 1), (2, 2), (2, 9)]
    with Runner("f.py", show_output=False) as runner, pytest.raises(RuntimeError, match=r"c\.json"):
        runner.run()


def test_output_is_shown(here: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    """What the flow's program writes appears on the streams of the one who waits."""
    here.write("f.py", flow("print('from the step')"))
    with Runner("f.py").run() as result:
        shown = capsys.readouterr()
        assert shown.out == result.stdout
        assert "from the step" in shown.out
        assert shown.err == result.stderr
        assert "The flow is valid" in shown.err


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"alpah": 1}, ValueError, "'alpah'; possible are alpha, .*learning_rate.*max_workers"),
        ({"alpha": "4"}, TypeError, "'alpha' is str .*must be int"),
        ({"alpha": True}, TypeError, "must be int"),
        ({"flag": 1}, TypeError, "must be bool"),
        ({"tags": "t"}, TypeError, "must be a list"),
        ({"decospecs": [1]}, TypeError, "must be str"),
        ({"tags": [1]}, TypeError, "must be str"),
        ({"run_id_file": 1}, TypeError, "must be path"),
    ],
)
@pytest.mark.sample(3)
def test_wrong_arguments(
    here: GitRepo, arguments: dict[str, object], error: type[Exception], said: str
) -> None:
    """Names and types are checked before anything runs."""
    here.write("f.py", flow())
    with Runner("f.py") as runner, pytest.raises(error, match=said):
        runner.run(**arguments)
    assert here.git("for-each-ref", "refs/runs") == ""


def test_wrong_options_of_the_program(here: GitRepo) -> None:
    """So are those that stand before the command; None means that nothing is given."""
    here.write("f.py", flow())
    with Runner("f.py", quit=True) as runner, pytest.raises(ValueError, match="quiet"):
        runner.run()
    with Runner("f.py", quiet="x") as runner, pytest.raises(TypeError, match="must be bool"):
        runner.run()


def test_the_command_line_as_calls(here: GitRepo) -> None:
    """Each call gives the words that one would type; words of values stand by themselves."""
    here.write("f.py", flow())
    words = MetaflowAPI.from_cli("f.py")(quiet=True).run(alpha=3, tags=["a b", "-c"])
    file = str(here.path / "f.py")
    options = ["--alpha", "3", "--tag", "a b", "--tag", "-c"]
    assert words == [sys.executable, file, "--quiet", "run", *options]


@pytest.mark.usefixtures("here")
def test_no_file() -> None:
    """A file that is not there is told at once."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py"):
        Runner("nowhere.py")


async def _ended(begun: Awaitable[ExecutingRun]) -> ExecutingRun:
    return await (await begun).wait()


def test_a_failed_run_is_a_result(here: GitRepo) -> None:
    """It raises nothing, and can be resumed with what is mended."""
    here.write("f.py", flow("self.x = 1", "raise ValueError('no luck')"))
    with Runner("f.py", show_output=False) as runner:
        failed = runner.run(alpha=5)
        assert (failed.status, failed.returncode) == ("failed", 1)
        assert failed.run.status == "failed"
        assert "no luck" in failed.stderr
        here.write("f.py", flow("self.x = 2", "print(self.x)"))
        mended = runner.resume(origin_run_id=failed.run.id)
        assert mended.status == "successful", mended.stderr
        assert mended.run.data is not None
        assert (mended.run.data.x, mended.run.data.alpha) == (1, 5)
        again = runner.async_resume(step_to_rerun="start", origin_run_id=failed.run.id)
        anew = asyncio.run(_ended(again))
        assert anew.run.data is not None
        assert anew.run.data.x == 2, anew.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)\n",
            "with 3: .*\nout\n.*\nerr\n",
        ),
        ("x = 1\n", "does the file end with"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "with -9"),
    ],
)
def test_a_program_that_begins_no_run(here: GitRepo, text: str, said: str) -> None:
    """Its output is in the error."""
    here.write("f.py", text)
    with (
        Runner("f.py", show_output=False) as runner,
        pytest.raises(RuntimeError, match=rf"(?s){said}"),
    ):
        runner.run()


def test_a_run_that_is_refused(here: GitRepo) -> None:
    """What the command line refuses, as a run that is not there to be resumed, is an error with its words."""
    here.write("f.py", flow())
    with Runner("f.py", show_output=False) as runner, pytest.raises(RuntimeError, match="no run"):
        runner.resume(origin_run_id="7")


def test_an_odd_path_from_elsewhere(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is found wherever one stands, whatever its name; its program starts in `cwd` with `env`."""
    file = here.write("new\nline/a flow.py", flow("self.seen = (os.getcwd(), os.environ['MINE'])"))
    other = tmp_path / "else where"
    other.mkdir()
    monkeypatch.chdir(other)
    with Runner(file, show_output=False, env={"MINE": "1"}, cwd=other, profile="p") as runner:
        result = runner.run()
        assert result.run.data is not None, result.stderr
        assert result.run.data.seen == (str(other), "1")
        assert runner.env["METAFLOW_PROFILE"] == "p"


def test_async_runs(here: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    """They are there as soon as they have a number, are followed line by line and side by side."""
    body = "open(f'ready{self.alpha}', 'w')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('line')"
    here.write("f.py", flow(body))

    async def main() -> None:
        async with Runner("f.py") as runner:
            first, second = [await runner.async_run(alpha=n) for n in (1, 2)]
            assert (first.status, first.returncode) == ("running", None)
            assert {first.run.id, second.run.id} == {"1", "2"}
            assert not first.run.finished
            here.write("go", "")
            seen = [found async for found in first.stream_log("stdout")]
            assert seen[-1][0] == len(first.stdout.encode())
            assert "\n".join(line for _, line in seen) + "\n" == first.stdout
            again = [line async for _, line in first.stream_log("stdout", position=seen[0][0])]
            assert again == [line for _, line in seen[1:]]
            assert (await second.wait(stream="stdout")) is second
            assert (await first.wait(timeout=60)).status == second.status == "successful"
            with pytest.raises(ValueError, match="no such stream"):
                await first.wait(stream="log")

    asyncio.run(main())
    assert "line\n" in capsys.readouterr().out


def test_a_timeout_ends_the_run(here: GitRepo) -> None:
    """The run is recorded as interrupted, and no process of it stays."""
    here.write("f.py", flow("open('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"))

    async def main() -> None:
        async with Runner("f.py") as runner:
            result = await runner.async_run()
            await result.wait(timeout=0.1)
            assert result.status == "timeout"
            assert result.returncode not in {None, 0}
            assert result.run.status == "interrupted"

    asyncio.run(main())
    pid = here.path / "pid"
    assert not pid.exists() or not Path(f"/proc/{pid.read_text()}").exists()


def test_a_killed_flow(here: GitRepo) -> None:
    """A program that is killed is a failed run, with what it has done."""
    first = "while open('parent').read() == '0': time.sleep(0.01)\nself.x = 1"
    last = "os.kill(int(open('parent').read()), signal.SIGKILL)\ntime.sleep(60)"
    here.write("f.py", flow(first, last))
    here.write("parent", "0")

    async def main() -> None:
        async with Runner("f.py") as runner:
            result = await runner.async_run()
            here.write("parent", str(result.command_obj.process.pid))
            await result.wait()
            assert (result.status, result.returncode) == ("failed", -9)
            assert eventually(lambda: result.run.status != "running", 30)
            task = result.run["start"].task
            assert task is not None
            assert task.data.x == 1

    asyncio.run(main())


def test_giving_up_early(here: GitRepo) -> None:
    """A run that does not begin in time is ended; so is one whose task of asyncio is cancelled."""
    here.write("f.py", "import sys, time\nif 'run' in sys.argv: time.sleep(60)\n" + flow())
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="which options it has"):
        Runner("f.py", show_output=False, file_read_timeout=0.01).run()
    with Runner("f.py", show_output=False) as runner:
        runner.file_read_timeout = 2  # of the run alone
        with pytest.raises(TimeoutError, match="within 2 seconds"):
            runner.run()
        (program,) = runner._commands
        assert program.process.returncode is not None
    assert time.monotonic() - began < 40


CTRL_C = (
    "from gitflowrun import Runner\n"
    "try:\n"
    "    Runner('f.py').run()\n"
    "except KeyboardInterrupt:\n"
    "    print('interrupted here')\n"
)


def test_ctrl_c_is_passed_on(here: GitRepo) -> None:
    """The flow ends in order, its run is recorded as interrupted, and whoever waits gets KeyboardInterrupt."""
    here.write("f.py", flow("print('begun')\ntime.sleep(60)"))
    here.write("p.py", CTRL_C)
    program: Background = started(here, [sys.executable, "p.py"])
    program.wait_for("begun")
    program.ctrl_c()
    assert program.wait(60) == 0, program.text()
    assert "interrupted here" in program.text()
    assert "running" not in here.runs("list").out
    assert "interrupted" in here.runs("list").out


def test_within_a_step(here: GitRepo) -> None:
    """A step may start runs of other flows: they are runs of their own, with an environment of their own."""
    here.write("inner.py", flow("print('inside')", name="Inner"))
    body = (
        "with Runner('inner.py', show_output=False) as runner:\n"
        "    done = runner.run(alpha=9)\n"
        "    self.inner = (done.status, done.run.pathspec, done.run.data.alpha)"
    )
    here.write("f.py", flow(body))
    with Runner("f.py", show_output=False) as runner:
        result = runner.run()
        assert result.run.data is not None, result.stdout
        assert result.run.data.inner == ("successful", "Inner/2", 9)


@pytest.mark.parametrize("option", ["--runner-attribute-file", "--run-id-file"])
@pytest.mark.sample(1)
def test_fifos_wait_for_late_readers(here: GitRepo, option: str) -> None:
    """A run does not wait for who is to read before it goes on, and does not end before somebody late has."""
    here.write("f.py", flow("open('begun', 'w')"))
    os.mkfifo("fifo")
    read: list[str] = []

    def late() -> None:
        eventually(lambda: Path("begun").exists(), 60)
        time.sleep(0.2)
        read.append(Path("fifo").read_text())

    reader = threading.Thread(target=late)
    reader.start()
    assert here.flow("f.py", "run", option, "fifo").code == 0
    reader.join()
    assert read == ["1"] or '"run_id": "1"' in read[0]


def test_signals_stay_as_they_were(here: GitRepo) -> None:
    """Nothing of the program's own handling of signals is changed."""
    here.write("f.py", flow())
    before = signal.getsignal(signal.SIGINT)
    with Runner("f.py", show_output=False) as runner:
        runner.run()
    assert signal.getsignal(signal.SIGINT) is before
