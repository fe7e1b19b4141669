"""Secret parameters from end to end: tasks see them, and nothing of them is in git, on disk or on a terminal."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers.flows import family, latest, one_task, started
from tests.helpers.repos import ROOT, GitRepo, Output, make_repo

SECRET = 'Xy"7/planted é'
FLOW = '''
import base64, json, os, resource, sys, time, urllib.parse
from gitflowrun import FlowSpec, Parameter, step

class Vault(FlowSpec):
    """Uses a password in every way that programs know."""

    entry = Parameter("entry", secret=True, required=True)
    codes = Parameter("code", secret=True, type=int, multiple=True)
    label = Parameter("label", default="x")

    @step
    def start(self):
        secret, asked = self.entry, os.environ.get("DO", "")
        print("it is", secret, "or", repr(secret), json.dumps([secret]), urllib.parse.quote(secret))
        for before in ("", "u", "us"):
            print(base64.b64encode((before + secret + ":").encode()).decode())
        for letter in secret:
            sys.stderr.write(letter)
            sys.stderr.flush()
        print("core files up to", resource.getrlimit(resource.RLIMIT_CORE)[0])
        print("seen", len(secret), self.codes == tuple(map(int, os.environ.get("CODES", "").split())))
        if asked == "fail":
            raise ValueError(f"connection to db://u:{secret}@host was refused")
        if asked == "wait":
            time.sleep(60)
        if asked == "copy":
            self.copied = {"password": [secret]}
        if asked == "number":
            self.copied = self.codes[0]
        self.useful = 42
        self.next(self.end)

    @step
    def end(self):
        print("again", len(self.entry))
        self.done = True

if __name__ == "__main__":
    Vault()
'''
FORMS = [
    SECRET.encode(),
    json.dumps(SECRET)[1:-1].encode(),
    quote(SECRET).encode(),
    *(
        base64.b64encode(b"u" * n + SECRET.encode())[-(-n * 8 // 6) : -3].removesuffix(b"=")
        for n in range(3)
    ),
]


def _found(repo: GitRepo, *outputs: Output) -> list[str]:
    """Where a form of the secret is: in objects, in files of the git directory, in what was printed."""
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        cwd=repo.path, capture_output=True, check=True,
    ).stdout  # fmt: skip
    places = {"an object": objects}
    places |= {str(it): it.read_bytes() for it in repo.path.rglob(".git/**/*") if it.is_file()}
    for number, output in enumerate(outputs):
        places[f"output {number}"] = (output.out + output.err).encode()
    return [
        f"{form!r} in {name}" for name, data in places.items() for form in FORMS if form in data
    ]


def _with(**variables: str) -> dict[str, str]:
    return {"GITFLOWRUN_RUN_ENTRY": SECRET, **variables}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run that got its secret from the command line, and one that failed."""
    repo = make_repo(tmp_path_factory.mktemp("vault") / "r", files={"vault.py": FLOW})
    done = repo.flow(
        "vault.py", "run", "--entry", SECRET, "--code", "123456", env={"CODES": "123456"}
    )
    failed = repo.flow("vault.py", "run", env=_with(DO="fail"))
    assert (done.code, failed.code) == (0, 1), done.err + failed.err
    assert "seen 14 True" in done.out
    assert "again 14" in done.out
    assert not _found(repo, done, failed)
    return repo


def test_git_gets_stars_and_a_keyed_hash(vault: GitRepo) -> None:
    """Parameters, subject, argv, artifacts and the view of the end say `***`; the hash is told by no other key."""
    subject = vault.git("log", "--format=%s", "--reverse", "runs/Vault/1").split("\n")[0]
    assert subject == "Vault/1: entry=*** code=*** label=x"
    shown = json.loads(vault.call("show", "1", "--json").out)
    assert shown["parameters"]["entry"] == "***"
    assert vault.git("show", "runs/Vault/1:data/entry.txt") == "***"
    assert vault.call("cat", "1/_parameters/0/entry").out.strip() == "***"


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
def test_errors_say_nothing(vault: GitRepo, isolation: str) -> None:
    """Traceback, error and exception of a failed task are there without the secret, however tasks are executed."""
    failed = vault.flow("vault.py", "run", env=_with(DO="fail", GITFLOWRUN_ISOLATION=isolation))
    assert failed.code == 1
    assert not _found(vault, failed)
    task = one_task(latest(vault), "start")
    assert task.record.attempts[-1].error == "ValueError: connection to db://u:***@host was refused"
    assert b"db://u:***@host" in task.output("stderr")
    assert b"core files up to 0\n" in task.output("stdout")
    assert "_exception" in task.record.artifacts


