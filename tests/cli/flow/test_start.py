"""The flow's class called where there is no command line of its own."""

from __future__ import annotations

import shlex
import sys
import zipfile
from types import SimpleNamespace

import pytest

from gitflowrun.cli.flow.start import main
from gitflowrun.errors import UsageError
from gitflowrun.flow import FlowSpec, step
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, run_program

_FLOW = """\
from gitflowrun import FlowSpec, step

class F(FlowSpec):
    @step
    def start(self):
        pass

F()
"""


class Small(FlowSpec):
    """One step."""

    @step
    def start(self) -> None:
        """Begin and end."""


@pytest.mark.parametrize("where", ["notebook", "interactive"])
def test_a_notebook_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The kernel's arguments are nobody's command line: an error says how flows are started."""
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    if where == "notebook":
        shell = SimpleNamespace(get_ipython=object)
        monkeypatch.setitem(sys.modules, "IPython", shell)
    else:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(
        UsageError, match=r"notebook .* `!python FILE.py run`; Small\(use_cli=False\)"
    ):
        exec("main(Small)", {"__name__": "__main__", "main": main, "Small": Small})  # as a cell


def test_an_interactive_start_of_a_file_is_a_program(repo: GitRepo) -> None:
    """`python -i flow.py` has a command line like any other."""
    repo.write("f.py", _FLOW)
    done = repo.python("-i", "f.py", "--quiet", "version")
    assert "Usage error" not in done.err
    assert "notebook" not in done.err


def test_an_option_without_its_value_names_the_help(repo: GitRepo) -> None:
    """Click does not say which command it was; the hint is a command that works all the same."""
    repo.write("f.py", _FLOW)
    done = repo.flow("f.py", "--quiet", "run", "--clone")
    assert done.code == 2
    assert "f.py --help`" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["good.py", "run"], 0),
        (["good.py", "run", "--help"], 0),
        (["good.py", "run", "--nope"], 2),
        (["good.py", "resume", "99"], 1),
        (["bad.py", "run"], 1),
        (["failing.py", "run"], 1),
    ],
)
@pytest.mark.sample(3)
def test_nothing_of_ours_is_left_open(repo: GitRepo, words: list[str], code: int) -> None:
    """Python's development mode complains of no descriptor, in none of the processes, whatever comes of it."""
    repo.write("good.py", linear_flow())
    repo.write("bad.py", linear_flow().replace("self.next(self.end)", "self.next(self.nowhere)"))
    repo.write("failing.py", linear_flow("raise ValueError"))
    env = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
    done = repo.python(*words, env=env)
    assert done.code == code, done.err
    assert "ResourceWarning" not in done.err


def test_a_flow_in_an_archive_is_refused(repo: GitRepo) -> None:
    """Its code could not be recorded; what the hint says makes a program of it that runs."""
    with zipfile.ZipFile(repo.path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", linear_flow())
    done = run_program([sys.executable, "app.pyz", "run"], repo.path)
    assert (done.code, repo.git("for-each-ref", "refs/runs")) == (2, "")
    told, hint = done.err.splitlines()[-2:]
    assert "archive" in told
    words = shlex.split(hint.partition(": python ")[2])
    assert run_program([sys.executable, *words], repo.path).code == 0
    assert run_program([sys.executable, words[-1], "run"], repo.path).code == 0
