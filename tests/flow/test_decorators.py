"""Built-in decorators, through the command line of flow files: what they do, what they record, what they refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import FlowSpec, catch, step
from gitflowrun.client.trigger import Trigger
from gitflowrun.decorators import StepDecorator, make_step_decorator
from gitflowrun.errors import DecoratorError, MetaflowException
from gitflowrun.flow.decorators.attempts import user_retries
from gitflowrun.flow.decorators.secrets import SecretsDecorator, SecretsProvider
from gitflowrun.flow.decorators.timeout import TimeoutDecorator
from gitflowrun.flow.decorators.triggers import TriggerDecorator
from gitflowrun.flow.definition import complete
from tests.helpers.flows import latest, one_task, value_of

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo

HEAD = "import os, signal, sys, time\nfrom gitflowrun import *\n"
FOOT = "\n\nif __name__ == '__main__':\n    F()\n"


def flow(
    start: str = "pass", end: str = "pass", *, on_start: str = "", on_flow: str = "", head: str = ""
) -> str:
    """A flow of two steps with decorators on the first one and on the class."""
    body, last = (text.replace("\n", "\n        ") for text in (start, end))
    marks = "".join(f"    {line}\n" for line in on_start.split("\n") if line)
    return (
        f"{HEAD}{head}\n{on_flow}\nclass F(FlowSpec):\n"
        f"{marks}    @step\n    def start(self):\n        {body}\n        self.next(self.end)\n"
        f"    @step\n    def end(self):\n        {last}\n{FOOT}"
    )


def ran(repo: GitRepo, text: str, *words: str, code: int = 0, **env: str) -> Any:
    """The result of running a flow, which ends with this exit code."""
    repo.write("f.py", text)
    done = repo.flow("f.py", *(words or ("run",)), env=env)
    assert done.code == code, done.out + done.err
    return done


KINDS = ("fork", "batch", "fresh", "inline")
SOME_KINDS = ("fork", "batch", pytest.param("fresh", marks=pytest.mark.slow), "inline")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sample("fork", "batch", "inline")
def test_catch_lets_the_flow_go_on(repo: GitRepo, kind: str) -> None:
    """The exception is an artifact as text, what the step had set is kept, and the next step runs."""
    text = flow(
        "self.before = 1\nraise ValueError('no luck')",
        "self.said = (self.bad.type, self.bad.exception, 'no luck' in self.bad.stacktrace, self.before)",
        on_start="@catch(var='bad')",
    )
    done = ran(repo, text, GITFLOWRUN_ISOLATION=kind)
    said = done.out + done.err  # an inline step writes to the terminal itself
    assert "@catch caught an exception from <flow F step start>" in said
    assert ">  ValueError: no luck" in said
    run = latest(repo)
    assert value_of(one_task(run, "end"), "said") == ("builtins.ValueError", "no luck", True, 1)
    assert one_task(run, "start").record.ok
    code = (
        "from gitflowrun import Flow; r = Flow('F').latest_run\n"
        "print(r.successful, [(t.successful, t.finished, t.exception) for t in (r['start'].task, r['end'].task)])\n"
        "print(r['start'].task['_catch_exception'].data.type)"
    )
    said = repo.flow("-c", code).out
    assert said == "True [(False, True, None), (True, True, None)]\nbuiltins.ValueError\n"


def test_catch_where_the_step_has_closed_its_streams(repo: GitRepo) -> None:
    """It can't print the exception then, and stores it all the same; pauses and limits of any size are fine."""
    text = flow(
        "sys.stdout.close()\nsys.stdout = None\nraise ValueError('no luck')",
        on_start="@catch(var='bad')\n@timeout(hours=10**30)\n@retry(times=0, minutes_between_retries=0.5)",
    )
    ran(repo, text)
    caught: Any = value_of(one_task(latest(repo), "start"), "bad")
    assert caught.exception == "no luck"


def test_catch_has_nothing_to_say_of_a_step_that_succeeds(repo: GitRepo) -> None:
    """The artifact is None then, and with print_exception=False a caught exception is not printed."""
    ran(repo, flow(on_start="@catch(var='bad')"))
    assert value_of(one_task(latest(repo), "end"), "bad") is None
    leaves = flow("sys.exit('quiet')", on_start="@catch(var='bad', print_exception=False)")
    done = ran(repo, leaves)
    assert "quiet" not in done.out
    task = one_task(latest(repo), "start")
    caught: Any = value_of(task, "bad")
    assert (caught.type, len(task.record.attempts)) == ("builtins.SystemExit", 1)


