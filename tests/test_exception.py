"""Metaflow's names of exceptions: they catch what is raised here, and what flows raise by them is told so."""

from __future__ import annotations

import pickle

import pytest

from gitflowrun import Flow, Run, exception, metaflow_version, version
from gitflowrun.errors import GitflowrunError
from gitflowrun.exception import MetaflowException, MetaflowNotFound
from tests.helpers.flows import latest, linear_flow, one_task
from tests.helpers.repos import GitRepo


def test_every_name_is_one_of_the_tree() -> None:
    """Whatever the module exports is a `MetaflowException`, but for numbers and the wrapper of other exceptions."""
    apart = {
        "METAFLOW_EXIT_ALLOW_RETRY",
        "METAFLOW_EXIT_DISALLOW_RETRY",
        "MetaflowExceptionWrapper",
    }
    for name in {*exception.__all__} - apart:
        assert issubclass(getattr(exception, name), MetaflowException), name
    assert exception.METAFLOW_EXIT_DISALLOW_RETRY == 202


@pytest.mark.usefixtures("repo")
def test_the_client_raises_what_metaflow_calls_so(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that is not there, and an address that can't be one."""
    monkeypatch.chdir(repo.path)
    with pytest.raises(MetaflowNotFound):
        Flow("Nothing")
    with pytest.raises(exception.MetaflowInvalidPathspec):
        Run("a/b/c")
    with pytest.raises(MetaflowException) as caught:
        Run("a/1")
    assert caught.value.headline == "Object not found"


def test_attributes_of_an_exception() -> None:
    """Message, line and file by both names, in the text too; they survive pickling."""
    error = MetaflowException("no luck", 3, "f.py")
    assert (error.message, error.line_no, error.source_file) == ("no luck", 3, "f.py")
    assert str(error) == "f.py:3: no luck"
    assert MetaflowException(msg="x", lineno=1, source_file=None).line_no == 1
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    ours = GitflowrunError("no luck", 3, "f.py", hint="try")
    assert (ours.line_no, ours.source_file) == (3, "f.py")
    assert MetaflowException.headline == "Flow failed"


def test_the_wrapper_of_an_exception() -> None:
    """It is made of the exception, as in Metaflow, and survives pickling."""
    wrapped = exception.MetaflowExceptionWrapper(ValueError("z"))
    assert (wrapped.type, wrapped.exception) == ("builtins.ValueError", "z")
    assert str(wrapped) == wrapped.stacktrace == "ValueError: z\n"
    assert pickle.loads(pickle.dumps(wrapped)) == wrapped


MINE = (
    "from gitflowrun.exception import MetaflowException\n"
    "class Mine(MetaflowException):\n"
    "    headline = 'My headline'\n"
    "    def __init__(self, n):\n"
    "        super().__init__(msg=f'number {n}')\n"
)


def test_a_step_that_raises_one(repo: GitRepo) -> None:
    """Its headline and message are told with the place, no traceback; the flow ends with 1, the run has the text."""
    repo.write("f.py", linear_flow("raise Mine(3)", head=MINE))
    done = repo.flow("f.py", "run")
    assert done.code == 1
    assert "My headline: number 3" in done.out
    assert "f.py, line " in done.out
    assert "Traceback" not in done.out
    task = one_task(latest(repo), "start")
    assert task.record.attempts[-1].error == "Mine: number 3"


def test_merge_errors_are_two(repo: GitRepo) -> None:
    """A step can tell disagreement from absence."""
    head = "from gitflowrun.exception import *\n"
    text = (
        "from gitflowrun import FlowSpec, step\n" + head + "class F(FlowSpec):\n"
        "    @step\n    def start(self):\n        self.next(self.a, self.b)\n"
        "    @step\n    def a(self):\n        self.x = 1\n        self.next(self.j)\n"
        "    @step\n    def b(self):\n        self.x = 2\n        self.next(self.j)\n"
        "    @step\n    def j(self, inputs):\n"
        "        try:\n            self.merge_artifacts(inputs)\n"
        "        except UnhandledInMergeArtifactsException as error:\n"
        "            self.disputed = error.artifact_names\n"
        "        try:\n            self.merge_artifacts(inputs, include=['y'])\n"
        "        except MissingInMergeArtifactsException as error:\n"
        "            self.missing = error.artifact_names\n"
        "        self.next(self.end)\n"
        "    @step\n    def end(self):\n        print(self.disputed, self.missing)\n"
        "if __name__ == '__main__':\n    F()\n"
    )
    repo.write("f.py", text)
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.out + done.err
    assert "['x'] ['y']" in done.out


def test_parameter_functions_have_exceptions_of_their_own(repo: GitRepo) -> None:
    """One that fails, and one that returns another type."""
    for what, headline in (
        ("lambda ctx: 1 / 0", "Parameter field failed"),
        ("lambda ctx: 'x', type=int", "Parameter field with a mismatching type"),
    ):
        text = linear_flow().replace(
            "    @step\n", f"    p = Parameter('p', default={what})\n    @step\n", 1
        )
        repo.write("f.py", text)
        done = repo.flow("f.py", "run")
        assert done.code == 1
        assert f"{headline}: " in done.err


def test_the_version_by_metaflows_module() -> None:
    """`metaflow_version.get_version` is `get_version`."""
    assert metaflow_version.get_version is version.get_version