def test_a_killed_run_leaves_nothing_behind(vault: GitRepo) -> None:
    """Neither its live state nor the command lines of its processes, which show the program and no secret."""
    env = {"DO": "wait", "CODES": "", "MARK": "a-run-to-be-killed"}
    command = [sys.executable, "vault.py", "run", "--entry", SECRET]
    run = started(vault, command, env, is_fresh=True)  # which hides what is in its own words
    run.wait_for("seen 14")
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family("a-run-to-be-killed")]
    assert len(commands) >= 4
    assert not [it for it in commands for form in FORMS if form in it]
    assert any(b"--entry\0***" in it for it in commands)
    for pid in family("a-run-to-be-killed"):
        with contextlib.suppress(ProcessLookupError):  # it has died with the one before
            os.kill(pid, 9)
    run.wait()
    assert not _found(vault, Output(0, run.text(), ""))


@pytest.mark.parametrize(
    ("what", "codes"), [("copy", ""), ("number", "1234567890123")], ids=["copy", "number"]
)
def test_an_artifact_that_holds_a_secret_is_refused(vault: GitRepo, what: str, codes: str) -> None:
    """The task fails and names it; what else it has made is stored."""
    env = _with(DO=what, CODES=codes, GITFLOWRUN_RUN_CODE=codes)
    failed = vault.flow("vault.py", "run", env=env)
    assert failed.code == 1
    secret = "self.entry" if what == "copy" else "self.codes"
    assert (
        f"artifact 'copied' is not stored: it holds the value of the secret parameter {secret}"
        in failed.err
    )
    artifacts = one_task(latest(vault), "start").record.artifacts
    assert "copied" not in artifacts
    assert "useful" in artifacts
    assert not _found(vault, failed)


def test_no_other_parameter_and_no_tag_may_hold_a_secret(vault: GitRepo) -> None:
    """Both would be recorded: there is no run."""
    before = vault.git("for-each-ref")
    one = vault.flow("vault.py", "run", "--label", f"db://u:{SECRET}@h", env=_with())
    other = vault.flow("vault.py", "run", "--tag", f"of {SECRET}", env=_with())
    assert (one.code, other.code) == (2, 2)
    assert "parameter 'label' holds the value of the secret parameter 'entry'" in one.err
    assert "a tag holds the value of a secret parameter" in other.err
    assert vault.git("for-each-ref") == before
    assert not _found(vault, one, other)


def test_a_value_of_the_wrong_type_is_not_repeated(vault: GitRepo) -> None:
    """Neither from the command line nor from the environment, nor what lacks its quotes."""
    typed = vault.flow("vault.py", "run", "--entry", "x", "--code", SECRET)
    found = vault.flow("vault.py", "run", "--entry", "x", env={"METAFLOW_RUN_CODE": SECRET})
    assert (typed.code, found.code) == (2, 2)
    assert "the value that was given is none of its type" in typed.err
    assert "(from the environment variable METAFLOW_RUN_CODE)" in found.err
    split = vault.flow("vault.py", "run", "--entry", "x", SECRET)
    assert split.code == 2
    assert "A secret with spaces in it needs quotes" in split.err
    assert not _found(vault, typed, found, split)


def test_variables_that_are_recorded_say_nothing(vault: GitRepo) -> None:
    """Neither one that gives a secret, short ones included, nor one that holds it, though the user lists them."""
    vault.git("config", "runs.env", "METAFLOW_RUN_CODE OTHER PLAIN")
    env = _with(METAFLOW_RUN_CODE="12", CODES="12", OTHER=f"u:{SECRET}", PLAIN="x")
    done = vault.flow("vault.py", "run", env=env)
    vault.git("config", "--unset", "runs.env")
    assert done.code == 0, done.err
    variables = latest(vault).info.environment["variables"]
    assert (variables["OTHER"], variables["PLAIN"]) == ("u:***", "x")
    assert "METAFLOW_RUN_CODE" not in variables
    assert not _found(vault, done)