def test_catch_after_retries_and_a_kill(repo: GitRepo) -> None:
    """It catches nothing while the step is tried again; an attempt of its own records that the last one was killed."""
    text = flow(
        "self.bad = current.retry_count\nif not self.bad:\n    raise ValueError('first')\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        "self.said = (self.bad.type, self.bad.exception)",
        on_start="@retry(times=1)\n@catch(var='bad')",
    )
    done = ran(repo, text)
    assert "Task fallback is starting to handle the failure." in done.out
    said: Any = value_of(one_task(latest(repo), "end"), "said")
    assert said[0] == "gitflowrun.errors.FailureHandledByCatch"
    assert said[1].startswith("the task failed in 2 attempts")
    assert said[1].endswith("killed by SIGKILL")


@pytest.mark.parametrize("kind", SOME_KINDS)
def test_timeout_ends_sleeping_and_busy_steps(repo: GitRepo, kind: str) -> None:
    """A step that takes too long fails with words that name the limit; one that is quick does not notice."""
    for body in ("time.sleep(60)", "while True: pass"):
        done = ran(
            repo, flow(body, on_start="@timeout(seconds=0.2)"), code=1, GITFLOWRUN_ISOLATION=kind
        )
        said = done.out + done.err
        assert "TimeoutException: step 'start' took longer than 0.2 seconds" in said
        assert "gitflowrun/flow" not in said
    text = flow("pass", "time.sleep(0.4)", on_start="@timeout(seconds=0.2)")
    ran(repo, text, GITFLOWRUN_ISOLATION=kind)


def test_the_time_of_a_timeout_is_a_sum() -> None:
    """Of seconds, minutes and hours."""
    made = TimeoutDecorator({"seconds": 1, "minutes": 2, "hours": 3})
    made.step_init(None, None, "start")
    assert made._limit == 3 * 3600 + 2 * 60 + 1


def test_timeout_beside_an_alarm_of_the_step(repo: GitRepo) -> None:
    """A handler that was there before is there again afterwards, and no alarm is left."""
    body = "self.left = signal.getitimer(signal.ITIMER_REAL)[0] > 0"
    ran(repo, flow(body, on_start="@timeout(minutes=1)"))
    assert value_of(one_task(latest(repo), "end"), "left") is True


@pytest.mark.parametrize("kind", SOME_KINDS)
def test_environment_is_that_of_its_step_alone(repo: GitRepo, kind: str) -> None:
    """Variables are text, and the next step has none of them."""
    text = flow(
        "self.a = os.environ['COLOR'] + os.environ['COUNT']",
        "self.b = os.environ.get('COLOR')",
        on_start="@environment(vars={'COLOR': 'red', 'COUNT': 3, 'API_KEY': 'abc'})",
    )
    ran(repo, text, GITFLOWRUN_ISOLATION=kind)
    run = latest(repo)
    assert value_of(one_task(run, "end"), "a") == "red3"
    assert value_of(one_task(run, "end"), "b") is None
    (row,) = run.info.graph["steps"]["start"]["decorators"]
    assert row["name"] == "environment"
    assert row["statically_defined"] is True
    assert row["attributes"]["vars"] == {"COLOR": "red", "COUNT": 3, "API_KEY": "***"}


def test_what_is_for_clusters_is_recorded_and_told(repo: GitRepo) -> None:
    """Decorators that need what is not here are accepted, named once, and stand in the graph."""
    marks = "@kubernetes(image='x', memory=100)\n@conda(packages={'numpy': '2'})\n@resources(cpu=2)"
    done = ran(
        repo,
        flow(on_start=marks, on_flow="@schedule(daily=True)\n@pypi_base(packages={'a': '1'})"),
    )
    assert (
        done.err.count("@kubernetes is recorded") + done.out.count("@kubernetes is recorded") == 1
    )
    graph = latest(repo).info.graph
    names = [row["name"] for row in graph["steps"]["start"]["decorators"]]
    assert names == ["resources", "conda", "kubernetes"]
    assert graph["steps"]["start"]["decorators"][0]["attributes"]["cpu"] == 2
    assert [row["name"] for row in graph["decorators"]] == ["pypi_base", "schedule"]


