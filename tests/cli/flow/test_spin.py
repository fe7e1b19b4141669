"""`spin`: one task of an earlier run executed once more, beside the history."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from gitflowrun.limits import TRASH_EXPIRE
from gitflowrun.runs.runs import RunStore
from tests.helpers.flows import background, eventually, linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import open_repo
from tests.helpers.spins import FLOW, refs, said, spin, spun_repo

JOINED = """
from gitflowrun import FlowSpec, Parameter, step
class F(FlowSpec):
    token = Parameter('token', default='')
    other = Parameter('other', default='', secret=True)
    @step
    def start(self):
        self.next(self.left, self.right)
    @step
    def left(self):
        self.next(self.join)
    @step
    def right(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        print([it.token for it in inputs])
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    F()
"""


@pytest.fixture
def work(tmp_path: Path) -> GitRepo:
    """A repository with a flow and a run of it."""
    return spun_repo(tmp_path / "work")


def record(repo: GitRepo, spun: str, part: str = "") -> dict[str, object]:
    """What `git runs show` says of a spun task."""
    told = json.loads(repo.call("show", "--json", f"{spun}{part}").out)
    return dict(told[0] if isinstance(told, list) else told)


def holding(repo: GitRepo, text: str) -> list[str]:
    """The objects in which a text stands."""
    oids = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    return [oid for oid in oids if text in repo.git("cat-file", "-p", oid)]


def test_the_last_task_of_a_step_is_spun_as_it_was(work: GitRepo) -> None:
    """The same id, item, inputs and parameters; the code as it is now; and the history knows nothing of it."""
    before = work.git("for-each-ref", "refs/runs", "refs/tags")
    work.write("work.py", FLOW.replace('print("said"', 'print("now"'))
    done = spin(work, "work")
    assert said(done) == ["now 10 2 Work/spin-1/work/4 None"]
    lines = done.out.splitlines()
    assert lines[0] == "Run ID: spin-1"
    assert lines[1].endswith("Spinning Work/1/work/4 (run-id spin-1):")
    assert lines[-1].endswith(" Task finished successfully.")
    assert "the last of 3 tasks" in done.err
    assert "spin 1/work/TASK" in done.err
    assert work.git("for-each-ref", "refs/runs", "refs/tags") == before
    assert refs(work) == ["refs/runs-spin/Work/1"]
    assert [line.split()[0] for line in work.call("list").out.splitlines()[1:]] == ["Work/1"]
    assert "Run ID: 2\n" in work.flow("work.py", "run").out
    assert work.call("fsck").code == 0
    work.fsck()


@pytest.mark.parametrize(
    ("pathspec", "task"),
    [
        ("1/work", "work/4"), ("1/work/2", "work/2"), ("Work/1/work", "work/4"), ("Work/1/work/3", "work/3"),
        ("@latest/work/2", "work/2"),
    ],
)  # fmt: skip
def test_addresses_of_tasks(work: GitRepo, pathspec: str, task: str) -> None:
    """A run may be named, and a task, with the flow in front or without."""
    done = spin(work, pathspec)
    assert f"Work/spin-1/{task}" in done.out
    assert ("the last of" in done.err) == (pathspec.count("work") == 1 and "/work/" not in pathspec)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["nope"], 1, "step 'nope' not found in flow 'Work'"),
        (["wrok"], 1, "did you mean work"),
        (["9/work"], 1, "there is no run '9' of flow Work"),
        (["1/work/99"], 1, "its tasks are 2, 3, 4"),
        (["Other/1/work/2"], 1, "is of flow 'Other', and this is 'Work'"),
        (["1/2/3/4/5"], 1, "is not the address of a step or a task"),
        (["1//2"], 1, "is not the address of a step or a task"),
        ([], 2, "Missing argument 'PATHSPEC'"),
        (["work", "--artifacts-module", "none.py"], 2, "File 'none.py' does not exist"),
        (["work", "--factor", "3"], 2, "No such option"),
        (["work", "--run-id-file", "none/x"], 2, "can't be written"),
    ],
)  # fmt: skip
def test_what_can_not_be_spun(work: GitRepo, words: list[str], code: int, error: str) -> None:
    """A clear error, and nothing was made."""
    done = work.flow("work.py", "spin", *words)
    assert (done.code, "Traceback" in done.err) == (code, False), done.err
    assert error in done.err
    assert refs(work) == []


def test_without_runs(repo: GitRepo, tmp_path: Path) -> None:
    """There has to be one, in a repository, and a run that somebody else has made is not taken unasked."""
    repo.write("work.py", FLOW)
    done = repo.flow("work.py", "spin", "work")
    assert (done.code, "flow 'Work' has no run" in done.err) == (1, True)
    made = spun_repo(tmp_path / "other")
    repo.git("fetch", "-q", str(made.path), "refs/runs/*:refs/runs/*")
    done = repo.flow("work.py", "spin", "work")
    assert done.code == 1
    assert "spin 1/work` spins a task of one of these" in done.err
    assert said(spin(repo, "1/work")) == ["said 10 2 Work/spin-1/work/4 None"]
    Path(tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere/work.py").write_text(FLOW)
    outside = GitRepo(tmp_path / "nowhere").flow("work.py", "spin", "work")
    assert (outside.code, "Traceback" in outside.err) == (2, False)


def test_each_kind_of_step(repo: GitRepo) -> None:
    """A split, a switch, a step that repeats itself, the first and the last one: what it says is noted, and no more."""
    repo.write(
        "f.py",
        """
from gitflowrun import FlowSpec, Parameter, step
class F(FlowSpec):
    p = Parameter("p", default=2)
    @step
    def start(self):
        self.n = 0
        print("p", self.p)
        self.next(self.loop)
    @step
    def loop(self):
        self.n += 1
        self.again = "yes" if self.n < 3 else "no"
        print("n", self.n)
        self.next({"yes": self.loop, "no": self.choose}, condition="again")
    @step
    def choose(self):
        self.way = "b"
        self.next({"a": self.a, "b": self.b}, condition="way")
    @step
    def a(self):
        self.next(self.end)
    @step
    def b(self):
        self.next(self.end)
    @step
    def end(self):
        print("end", self.n, self.p)
if __name__ == "__main__":
    F()
""",
    )
    assert repo.flow("f.py", "run", "--p", "5").code == 0
    found = {
        it: said(spin(repo, it, flow="f.py")) for it in ("start", "loop", "choose", "b", "end")
    }
    assert found == {"start": ["p 5"], "loop": ["n 3"], "choose": [], "b": [], "end": ["end 3 5"]}
    assert said(spin(repo, "1/loop/3", flow="f.py")) == ["n 2"]
    never = repo.flow("f.py", "spin", "a")
    assert (never.code, "has no task of step 'a'" in never.err) == (1, True)
    store = RunStore(open_repo(repo))
    spun = store.find("spin-3", spins=True)
    (choose,) = spun.tasks_of("choose")
    assert choose.record.transition is not None
    assert (choose.record.transition.targets, choose.record.transition.case) == (("b",), "b")


def test_a_failed_task_is_tried_until_it_succeeds(work: GitRepo) -> None:
    """It is found where it failed; that it fails again is recorded, with the exception."""
    broken = FLOW.replace('print("end"', '1 / 0\n        print("end"')
    work.write("work.py", broken)
    assert work.flow("work.py", "run").code == 1
    done = work.flow("work.py", "spin", "end")
    assert done.code == 1
    assert "ZeroDivisionError" in done.out
    assert "spin Work/2/end/6` tries it again" in done.err
    assert "git runs show spin-1" in done.err
    assert "Workflow" not in done.out
    shown = work.call("show", "spin-1").out
    assert "failed" in shown
    work.write("work.py", FLOW)
    assert said(spin(work, "end")) == ["end 21 1 100"]


def test_a_step_that_was_not_reached_is_spun_where_it_would_begin(repo: GitRepo) -> None:
    """Its inputs are there; one whose inputs are not is refused."""
    repo.write(
        "f.py",
        """
from gitflowrun import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.x = 7
        self.next(self.a, self.b)
    @step
    def a(self):
        raise ValueError("broken")
        self.next(self.join)
    @step
    def b(self):
        print("b sees", self.x)
        self.next(self.join)
    @step
    def join(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    F()
""",
    )
    assert repo.flow("f.py", "run", "--max-workers", "1").code == 1
    assert said(spin(repo, "b", flow="f.py")) == ["b sees 7"]
    done = repo.flow("f.py", "spin", "join")
    assert (done.code, "what comes before it has not finished there" in done.err) == (1, True)


def test_while_its_run_goes_on(repo: GitRepo) -> None:
    """What has finished of it can be spun, and what is running, which is spun beside itself."""
    flow = "self.x = 1"
    wait = "print('in', self.x)\nif current.run_id == '1':\n    open('there', 'w').close()\n    time.sleep(60)"
    repo.write("f.py", linear_flow(flow, wait))
    run = background(repo, "f.py", "run")
    assert eventually((repo.path / "there").exists)
    assert said(spin(repo, "start", flow="f.py")) == []
    assert said(spin(repo, "end", flow="f.py")) == ["in 1"]
    run.ctrl_c()
    assert run.wait() == 128 + signal.SIGINT
    assert repo.call("list").out.count("F/1") == 1


def test_other_values_for_a_task(work: GitRepo) -> None:
    """`ARTIFACTS` of a module stand in the place of artifacts, parameters, constants, and the items of a foreach."""
    work.write(
        "mine.py", 'ARTIFACTS = {"x": 10, "factor": 100, "items": [7, 8, 9], "new": object}\n'
    )
    assert said(spin(work, "1/work/3", "--artifacts-module", "mine.py")) == [
        "said 810 1 Work/spin-1/work/3 None"
    ]
    work.write("mine.py", 'ARTIFACTS = {"BASE": 5, "x": None}\n')
    spin(work, "end", "--artifacts-module", "mine.py", "--persist")
    data = work.call("show", "spin-2/end/6").out
    assert re.search(r"BASE +int .* 5\n", data)
    assert re.search(r"x +NoneType .* None\n", data)


def test_other_values_for_the_inputs_of_a_join(work: GitRepo) -> None:
    """They are named by their addresses; what all inputs agree on then is merged."""
    work.write(
        "mine.py",
        'ARTIFACTS = {"1/work/2": {"y": 1000}, "Work/1/work/3": {}, "work/4": {"y": 1}}\n',
    )
    assert said(spin(work, "join", "--artifacts-module", "mine.py")) == ["z 1008 x 1"]
    work.write("mine.py", 'ARTIFACTS = {f"1/work/{n}": {"x": 5} for n in (2, 3, 4)}\n')
    assert said(spin(work, "join", "--artifacts-module", "mine.py", "--persist")) == ["z 21 x 5"]
    assert re.search(r"x +int .* 5\n", work.call("show", "spin-2/join/5").out)
    work.write("mine.py", 'ARTIFACTS = {"1/work/2": {"x": 5}}\n')
    done = work.flow("work.py", "spin", "join", "--artifacts-module", "mine.py")
    assert (done.code, "can't merge 'x'" in done.out) == (1, True)


@pytest.mark.parametrize(
    ("module", "step", "error"),
    [
        ("1 / 0", "work", "failed:\n"),
        ("import sys; sys.exit(3)", "work", "failed:\n"),
        ("x = 1", "work", "has no ARTIFACTS"),
        ("ARTIFACTS = [1]", "work", "is list, not a dictionary"),
        ("ARTIFACTS = {1: 2}", "work", "has the key 1"),
        ("ARTIFACTS = {'end': 2}", "work", "is a step of the flow"),
        ("ARTIFACTS = {'items': [1]}", "work", "has no item 2"),
        ("ARTIFACTS = {'x': 1}", "join", "no input of join 'join'"),
        ("ARTIFACTS = {'1/work/2': 1}", "join", "is int, not a dictionary"),
    ],
)
def test_modules_that_give_nothing(work: GitRepo, module: str, step: str, error: str) -> None:
    """The task fails and says why."""
    work.write("mine.py", f"{module}\n")
    done = work.flow("work.py", "spin", step, "--artifacts-module", "mine.py")
    assert done.code == 1
    log = re.sub(r"^.*\)\] ", "", done.out, flags=re.MULTILINE)
    assert error in log
    assert "mine.py" in log or "items" in log
    assert "gitflowrun/runtime" not in log


def test_artifacts_are_stored_if_that_is_wanted(work: GitRepo) -> None:
    """By an option or a setting; those that it passes on stay, whatever becomes of the run that they are from."""
    spin(work, "1/work/2", "--persist")
    spin(work, "1/work/2")
    spin(work, "1/work/2", env={"METAFLOW_SPIN_PERSIST": "1"})
    work.git("config", "runs.spinPersist", "true")
    spin(work, "1/work/2")
    spin(work, "1/work/2", "--no-persist")
    kept = [work.call("cat", f"spin-{number}/work/2/y").out for number in range(1, 6)]
    assert kept == ["4\n", "", "4\n", "4\n", ""]
    assert "was not kept" in work.call("cat", "spin-2/work/2/y").err
    assert re.search(r"Not kept: +BASE, .* y\n", work.call("show", "spin-2/work/2").out)
    assert work.call("rm", "--force", "1").code == 0
    assert work.call("cat", "spin-1/work/2/path").out == "['start']\n"
    work.fsck()
    assert work.call("fsck").code == 0


def test_what_can_not_be_stored_need_not_be(repo: GitRepo) -> None:
    """Only with --persist must artifacts be storable."""
    repo.write("f.py", linear_flow("self.x = 1"))
    assert repo.flow("f.py", "run").code == 0
    repo.write("f.py", linear_flow("self.x = (n for n in 'ab')"))
    assert repo.flow("f.py", "spin", "start").code == 0
    done = repo.flow("f.py", "spin", "start", "--persist")
    assert (done.code, "can't be stored" in done.out) == (1, True)


DECORATED = """
import os, time
from gitflowrun import FlowSpec, catch, environment, retry, step, timeout
class F(FlowSpec):
    @environment(vars={"GIVEN": "yes"})
    @catch(var="caught")
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        print("GIVEN", os.environ.get("GIVEN"))
        if os.path.exists("broken"):
            raise ValueError("broken")
        self.next(self.end)
    @timeout(seconds=1)
    @environment(vars={"OTHER": "yes"})
    @step
    def end(self):
        print("OTHER", os.environ.get("OTHER"))
        if os.path.exists("broken"):
            time.sleep(60)
if __name__ == "__main__":
    F()
"""


def test_decorators_mean_what_they_mean_in_a_run(repo: GitRepo) -> None:
    """Those of the step; with --skip-decorators there are none."""
    repo.write("f.py", DECORATED)
    assert repo.flow("f.py", "run").code == 0
    repo.write("broken", "")
    done = spin(repo, "start", flow="f.py")
    assert done.out.count("GIVEN yes") == 2
    assert "Task is starting (retry)." in done.out
    late = repo.flow("f.py", "spin", "end")
    assert (late.code, "TimeoutException" in late.out, "OTHER yes" in late.out) == (1, True, True)
    bare = repo.flow("f.py", "spin", "start", "--skip-decorators")
    assert (bare.code, bare.out.count("GIVEN None")) == (1, 1)
    assert "ValueError: broken" in bare.err


def test_gangs_are_refused(repo: GitRepo) -> None:
    """A node is nothing without the others; the steps around it can be spun."""
    flow = (
        "from gitflowrun import *\nclass F(FlowSpec):\n"
        "    @step\n    def start(self):\n        self.next(self.work, num_parallel=2)\n"
        "    @parallel\n    @step\n    def work(self):\n        self.n = current.parallel.node_index\n"
        "        self.next(self.join)\n"
        "    @step\n    def join(self, inputs):\n        print(sum(it.n for it in inputs))\n"
        "        self.next(self.end)\n"
        "    @step\n    def end(self):\n        pass\nif __name__ == '__main__':\n    F()\n"
    )
    repo.write("f.py", flow)
    assert repo.flow("f.py", "run").code == 0
    done = repo.flow("f.py", "spin", "work")
    assert (done.code, "runs as a gang" in done.err) == (1, True)
    assert said(spin(repo, "join", flow="f.py")) == ["1"]
    spin(repo, "start", flow="f.py")


def test_a_graph_that_has_changed(work: GitRepo) -> None:
    """A step that has become a join has no inputs of one; one that is gone can't be spun; a new one has no task."""
    linear = FLOW.replace(', foreach="items")', ")").replace(
        "def join(self, inputs)", "def join(self)"
    )
    extra = "    @step\n    def extra(self):\n        self.next(self.end)\n"
    more = linear.replace("self.next(self.end)", "self.next(self.extra)", 1)
    work.write("work.py", more.replace("    @step\n    def end", f"{extra}    @step\n    def end"))
    done = work.flow("work.py", "spin", "join")
    assert (done.code, "step 'join' is no join now, and was one in Work/1" in done.err) == (1, True)
    new = work.flow("work.py", "spin", "extra")
    assert (new.code, "Work/1 has no task of step 'extra'" in new.err) == (1, True)
    work.write("work.py", FLOW.replace("work", "labour"))
    gone = work.flow("work.py", "spin", "work")
    assert (gone.code, "step 'work' not found" in gone.err) == (1, True)


def test_parameters_that_are_new_are_evaluated(work: GitRepo) -> None:
    """Those of the run stay what they were there."""
    work.write(
        "work.py",
        FLOW.replace("BASE = 100", "BASE = 1\n    more = Parameter('more', default=8)").replace(
            'print("end"', 'print(self.factor, self.more, "end"'
        ),
    )
    assert said(spin(work, "end")) == ["3 8 end 21 1 100"]


def test_configs_are_those_of_the_run(repo: GitRepo) -> None:
    """Others can't be given."""
    flow = linear_flow("print('c', self.c.n)").replace(
        "(FlowSpec):\n", "(FlowSpec):\n    c = Config('c', default_value='{\"n\": 1}')\n"
    ).replace("import FlowSpec", "import Config, FlowSpec")  # fmt: skip
    repo.write("f.py", flow)
    assert repo.flow("f.py", "--config-value", "c", '{"n": 2}', "run").code == 0
    assert said(spin(repo, "start", flow="f.py")) == ["c 2"]
    done = repo.flow("f.py", "--config-value", "c", '{"n": 2}', "spin", "start")
    assert (done.code, "none can be given" in done.err) == (2, True)


def test_secrets_are_asked_for_again_and_hidden(repo: GitRepo) -> None:
    """Nothing stores the value of a secret parameter, so it is given once more."""
    flow = linear_flow("print('token', self.token, len(self.token))").replace(
        "(FlowSpec):\n", "(FlowSpec):\n    token = Parameter('token')\n"
    )
    repo.write("f.py", flow)
    given = {"GITFLOWRUN_RUN_TOKEN": "abcdefgh1234"}
    assert repo.flow("f.py", "run", env=given).code == 0
    assert repo.flow("f.py", "spin", "start").code != 0
    mine = repo.path.parent / "mine.py"
    mine.write_text("ARTIFACTS = {'x': ['abcdefgh1234', 5]}\n")
    done = spin(repo, "start", "--artifacts-module", str(mine), flow="f.py", env=given)
    assert said(done) == ["token *** 12"]
    told = record(repo, "spin-1")
    assert (told["given"], told["given_by"]) == ({"x": "['***', 5]"}, "mine.py (outside)")
    assert repo.git("grep", "-c", "abcdefgh1234", "runs-spin/F/1", check=False) == ""


@pytest.mark.parametrize("step", ["start", "join"])
@pytest.mark.parametrize("given", ["a secret", "nothing"])
@pytest.mark.sample(2)
def test_no_module_gives_a_secret_parameter(repo: GitRepo, step: str, given: str) -> None:
    """It would be recorded as it is: whoever spins is told how the value is given, and nothing has it afterwards."""
    repo.write("f.py", JOINED)
    names = "GITFLOWRUN_RUN_TOKEN", "GITFLOWRUN_RUN_OTHER"
    env = dict.fromkeys(names, "abcdefgh1234" if given == "a secret" else "")
    assert repo.flow("f.py", "run", env=env).code == 0
    if given == "a secret":  # what was one stays one, whatever the flow says now
        repo.write("f.py", JOINED.replace("secret=True", "secret=False"))
    for name in ("token", "other") if given == "a secret" else ("token",):
        values = f"{{'x': 1, '{name}': 'given5678xyz'}}"
        text = values if step == "start" else f"{{'1/left/2': {values}}}"
        repo.write("mine.py", f"ARTIFACTS = {text}\n")
        words = ("spin", step, "--persist", "--artifacts-module", "mine.py")
        done = repo.flow("f.py", *words, env=env)
        assert done.code == 1
        assert f"has the key '{name}', which is a secret parameter" in done.out
        assert f"GITFLOWRUN_RUN_{name.upper()}" in done.out
        assert "given5678xyz" not in done.out + done.err
    kept = [repo.git("grep", "given5678xyz", ref, "--", "steps", check=False) for ref in refs(repo)]
    assert kept == [""] * len(kept) != []
    assert repo.git("grep", "-c", "token", refs(repo)[0], "--", "steps", check=False)


def test_files_for_programs(work: GitRepo) -> None:
    """The id, and what a program needs to find the task."""
    spin(work, "1/work/2", "--run-id-file", "id", "--runner-attribute-file", "facts")
    assert (work.path / "id").read_text() == "spin-1"
    facts = json.loads((work.path / "facts").read_text())
    assert {key: facts[key] for key in facts if key != "metadata"} == {
        "run_id": "spin-1", "flow_name": "Work", "step_name": "work", "task_id": "2",
    }  # fmt: skip


def test_the_history_can_not_be_changed_by_way_of_a_spun_task(work: GitRepo) -> None:
    """Verbs that mark, remove, share or start runs refuse it; those that show runs take it."""
    spin(work, "1/work/2")
    for words in (
        ["tag", "spin-1", "x"],
        ["rm", "spin-1"],
        ["purge", "spin-1"],
        ["trust", "spin-1"],
        ["note", "spin-1"],
    ):
        done = work.call(*words)
        assert (done.code, "is a spun task" in done.err) == (128, True), (words, done)
    for words in (
        ["resume", "--origin-run-id", "spin-1"],
        ["spin", "spin-1/work/2"],
        ["run", "--clone", "spin-1"],
    ):
        done = work.flow("work.py", *words)
        assert (done.code, "is a spun task" in done.err) == (1, True), (words, done)
    assert "said 4" in work.call("logs", "spin-1/work").out
    assert "said 4" in work.flow("work.py", "logs", "Work/spin-1/work/2").out
    assert work.call("show", "spin-9").err.startswith("fatal: there is no spun task spin-9")
    assert refs(work) == ["refs/runs-spin/Work/1"]


def test_spun_tasks_go_when_they_are_old(work: GitRepo) -> None:
    """`git runs gc` frees them, but for the newest, so that no number comes again."""
    for _ in range(3):
        spin(work, "1/work/2")
    work.git("config", "runs.spinExpire", "never")
    assert work.call("gc").out.startswith("freed")
    assert len(refs(work)) == 3
    work.git("config", "runs.spinExpire", "now")
    assert "removed: 2 spun tasks" in work.call("gc").out
    assert refs(work) == ["refs/runs-spin/Work/3"]
    assert sorted(it.name for it in (work.path / ".git/gitflowrun/locks").glob("run-*")) == []
    work.fsck()
    assert "Run ID: spin-4" in spin(work, "1/work/2").out
    assert work.call("gc", f"--prune={int(TRASH_EXPIRE)}.seconds").out.startswith("freed")
    assert len(refs(work)) == 2


def test_what_was_spun_of_a_run_is_purged_with_it(work: GitRepo) -> None:
    """It has the run's parameters; the tasks of other runs stay, and so do all while the run is in the trash."""
    secret = "47114711471147"  # Too long to stand in a tree's object ids or in a time by chance.
    assert work.flow("work.py", "run", "--factor", secret).code == 0
    for words in (["1/work/2"], ["2/work/2", "--persist"], ["2/end"]):
        spin(work, *words)
    assert holding(work, secret)
    assert work.call("rm", "--force", "2").code == 0
    assert len(refs(work)) == 3
    done = work.call("purge", "--force", "2")
    assert (done.code, "with spin-2, spin-3, spun of it\n" in done.out) == (0, True), done
    assert refs(work) == ["refs/runs-spin/Work/1"]
    assert not holding(work, secret)
    work.fsck()


def test_a_killed_one_is_interrupted(repo: GitRepo) -> None:
    """Ctrl-C ends it in order; and what was killed leaves no lock that a number waits for."""
    wait = "open(f'there-{current.run_id}', 'w').close()\nif 'spin' in current.run_id:\n    time.sleep(60)"
    repo.write("f.py", linear_flow(wait))
    assert repo.flow("f.py", "run").code == 0
    spun = background(repo, "f.py", "spin", "start")
    assert eventually((repo.path / "there-spin-1").exists)
    spun.ctrl_c()
    assert spun.wait() == 128 + signal.SIGINT
    assert "interrupted" in repo.call("show", "spin-1").out
    spun = background(repo, "f.py", "spin", "start")
    assert eventually((repo.path / "there-spin-2").exists)
    assert "running" in repo.call("show", "spin-2").out
    repo.call("gc", "--prune=now")
    assert refs(repo) == ["refs/runs-spin/F/1", "refs/runs-spin/F/2"]
    purged = repo.call("purge", "--force", "1")
    assert (purged.code, "run spin-2 is running" in purged.err) == (128, True), purged
    assert "F/1" in repo.call("list").out
    spun.process.kill()
    spun.wait()
    assert eventually(lambda: "interrupted" in repo.call("show", "spin-2").out)


def test_values_of_strangers_need_trust(repo: GitRepo, tmp_path: Path) -> None:
    """As in a resumed run: plain ones are loaded, and what could run code is not."""
    made = make_repo(tmp_path / "made")
    flow = linear_flow(
        "self.plain, self.pickled = 1, Thing()", "print(self.plain)\nprint(self.pickled)",
        head="class Thing:\n    def __init__(self):\n        self.f = {1: self.__class__}\n",
    )  # fmt: skip
    for it in (made, repo):
        it.write("f.py", flow)
    assert made.flow("f.py", "run").code == 0
    repo.git("fetch", "-q", str(made.path), "refs/runs/*:refs/runs/*")
    done = repo.flow("f.py", "spin", "1/end", "--persist")
    assert done.code == 1
    assert "F/1 is not trusted" in done.err
    assert "which you don't trust" in done.out
    assert repo.call("trust", "1").code == 0
    spin(repo, "1/end", flow="f.py")


def test_a_damaged_input_is_told_of(repo: GitRepo) -> None:
    """The run that it is from is named, and the spun task has failed."""
    repo.write("f.py", linear_flow("self.big = os.urandom(2_000_000)", "print(len(self.big))"))
    assert repo.flow("f.py", "run").code == 0
    for pack in (repo.path / ".git/objects/pack").glob("*.pack"):
        if pack.stat().st_size > 1_000_000:
            pack.unlink()
            pack.with_suffix(".idx").unlink()
    done = repo.flow("f.py", "spin", "end")
    assert (done.code, "F/1/start/1/big can't be read" in done.out) == (1, True)
    assert "failed" in repo.call("show", "spin-1").out


def test_runs_that_are_signed(work: GitRepo) -> None:
    """No signature is asked for: a spun task is nothing that others see."""
    work.git("config", "runs.sign", "true")
    work.git("config", "gpg.program", "false")
    work.git("config", "user.signingKey", "nobody")
    spin(work, "1/work/2")


@pytest.mark.parametrize("isolation", ["inline", "fresh"])
def test_however_tasks_get_their_processes(work: GitRepo, isolation: str) -> None:
    """In the program's own process or a new interpreter it is the same."""
    work.write(
        "mine.py", 'ARTIFACTS = {"items": [0, 0, type("Other", (), {"__mul__": lambda *_: 6})()]}\n'
    )
    env = {"GITFLOWRUN_ISOLATION": isolation}
    done = spin(work, "1/work/4", "--artifacts-module", "mine.py", env=env)
    assert "said 7 2 Work/spin-1/work/4 None" in done.out


def test_users_decorators_and_mutators(repo: GitRepo) -> None:
    """What wraps the step, or was given to it by a mutator, does so here; --skip-decorators leaves it out."""
    repo.write(
        "f.py",
        """
import os
from gitflowrun import FlowMutator, FlowSpec, project, current, step, user_step_decorator
@user_step_decorator
def wrapped(step_name, flow, inputs=None, attributes=None):
    print("before", step_name)
    yield
class Gives(FlowMutator):
    def mutate(self, flow):
        for name, found in flow.steps:
            found.add_decorator("environment", deco_kwargs={"vars": {"FROM": name}})
@project(name="ours")
@Gives
class F(FlowSpec):
    @wrapped
    @step
    def start(self):
        print("in", os.environ.get("FROM"), current.project_name)
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    F()
""",
    )
    assert repo.flow("f.py", "run").code == 0
    assert said(spin(repo, "start", flow="f.py")) == ["before start", "in start ours"]
    bare = spin(repo, "start", "--skip-decorators", flow="f.py")
    assert said(bare) == ["in None None"]


def test_nothing_is_started_for_it(work: GitRepo) -> None:
    """What is to be started when a run ends waits for runs, and so do hooks of the flow."""
    hooked = FLOW.replace("import FlowSpec", "import FlowSpec, exit_hook").replace(
        "class Work", "@exit_hook(on_success=[lambda: print('HOOK')])\nclass Work"
    )
    work.write("work.py", hooked)
    done = spin(work, "1/work/2", env={"GITFLOWRUN_ONFINISH": "touch ended"})
    assert "HOOK" not in done.out + done.err
    assert not (work.path / "ended").exists()


def test_values_that_were_given_are_told(work: GitRepo) -> None:
    """By what shows the spun task, with the file, and in the place of the parameters that it did not have."""
    work.write("mine.py", 'ARTIFACTS = {"factor": 100, "note": "é" * 300, "items": (1, 2, 3)}\n')
    spin(work, "1/work/2", "--artifacts-module", "mine.py")
    given = {"factor": "100", "note": "é" * 199 + "…", "items": "(1, 2, 3)"}
    told = record(work, "spin-1")
    assert (told["given"], told["given_by"]) == (given, "mine.py")
    assert told["parameters"] == {"factor": "100"}
    assert record(work, "spin-1", "/work/2")["given"] == given
    shown = work.call("show", "spin-1").out
    assert re.search(r"^Given by: +mine.py$", shown, re.MULTILINE)
    assert "Parameters\n  factor  100\n" in shown
    assert "Given\n  factor  100\n  note " in shown
    assert "Given\n  factor  100\n" in work.call("show", "spin-1/work/2").out
    work.write("mine.py", 'ARTIFACTS = {"1/work/2": {"y": 7}, "work/4": {"factor": 1}}\n')
    spin(work, "join", "--artifacts-module", "mine.py")
    told = record(work, "spin-2")
    assert told["given"] == {"work/2/y": "7", "work/4/factor": "1"}
    assert told["parameters"] == {"factor": "3"}
    spin(work, "join")
    assert (record(work, "spin-3")["given"], record(work, "spin-3")["given_by"]) == ({}, None)


def test_of_very_many_given_values_the_first_are_told(work: GitRepo) -> None:
    """The record would not take all; how many there are besides is said, of a task that failed as well."""
    text = 'ARTIFACTS = {"x": "none", **{f"v{n}": n for n in range(2000)}}\n'
    work.write("mine.py", text)
    assert work.flow("work.py", "spin", "1/work/2", "--artifacts-module", "mine.py").code == 1
    given = record(work, "spin-1")["given"]
    assert isinstance(given, dict)
    assert (len(given), given["v7"], given["..."]) == (1001, "7", "and 1,001 more")