def test_resume_asks_again_and_takes_no_other_value(vault: GitRepo) -> None:
    """Without a value, or with another one, there is no run: exit 2, and words that name the variable."""
    missing = vault.flow("vault.py", "resume", "2")
    other = vault.flow("vault.py", "resume", "2", env={"GITFLOWRUN_RUN_ENTRY": "planted another"})
    right = vault.flow("vault.py", "resume", "2", env=_with())
    assert (missing.code, other.code, right.code) == (2, 2, 0), right.err
    assert "parameter 'entry' must be given" in missing.err
    assert "GITFLOWRUN_RUN_ENTRY=VALUE" in missing.err
    assert "the value of the secret parameter 'entry' is not the one" in other.err
    assert "planted another" not in other.out + other.err
    assert "again 14" in right.out
    assert not _found(vault, missing, other, right)
    again = vault.flow(
        "vault.py", "resume", str(latest(vault).id), env=_with(METAFLOW_RUN_ENTRY="no")
    )
    assert again.code == 0, again.err


def test_a_clone_of_a_run_asks_again_and_takes_no_other_value(vault: GitRepo) -> None:
    """The option and the variable count alike."""
    code = {"METAFLOW_RUN_CODE": "123456"}
    missing = vault.flow("vault.py", "run", "--clone", "1", env=code)
    other = vault.flow(
        "vault.py",
        "run",
        "--clone",
        "1",
        "--entry",
        "planted another",
        env={"METAFLOW_RUN_CODE": "123456"},
    )
    right = vault.flow(
        "vault.py", "run", "--clone", "1", "--entry", SECRET,
        env={**code, "CODES": "123456"},
    )  # fmt: skip
    assert (missing.code, other.code, right.code) == (2, 2, 0), right.err
    assert "set GITFLOWRUN_RUN_ENTRY, or add --entry VALUE" in missing.err
    assert "seen 14 True" in right.out
    assert latest(vault).info.parameters == {"entry": "***", "code": "***", "label": "x"}
    assert not _found(vault, missing, other, right)


def test_another_clone_cannot_compare_and_says_so(vault: GitRepo, tmp_path: Path) -> None:
    """What proves a value never leaves the clone that was given it."""
    vault.git("clone", "-q", str(vault.path), str(tmp_path / "other"))
    other = GitRepo(tmp_path / "other")
    other.git("fetch", "-q", "origin", "refs/runs/Vault/2:refs/runs/Vault/2")
    resumed = other.flow("vault.py", "resume", "2", env={"GITFLOWRUN_RUN_ENTRY": "planted another"})
    assert resumed.code == 0, resumed.err
    assert "can't be compared with the one before" in resumed.err
    again = other.flow("vault.py", "resume", str(latest(other).id), env=_with())
    assert again.code == 2


def test_runs_with_different_secrets_are_told_apart(vault: GitRepo) -> None:
    """`diff` says that they differ, and neither value."""
    vault.flow("vault.py", "run", env={"GITFLOWRUN_RUN_ENTRY": "planted another"})
    said = vault.call("diff", "2", str(latest(vault).id)).out
    assert re.search(r"entry +\*\*\* <\w{7}> +-> +\*\*\* <\w{7}>", said), said


def _on_a_terminal(repo: GitRepo, answer: bytes, *words: str) -> tuple[int, str]:
    """Run a flow on a terminal and answer its first question; the exit code and all that the terminal shows."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(repo.path)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, *words])
    shown = b""
    for data in _read(terminal):
        shown += data
        if answer and shown.endswith(b": "):
            os.write(terminal, answer)
            answer = b""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            return
        yield data


def test_a_terminal_is_asked_and_shows_nothing(vault: GitRepo) -> None:
    """The question names parameter and run; the answer is not echoed; an interrupt ends it."""
    code, shown = _on_a_terminal(vault, SECRET.encode() + b"\n", "vault.py", "resume", "2")
    assert code == 0, shown
    assert "Value of the secret parameter 'entry' of Vault/2: " in shown
    assert "again 14" in shown
    assert not [form for form in FORMS if form in shown.encode()]
    code, shown = _on_a_terminal(vault, b"\x03", "vault.py", "resume", "2")
    assert code == 130, shown


NAMES = """
from gitflowrun import FlowSpec, IncludeFile, Parameter, step

class Names(FlowSpec):
    {lines}

    @step
    def start(self):
        print("has", self.db_password)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Names()