PROJECT = flow(
    "self.said = (current.project_name, current.branch_name, current.is_user_branch, "
    "current.is_production, current.project_flow_name)",
    on_flow="@project(name='demo')",
    head="def default(context):\n    return current.project_name\n",
).replace("class F(FlowSpec):\n", "class F(FlowSpec):\n    x = Parameter('x', default=default)\n")


@pytest.mark.parametrize(
    ("words", "branch", "facts"),
    [
        ((), "user.ada", (True, False)),
        (("--branch", "b1"), "test.b1", (False, False)),
        (("--production",), "prod", (False, True)),
        (("--production", "--branch", "b1"), "prod.b1", (False, True)),
    ],
)
@pytest.mark.sample(2)
def test_project_names_the_branch(
    repo: GitRepo, words: tuple[str, ...], branch: str, facts: tuple[bool, bool]
) -> None:
    """`current`, system tags and deploy-time functions know project and branch."""
    ran(repo, PROJECT, *words, "run", METAFLOW_USER="ada")
    run = latest(repo)
    said = value_of(one_task(run, "end"), "said")
    assert said == ("demo", branch, *facts, f"demo.{branch}.F")
    assert value_of(one_task(run, "end"), "x") == "demo"
    assert {"project:demo", f"project_branch:{branch}"} <= set(run.info.system_tags)


def test_project_by_the_environment(repo: GitRepo) -> None:
    """Variables are the options, also those that the flow's module sets; the same said twice is refused."""
    sets = PROJECT.replace("def default", "os.environ['METAFLOW_BRANCH'] = 'b2'\ndef default")
    ran(repo, sets, "run", METAFLOW_FLOW_PRODUCTION="1")
    assert "project_branch:prod.b2" in latest(repo).info.system_tags
    twice = PROJECT.replace("'demo')", "'demo', branch='x')")
    done = ran(repo, twice, "--branch", "y", "run", code=1)
    assert "--branch y is given, and @project says branch='x'" in done.err


SECRET = "opensesame-77"
SECRETS = (
    "@secrets(sources=[{'type': 'inline', 'id': 'a', "
    "'options': {'env_vars': {'TOK': os.environ['GIVEN']}}}])"
)


@pytest.mark.parametrize("kind", SOME_KINDS)
def test_secrets_reach_the_step_and_nothing_else(repo: GitRepo, kind: str) -> None:
    """The step has the variable; output is masked, and git has the value nowhere."""
    text = flow(
        "self.length = len(os.environ['TOK'])\nprint('it is', os.environ['TOK'])",
        "self.gone = 'TOK' not in os.environ",
        on_start=SECRETS,
    )
    done = ran(repo, text, GIVEN=SECRET, GITFLOWRUN_ISOLATION=kind)
    run = latest(repo)
    assert value_of(one_task(run, "end"), "length") == len(SECRET)
    assert value_of(one_task(run, "end"), "gone") is True
    assert one_task(run, "start").output("stdout") == b"it is ***\n"
    if kind != "inline":  # there the step writes to the terminal itself
        assert SECRET not in done.out + done.err
    for line in repo.git("cat-file", "--batch-all-objects", "--batch-check").splitlines():
        oid, kind_of, _ = line.split()
        if kind_of == "blob":
            assert SECRET not in repo.git("cat-file", "-p", oid)


def test_an_artifact_with_a_secret_is_refused(repo: GitRepo) -> None:
    """The task fails and names the artifact, not the value."""
    text = flow("self.url = 'https://' + os.environ['TOK']", on_start=SECRETS)
    done = ran(repo, text, code=1, GIVEN=SECRET)
    assert (
        "artifact 'url' is not stored: it holds the value of a variable that @secrets" in done.out
    )
    assert SECRET not in done.out + done.err


