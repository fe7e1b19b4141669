"""`self.cmd`: files in, files out, the output of the command in the task's, and its failures."""

from __future__ import annotations

from tests.helpers.flows import latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo


def test_files_in_and_out(repo: GitRepo) -> None:
    """Texts and bytes are written, in directories that are made; one file is returned as bytes, several as a list."""
    body = (
        "self.one = self.cmd('cat a new/b > c; echo said; echo heard >&2', "
        "input={'a': b'A', 'new/b': 'B'}, output=['c'])\n"
        "self.two = self.cmd('cp c d', output=['c', 'd'])\n"
        "self.none = self.cmd('true')"
    )
    repo.write("f.py", linear_flow(body))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.out + done.err
    task = one_task(latest(repo), "start")
    assert [value_of(task, name) for name in ("one", "two", "none")] == [b"AB", [b"AB", b"AB"], []]
    assert (task.output("stdout"), task.output("stderr")) == (b"said\n", b"heard\n")


def test_failures(repo: GitRepo) -> None:
    """A bad exit code, a signal, a missing file and a wrong argument, each told in a sentence."""
    body = (
        "from gitflowrun.exception import ExternalCommandFailed, MetaflowException\n"
        "self.told = []\n"
        "for line, more in [('exit 3', {}), ('kill -9 $$', {}), ('true', {'output': ['x']}), "
        "('true', {'output': 'x'}), ('true', {'input': 'x'})]:\n"
        "    try:\n"
        "        self.cmd(line, **more)\n"
        "    except MetaflowException as error:\n"
        "        self.told.append((isinstance(error, ExternalCommandFailed), error.message))"
    )
    repo.write("f.py", linear_flow(body))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.out + done.err
    assert value_of(one_task(latest(repo), "start"), "told") == [
        (True, "the command 'exit 3' returned exit code 3"),
        (True, "the command 'kill -9 $$' was killed by signal 9"),
        (True, "the command 'true' has not made 'x': No such file or directory"),
        (False, "self.cmd: `output` is text"),
        (False, "self.cmd: `input` is str"),
    ]