"""


def _names(repo: GitRepo, *lines: str) -> None:
    repo.write("names.py", NAMES.format(lines="\n    ".join(lines)))


def test_a_parameter_that_is_called_like_a_secret_is_one(repo: GitRepo) -> None:
    """One warning says so; `secret=False` ends it, and the value is recorded as any other."""
    _names(repo, 'db_password = Parameter("db-password", default="")')
    done = repo.flow("names.py", "--quiet", "run", "--db-password", "open-sesame")
    assert done.code == 0, done.err
    assert done.err.count("warning:") == 1
    assert "warning: parameter 'db-password' counts as secret because of its name" in done.err
    assert "has ***" in done.out
    assert latest(repo).info.parameters == {"db-password": "***"}
    _names(repo, 'db_password = Parameter("db-password", default="", secret=False)')
    done = repo.flow("names.py", "--quiet", "run", "--db-password", "open-sesame")
    assert "warning" not in done.err
    assert latest(repo).info.parameters == {"db-password": "open-sesame"}


def test_a_value_that_is_too_short_is_hidden_in_records_alone(repo: GitRepo) -> None:
    """In output it would be found everywhere: a notice says so."""
    _names(repo, 'db_password = Parameter("p", secret=True)')
    done = repo.flow("names.py", "--quiet", "run", "--p", "abc")
    assert "warning: the value of the secret parameter 'p' has fewer than 6 characters" in done.err
    assert "has abc" in done.out
    info = latest(repo).info
    assert info.parameters == {"p": "***"}
    assert info.environment["argv"][-2:] == ["--p", "***"]


def test_a_secret_that_a_function_gives_is_computed_again(repo: GitRepo) -> None:
    """A resumed run has the new one, and says that it is another."""
    repo.write("n.py", 'import os\ndef fetch(context):\n    return "planted-" + os.environ["N"]\n')
    _names(repo, "from n import fetch", 'db_password = Parameter("pw", secret=True, default=fetch)')
    done = repo.flow("names.py", "--quiet", "run", env={"N": "one"})
    again = repo.flow("names.py", "--quiet", "resume", "start", env={"N": "two"})
    assert (done.code, again.code) == (0, 0), again.err
    assert "has ***" in again.out
    assert "its function has computed another one" in again.err
    assert latest(repo).info.parameters == {"pw": "***"}
    assert "another one" not in repo.flow("names.py", "run", "--clone", "2", env={"N": "two"}).err


def test_what_a_run_recorded_stays_as_it_was(repo: GitRepo) -> None:
    """A parameter that became secret is that from the next run on; one that was secret stays so in resumed runs."""
    _names(repo, 'db_password = Parameter("pw", secret=False, default="")')
    assert repo.flow("names.py", "run", "--pw", "planted").code == 0
    _names(repo, 'db_password = Parameter("pw", secret=True, default="")')
    assert repo.flow("names.py", "resume", "start").code == 0
    assert latest(repo).info.parameters == {"pw": "planted"}
    assert repo.flow("names.py", "run", "--clone", "1", "--pw", "planted").code == 0
    assert latest(repo).info.parameters == {"pw": "***"}
    _names(repo, 'db_password = Parameter("pw", secret=False, default="")')
    resumed = repo.flow("names.py", "resume", "start", env={"METAFLOW_RUN_PW": "planted"})
    assert "has ***" in resumed.out
    assert latest(repo).info.parameters == {"pw": "***"}
    repo.fsck()


FOREACH = """
from gitflowrun import FlowSpec, Parameter, step

class Each(FlowSpec):
    outer = Parameter("outer", secret=True, multiple=True)
    inner = Parameter("inner", secret=True, multiple=True)

    @step
    def start(self):
        self.next(self.middle, foreach="outer")

    @step
    def middle(self):
        self.next(self.work, foreach="inner")

    @step
    def work(self):
        self.sizes = [len(level[2]) for level in self.foreach_stack()]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.sizes = [it.sizes for it in inputs]
        self.next(self.all)

    @step
    def all(self, inputs):
        print("sizes", [it.sizes for it in inputs], len(inputs[0].outer[1]))
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Each()
"""


def test_a_foreach_over_secrets_names_none_of_them(repo: GitRepo) -> None:
    """Each task has its own, at each level; the records of their places say nothing, though they cut long items."""
    repo.write("each.py", FOREACH)
    long = "planted-" + "x" * 40
    env = {"GITFLOWRUN_RUN_OUTER": f"planted-a {long}", "GITFLOWRUN_RUN_INNER": "planted-bcd"}
    done = repo.flow("each.py", "run", env=env)
    assert "sizes [[[9, 11]], [[48, 11]]] 48" in done.out, done.out + done.err
    objects = repo.git("cat-file", "--batch-all-objects", "--batch")
    assert "planted" not in objects + done.out + done.err