def fetched(*variables: Any, allow_override: bool = False) -> dict[str, str]:
    """What `@secrets` makes of inline sources with these variables."""
    sources = [{"type": "inline", "options": {"env_vars": it}} for it in variables]
    return SecretsDecorator({"sources": sources, "allow_override": allow_override}).fetch("start")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (({"A": 1},), "the value of A is int"),
        (({"a-b": "x"},), "'a-b' can't be a variable"),
        (({"METAFLOW_X": "x"},), "'METAFLOW_X' can't be a variable"),
        (({"A1": "x"}, {"A1": "x"}), "two sources have A1"),
    ],
)
def test_variables_that_can_not_be_secrets(variables: Any, said: str) -> None:
    """Names that no shell knows, those of the package, values that are no text, a name twice."""
    with pytest.raises(DecoratorError, match=said):
        fetched(*variables)


def test_what_is_set_already_may_be_replaced() -> None:
    """Where that is said."""
    assert fetched({"HOME": "x"}, {"A1": "y"}, allow_override=True) == {"HOME": "x", "A1": "y"}


def test_a_provider_of_ones_own(repo: GitRepo) -> None:
    """A class with a TYPE fetches secrets, once a run."""
    head = (
        "from gitflowrun.flow.decorators.secrets import SecretsProvider\n"
        "class Vault(SecretsProvider):\n    TYPE = 'vault'\n"
        "    def get_secret_as_dict(self, secret_id, options=None, role=None):\n"
        "        open('calls', 'a').write('x')\n"
        "        return {'TOK': f'{secret_id}-{options[\"k\"]}-{role}'}\n"
    )
    mark = "@secrets(sources=[{'type': 'vault', 'id': 'db', 'options': {'k': 1}}], role='me')"
    ran(repo, flow("self.x = os.environ['TOK'][:4]", on_start=mark, head=head))
    assert value_of(one_task(latest(repo), "end"), "x") == "db-1"
    assert repo.path.joinpath("calls").read_text() == "x"


def test_exit_hooks_are_called_when_the_run_has_ended(repo: GitRepo) -> None:
    """The lowest first, each in a process of its own, with the run if it asks for it; failing changes nothing."""
    head = (
        "def told(run):\n    print('told', run.pathspec, run.successful)\n"
        "def bare():\n    print('bare', os.getpid() != MAIN)\n"
        "def failing(run=None):\n    print('failing', run); raise ValueError('of the hook')\n"
        "def leaving():\n    sys.exit('no mail')\n"
        "MAIN = os.getpid()\n"
    )
    mark = (
        "@exit_hook(on_success=[failing, leaving])\n"
        "@exit_hook(on_success=[told, 'bare'], on_error=[told])"
    )
    text = flow("assert 'FAIL' not in os.environ", head=head, on_flow=mark)
    done = ran(repo, text)
    assert [line for line in done.out.splitlines() if line[:4] in {"told", "bare", "fail"}] == [
        "told F/1 True", "bare True", "failing Run('F/1')",
    ]  # fmt: skip
    assert "ValueError: of the hook" in done.err
    assert "The exit hook 'failing' failed" in done.err
    assert "no mail\nThe exit hook 'leaving' failed: exit status 1." in done.err
    assert "exit_hooks.py" not in done.err
    done = ran(repo, text, code=1, FAIL="1")
    assert "told F/2 False" in done.out
    assert "bare" not in done.out


def test_exit_hooks_are_called_when_the_scheduler_was_killed(repo: GitRepo) -> None:
    """The run has ended then, and not well."""
    head = "def told(run):\n    print('told', run.pathspec, run.successful)\n"
    body = (
        "zygote = os.getppid()\n"
        "program = open(f'/proc/{zygote}/stat').read().rpartition(')')[2].split()[1]\n"
        "for child in open(f'/proc/{program}/task/{program}/children').read().split():\n"
        "    if int(child) != zygote:\n"
        "        os.kill(int(child), signal.SIGKILL)\n"
        "time.sleep(20)"
    )
    done = ran(repo, flow(body, head=head, on_flow="@exit_hook(on_error=[told])"), code=1)
    assert "told F/1 False" in done.out
    assert "the scheduler was killed" in done.err


