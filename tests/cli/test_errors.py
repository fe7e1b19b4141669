"""How errors are told, and with which exit codes programs end."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gitflowrun.cli.errors import FLOW, GIT, Dialect, exit_code_of, invoke, report_error
from gitflowrun.errors import GitflowrunError, InvalidNext, NotFound, UsageError
from tests.helpers.repos import ROOT, make_repo, run_program
from tests.helpers.runs import make_run


def _raise(error: BaseException) -> int:
    raise error


def test_git_runs_speaks_as_git(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of `git runs` is `fatal:` and `hint:` lines on stderr and exit code 128."""
    error = NotFound("no run 99", hint="the newest are 4 and 3\n`git runs` lists all")
    assert exit_code_of(lambda: _raise(error), GIT) == 128
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("fatal: no run 99\nhint: the newest are 4 and 3\nhint: `git runs` lists all\n")


def test_a_wrong_use_of_git_runs_is_129(capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error ends `git runs` with git's 129."""
    assert exit_code_of(lambda: _raise(UsageError("'lst' is no command")), GIT) == 129
    assert capsys.readouterr().err == "error: 'lst' is no command\n"


def test_flow_files_speak_as_metaflow(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of a flow file starts with its headline and says where; exit code 1, or 2 for usage."""
    error = InvalidNext("no step x", line=3, source="f.py", hint="define it")
    assert report_error(error, FLOW) == 1
    assert report_error(UsageError("what?"), FLOW) == 2
    assert capsys.readouterr().err == (
        f"{InvalidNext.headline}: f.py:3: no step x\nhint: define it\nUsage error: what?\n"
    )


def test_an_error_can_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in messages and hints are shown as escapes; line breaks stay."""
    report_error(NotFound("tag \x1b]0;x\x07\nnext", hint="\x9b2J"), GIT)
    assert capsys.readouterr().err == "fatal: tag \\e]0;x\\x07\nnext\nhint: \\x9b2J\n"


def test_the_users_code_does_not_end_a_command_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`sys.exit` in code of the user's that a command calls is told, and is no success."""
    for code in (0, 3, None, "bye"):
        command = click.Command("c", callback=lambda code=code: sys.exit(code))
        assert invoke(command, [], "f.py", FLOW) == 1
        assert (
            f"Flow error: the flow's code has called sys.exit({code!r})" in capsys.readouterr().err
        )


def test_no_traceback_unless_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's mistake shows a traceback only with GITFLOWRUN_DEBUG=1."""
    exit_code_of(lambda: _raise(NotFound("no")), GIT)
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("GITFLOWRUN_DEBUG", "1")
    exit_code_of(lambda: _raise(NotFound("no")), GIT)
    assert "Traceback" in capsys.readouterr().err


def test_the_system_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the operating system names the file and what the system said."""
    full = OSError(errno.ENOSPC, "No space left on device", "/repo/x")
    assert exit_code_of(lambda: _raise(full), GIT) == 128
    assert capsys.readouterr().err == "fatal: /repo/x: No space left on device\n"


_LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    "from gitflowrun.cli.git_runs.main import program; program()"
)


def test_what_could_not_be_written_is_named(tmp_path: Path) -> None:
    """Where the repository takes no more bytes, the error speaks of it and not of the output, which is fine."""
    repo, server = make_repo(tmp_path / "r"), make_repo(tmp_path / "server")
    repo.git("remote", "add", "origin", str(server.path))
    make_run(repo)
    assert repo.runs("push").code == 0
    make_run(server)
    done = run_program([sys.executable, "-c", _LIMITED, "fetch"], repo.path)
    assert done.code == 128
    assert (
        "can't read from 'origin': git was ended by signal 25 (File size limit exceeded: `ulimit -f` "
        in done.err
    )
    assert "the output can't be written" not in done.err


def test_output_that_could_not_be_written_is_said_to_be(tmp_path: Path) -> None:
    """A full device behind standard output is no fault of the repository."""
    repo = make_repo(tmp_path / "r")
    make_run(repo)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "show", "1", "--json"],
            cwd=repo.path, stdout=full, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 128
    assert "fatal: the output can't be written: No space left on device" in done.stderr


@pytest.mark.parametrize(("dialect", "code"), [(GIT, 128), (FLOW, 1)])
def test_a_bug_of_ours_shows_where(
    dialect: Dialect, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw shows its traceback and asks for a report."""
    assert exit_code_of(lambda: _raise(ZeroDivisionError("x")), dialect) == code
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "internal error" in err


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a command with 130 and no words."""
    assert exit_code_of(lambda: _raise(KeyboardInterrupt()), GIT) == 130
    assert capsys.readouterr().err == "\n"


_INTERRUPTED = (
    "import os, signal, sys\n"
    "class Interrupt:\n"
    "    def find_spec(self, name, *_):\n"
    "        name == 'gitflowrun.cli.git_runs.main' and os.kill(os.getpid(), signal.SIGINT)\n"
    "sys.meta_path.insert(0, Interrupt())\n"
    "from gitflowrun.cli.git_runs.console_script import program; program()"
)


@pytest.mark.parametrize(
    ("before", "code"),
    [("", -signal.SIGINT), ("import signal; signal.signal(2, signal.SIG_IGN)\n", 0)],
)
def test_an_interrupt_while_modules_are_loaded_is_quiet(
    before: str, code: int, tmp_path: Path
) -> None:
    """It ends the program without a word, unless whoever has started it has it ignored."""
    done = run_program([sys.executable, "-c", before + _INTERRUPTED, "version"], tmp_path)
    assert (done.code, done.err) == (code, "")


def test_a_reader_that_leaves_is_no_error() -> None:
    """`| head` ends a command as SIGPIPE ends git: 141, nothing on stderr."""
    code = (
        "import sys\nfrom gitflowrun.cli.errors import GIT, exit_code_of\n"
        "def body():\n    for i in range(100000): print(i)\n    return 0\n"
        "sys.exit(exit_code_of(body, GIT))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


@click.command()
@click.option("--number", type=int)
def _command(number: int | None) -> int:
    if number is None:
        raise click.Abort
    if number < 0:
        raise click.ClickException("negative")
    return number


def test_click_commands_return_their_exit_code() -> None:
    """What a command returns is its exit code; None is 0."""
    assert invoke(_command, ["--number", "1"], "git runs x", GIT) == 1
    assert invoke(click.Command("x", callback=lambda: None), [], "git runs x", GIT) == 0


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """--help prints to stdout and ends with 0."""
    assert invoke(_command, ["--help"], "git runs x", GIT) == 0
    assert "--number INTEGER" in capsys.readouterr().out


def test_a_wrong_option_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is 129 in git runs and 2 in flow files, on stderr, with the usage line."""
    assert invoke(_command, ["--number", "x"], "git runs x", GIT) == 129
    assert capsys.readouterr().err == (
        "error: Invalid value for '--number': 'x' is not a valid integer\n"
        "usage: git runs x [OPTIONS]\nhint: see `git runs x --help`\n"
    )
    assert invoke(_command, ["--nunber", "1"], "f.py run", FLOW) == 2
    err = capsys.readouterr().err
    assert err.startswith("Usage: f.py run [OPTIONS]\n")
    assert "--nunber" in err


def test_a_list_of_choices_has_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """Click lists those of a missing argument with tabs, which are ours, and no stranger's commands."""
    command = click.Command("x", params=[click.Argument(["shell"], type=click.Choice(["a", "b"]))])
    assert invoke(command, [], "git runs x", GIT) == 129
    told = capsys.readouterr().err
    assert "\n    a,\n    b" in told
    assert "\\t" not in told


def test_click_errors_and_aborts_are_told_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Click's own errors take the dialect's form."""
    assert invoke(_command, ["--number", "-1"], "git runs x", GIT) == 128
    assert capsys.readouterr().err == "fatal: negative\n"
    assert invoke(_command, [], "git runs x", GIT) == 130


def test_every_error_has_an_exit_code_for_flow_files() -> None:
    """No error of the tree ends a flow file with success."""
    kinds = [GitflowrunError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert all(kind.exit_code in {1, 2} for kind in kinds)


def test_long_values_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Their beginning and end are, in click's errors and ours; paths, texts and what is shorter are whole."""
    digits = "1" * 4_990 + "2" * 10
    assert invoke(_command, ["--number", f"{digits}x"], "git runs x", GIT) == 129
    shown = f"'{'1' * 99}…{'1' * 8}{'2' * 10}x'"
    assert (
        f"Invalid value for '--number': {shown} is not a valid integer" in capsys.readouterr().err
    )
    for text in (f"no run {digits}", f"no run x={digits}."):
        report_error(NotFound(text), GIT)
        assert len(capsys.readouterr().err) < 150
    for text in ("/".join(["a" * 255] * 16), "x" * 511, "語" * 600, "many words " * 100):
        report_error(NotFound(text), GIT)
        assert capsys.readouterr().err == f"fatal: {text}\n"