@pytest.mark.parametrize("hook", ["init", "step_init", "package_init"])
def test_a_hook_of_the_users_that_fails(hook: str) -> None:
    """It is told which one, and in which line; what it says itself as an error of a flow is told as it is."""

    def fails(*_: object) -> None:
        raise error

    kind = type("Hooked", (StepDecorator,), {"name": "zz_hooked", hook: fails})

    def made() -> type[FlowSpec]:
        class F(FlowSpec):
            @make_step_decorator(kind)
            @step
            def start(self) -> None:
                self.next(self.end)

            @step
            def end(self) -> None: ...

        return F

    error: Exception = ValueError("not today")
    with pytest.raises(DecoratorError) as caught:
        complete(made())
    assert caught.value.message == f"@zz_hooked.{hook} failed: ValueError: not today"
    assert caught.value.source == __file__
    assert caught.value.line == fails.__code__.co_firstlineno + 1
    error = MetaflowException("as it is")
    with pytest.raises(MetaflowException, match="as it is"):
        complete(made())


def test_a_count_of_retries_that_is_none() -> None:
    """A hook that returns something else is told."""
    kind = type(
        "Counting", (StepDecorator,), {"name": "zz_count", "step_task_retry_count": lambda _: None}
    )
    with pytest.raises(DecoratorError, match="@zz_count.step_task_retry_count returned None"):  # noqa: RUF043
        user_retries([kind()])


def test_a_provider_that_returns_no_variables() -> None:
    """What it returns instead is told."""

    class Pairs(SecretsProvider):
        TYPE = "pairs"

        def get_secret_as_dict(self, *_: object, **_options: object) -> Any:
            return ["A"]

    made = SecretsDecorator({"sources": [{"type": Pairs.TYPE, "id": "x"}]})
    with pytest.raises(DecoratorError, match="the provider 'pairs' returned list"):
        made.fetch("start")


def test_trigger_says_what_has_started_a_run(repo: GitRepo) -> None:
    """`--trigger FLOW/RUN` names a run that is done: `current.trigger` and `Run.trigger` tell of its end."""
    text = flow(
        "t = current.trigger\nnames = t and [e.name for e in t]\n"
        "self.said = t and (t.event.name, t.event.id, t.run.pathspec, len(t), names)",
        on_flow="@trigger_on_finish(flow='F')",
    )
    ran(repo, text)
    assert value_of(one_task(latest(repo), "end"), "said") is None
    ran(repo, text, "--trigger", "F/1", "run")
    expected = ("metaflow.F.end", "F/1/end/2", "F/1", 1, ["metaflow.F.end"])
    assert value_of(one_task(latest(repo), "end"), "said") == expected
    code = "from gitflowrun import Flow; t = Flow('F')['2'].trigger; print(t.run, t['F'], Flow('F')['1'].trigger)"
    done = repo.flow("-c", code)
    assert done.out == "Run('F/1') Run('F/1') None\n"
    done = ran(repo, text, "--trigger", "F/9", "run", code=1)
    assert "--trigger F/9: flow F has no run 9" in done.err


def test_events_of_a_trigger() -> None:
    """The newest comes first; they are found by name."""
    rows = [
        {"name": name, "id": str(time), "time": time, "type": "event"}
        for name, time in (("a", 1), ("b", 2))
    ]
    trigger = Trigger(rows)
    assert [event.id for event in trigger] == [event.id for event in trigger.events] == ["2", "1"]
    assert (trigger.event, trigger["a"]) == (trigger["b"], trigger.events[1])
    assert ("a" in trigger, "c" in trigger, trigger.runs, trigger.run) == (True, False, None, None)
    with pytest.raises(KeyError):
        _ = trigger["c"]


@pytest.mark.parametrize(
    "entry",
    [
        "[]",
        "{",
        '[{"name": 1}]',
        "[1]",
        "[" * 100_000,
        '[{"name":"a","id":"b","time":1e99,"type":"run"}]',
    ],
)
def test_a_trigger_that_anybody_may_have_written(entry: str) -> None:
    """What is no list of events is no trigger."""
    assert Trigger.load(entry) is None


def test_with_adds_a_decorator_to_all_steps_that_lack_it(repo: GitRepo) -> None:
    """`--with` before or behind the command, and METAFLOW_DEFAULT_DECOSPECS; what the source says wins."""
    text = flow(
        "self.a = os.environ['A']",
        "self.b = os.environ['A']",
        on_start="@environment(vars={'A': 'own'})",
    )
    spec = 'environment:vars={"A": "all, B=1"}'
    given = 'retry:times=1 environment:vars={"A":"all"}'
    for words, default in (
        (("run", "--with", spec), ""),
        (("--with", spec, "run"), ""),
        (("run",), given),
    ):
        ran(repo, text, *words, METAFLOW_DEFAULT_DECOSPECS=default)
        run = latest(repo)
        assert value_of(one_task(run, "end"), "a") == "own"
        assert str(value_of(one_task(run, "end"), "b")).startswith("all")
        steps = run.info.graph["steps"]
        assert steps["end"]["decorators"][0]["statically_defined"] is False
        names = ["retry", "environment"] if default else ["environment"]
        assert [row["name"] for row in steps["end"]["decorators"]] == names


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (
            "@retry(tims=3)",
            "@retry has no attribute 'tims'\nhint: did you mean times? it has times, minutes_between_retries\n",
        ),
        (
            "@retry(2)",
            "2 without the name of an attribute\nhint: write @retry(times=..., minutes_between_retries=...)\n",
        ),
        ("@retry(times=10**400)", "is no number of times"),
        ("@retry(times=5)", "@retry of step 'start' asks for 5 retries, and 4 are possible"),
        ("@retry(times=-1)", "times=-1 is no number of times"),
        ("@retry(times='x')", "times='x' is no number of times"),
        ("@timeout", "@timeout of step 'start' has no time"),
        ("@timeout(seconds='soon')", "seconds='soon' is no time"),
        ("@timeout(seconds=-1)", "seconds=-1 is no time"),
        ("@resources(memory='much')", "memory='much' is no quantity"),
        ("@resources(cpu=-1)", "cpu=-1 is no quantity"),
        ("@environment(vars=3)", "vars is a int"),
        ("@environment(vars={'a=b': 1})", "'a=b' can't be a variable"),
        (r"@environment(vars={'A': '\ud800'})", "'A' can't be a variable"),
        ("@retry\n@retry(times=1)", "step 'start' has @retry twice"),
        ("@project(name='x')", "@project is for flows, and 'start' is none"),
        ("@catch(var='a b')", "var='a b' can't name an artifact"),
        ("@catch(var='end')", "var='end' can't name an artifact: it is a step of the flow"),
        ("@secrets(sources=[{'type': 'inlin'}])", "there is no provider of secrets 'inlin'"),
        ("@secrets(sources=['x'])", "a source has no type"),
        (
            "@secrets(sources=[{'type': 'inline', 'options': {'env_vars': {'HOME': 'x'}}}])",
            "HOME is set already",
        ),
    ],
)
@pytest.mark.sample(12)
def test_misuse_is_told_and_nothing_runs(repo: GitRepo, mark: str, said: str) -> None:
    """What a decorator does not allow is said in words, with exit code 1, and there is no run."""
    done = ran(repo, flow(on_start=mark), code=1)
    assert said in done.err
    assert "Traceback" not in done.err
    assert not repo.git("for-each-ref", "refs/runs")


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("@retry", "@retry is for steps, and 'F' is none"),
        ("@project", "@project has no name"),
        ("@project(name='No')", "@project: name 'No' can't be"),
        ("@project(name='a')\n@project(name='b')", "flow 'F' has @project twice"),
        ("@trigger", "@trigger has neither event nor events"),
        ("@exit_hook(on_success=['nothing'])", "'nothing' is no function of its module"),
        ("@exit_hook", "@exit_hook has nothing to call"),
    ],
)
def test_misuse_on_a_flow_is_told(repo: GitRepo, mark: str, said: str) -> None:
    """The same of the decorators of flows."""
    done = ran(repo, flow(on_flow=mark), code=1)
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"event": 3}, "3 names no event"),
        ({"event": {"nam": "a"}}, "{'nam': 'a'} names no event"),
        ({"events": ["a", None]}, "None names no event"),
        ({"events": "a"}, "events is 'a'"),
        ({"event": "a", "events": ["b"]}, "both event and events"),
        ({"event": "a"}, ""),
        ({"event": lambda _: "a"}, ""),
        ({"event": {"name": "a", "parameters": {"p": "q"}}}, ""),
        ({"events": ["a", {"name": "b"}]}, ""),
    ],
    ids=range(9),
)
def test_events_that_start_a_flow(made: dict[str, Any], said: str) -> None:
    """Names, functions that make them, and maps that have them; nothing else."""
    decorator = TriggerDecorator(made)
    if not said:
        decorator.flow_init(Switching(use_cli=False))
        return
    with pytest.raises(DecoratorError, match=said):
        decorator.flow_init(Switching(use_cli=False))


def test_catch_is_refused_where_nobody_could_go_on(repo: GitRepo) -> None:
    """A step that splits by a foreach, or by a condition, says what follows itself: with @catch it is refused."""
    text = (
        f"{HEAD}class F(FlowSpec):\n    @catch\n    @step\n    def start(self):\n        self.items = [1]\n"
        "        self.next(self.work, foreach='items')\n    @step\n    def work(self):\n"
        "        self.next(self.join)\n    @step\n    def join(self, inputs):\n        self.next(self.end)\n"
        f"    @step\n    def end(self):\n        pass\n{FOOT}"
    )
    done = ran(repo, text, code=1)
    assert "f.py:6: @catch can't be on step 'start'" in done.err
    with pytest.raises(DecoratorError, match=r"step 'start': .* for a condition"):
        complete(Switching)


class Switching(FlowSpec):
    """A switch with `@catch`."""

    @catch
    @step
    def start(self) -> None:
        """Choose."""
        self.next({"a": self.end, "b": self.other}, condition="way")

    @step
    def other(self) -> None:
        """Go on."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_a_decorator_inherited_twice_is_refused(repo: GitRepo) -> None:
    """Which classes have it is said."""
    text = flow(on_flow="@project(name='b')").replace(
        "@project(name='b')\nclass F(FlowSpec)",
        "@project(name='a')\nclass Base(FlowSpec):\n    pass\n\n@project(name='b')\nclass F(Base)",
    )
    done = ran(repo, text, code=1)
    assert "flow 'F' has @project more than once: on F and Base" in done.err


def test_flows_share_steps_and_not_their_decorators(repo: GitRepo) -> None:
    """A decorator added to one flow's steps is not on those of another that inherits them."""
    repo.write("f.py", flow(on_start="@retry(times=1)"))
    code = (
        "from f import F\nfrom gitflowrun.flow.decorators.attached import attached\n"
        "class G(F): pass\n"
        "attached(G).add(['catch'], ['start', 'end'])\n"
        "print([it.name for it in attached(G).of_step('start')], [it.name for it in attached(F).of_step('start')],\n"
        "      attached(G).of_step('start')[0] is attached(F).of_step('start')[0])"
    )
    assert repo.flow("-c", code).out == "['retry', 'catch'] ['retry'] False\n"


def test_show_lists_decorators(repo: GitRepo) -> None:
    """`show` names them as they are written."""
    done = ran(repo, flow(on_start="@retry(times=1)\n@catch"), "show")
    assert "    @retry\n    @catch\n" in done.out


def test_names_of_the_graph(repo: GitRepo) -> None:
    """The client reads what a run's steps were decorated with."""
    ran(repo, flow(on_start="@retry(times=1)"))
    code = (
        "from gitflowrun import Flow; import json\n"
        "print(json.dumps(Flow('F').latest_run['start'].task['_graph_info'].data['steps']['start']['decorators']))"
    )
    (row,) = json.loads(repo.flow("-c", code).out)
    assert row == {
        "name": "retry",
        "attributes": {"times": 1, "minutes_between_retries": 2},
        "statically_defined": True,
        "inserted_by": None,
    }


@pytest.mark.parametrize(
    ("on_flow", "name"), [("", "seen"), ("@project(name='demo')\n", "demo.user.ada.seen")]
)
@pytest.mark.sample(1)
def test_names_of_events_follow_the_project(repo: GitRepo, on_flow: str, name: str) -> None:
    """`namespaced_event_name` makes them when the run starts, also within a map and a list."""
    event = "namespaced_event_name('seen')"
    text = flow(
        on_flow=f"{on_flow}@trigger(events=[{event}, {{'name': {event}, 'parameters': {{}}}}])"
    )
    ran(repo, text)
    (made,) = [row for row in latest(repo).info.graph["decorators"] if row["name"] == "trigger"]
    assert made["attributes"]["events"] == [name, {"name": name, "parameters": {}}]
