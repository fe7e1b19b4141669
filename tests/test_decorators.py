"""Decorators of other packages, written against Metaflow's hooks: each is called when and with what Metaflow does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import decorators
from gitflowrun.errors import DecoratorError, InvalidDecoratorAttribute
from gitflowrun.runs.commit_message import Status
from tests.helpers.flows import latest, one_task, value_of

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo

PLUGIN = """
import os
from functools import partial
from gitflowrun.decorators import (
    FlowDecorator, MetaDatum, StepDecorator, _base_step_decorator, make_flow_decorator,
)

HERE = os.path.dirname(os.path.abspath(__file__))


def note(*words):
    with open(os.path.join(HERE, "noted.txt"), "a") as file:
        print(*words, file=file)


class Audited(StepDecorator):
    name = "audited"
    defaults = {"level": 1, "fails": None}

    def step_init(self, flow, graph, step_name, decorators, environment, flow_datastore, logger):
        node = graph[step_name]
        self.names = [it.name for it in decorators]
        note("step_init", step_name, node.type, node.out_funcs, self.names, self.attributes["level"])

    def package_init(self, flow, step_name, environment):
        note("package_init", step_name)

    def add_to_package(self):
        raise NotImplementedError

    def step_task_retry_count(self):
        return 2, 0

    def runtime_task_created(self, task_datastore, task_id, split_index, inputs, cloned, ubf):
        note("runtime_task_created", task_id, split_index, inputs, cloned, ubf)

    def runtime_step_cli(self, cli_args, retry_count, max_user_code_retries, ubf_context):
        cli_args.env["AUDITED"] = f"{retry_count} of {max_user_code_retries}"

    def runtime_init(self, flow, graph, package, run_id):
        note("runtime_init", type(flow).__name__, len(graph.nodes), run_id)
        if self.attributes["fails"] == "init":
            raise ValueError("no audit today")

    def runtime_finished(self, exception):
        note("runtime_finished", type(exception).__name__)
        if self.attributes["fails"] == "finished":
            raise ValueError("too late")

    def task_pre_step(self, step_name, task_datastore, metadata, run_id, task_id, flow, graph, retry_count,
                      max_user_code_retries, ubf_context, inputs):
        note("task_pre_step", step_name, run_id, task_id, retry_count, max_user_code_retries, inputs is None)
        metadata.register_metadata(run_id, step_name, task_id, [MetaDatum("audit", "passed", "audit-type")])

    def task_decorate(self, step_func, flow, graph, retry_count, max_user_code_retries, ubf_context):
        def around():
            flow.before = self.attributes["level"]
            return step_func()
        return around

    def task_post_step(self, step_name, flow, graph, retry_count, max_user_code_retries):
        flow.after = [*self.names, os.environ["AUDITED"]]

    def task_exception(self, exception, step_name, flow, graph, retry_count, max_user_code_retries):
        note("task_exception", exception)
        flow.handled = str(exception)
        return True

    def task_finished(self, step_name, flow, graph, is_task_ok, retry_count, max_user_code_retries):
        note("task_finished", is_task_ok)


class Owned(FlowDecorator):
    name = "owned"
    defaults = {"by": None}
    options = {"owner": {"default": None, "help": "Who owns the run."}}

    def get_top_level_options(self):
        return [("owner", "bob")]

    def flow_init(self, flow, graph, environment, flow_datastore, metadata, logger, echo, options):
        note("flow_init", type(flow).__name__, self.attributes["by"], options.get("owner"))


audited = partial(_base_step_decorator, Audited)
owned = make_flow_decorator(Owned)
"""
FLOW = """
from gitflowrun import FlowSpec, retry, step
from plugin import audited, owned


@owned(by="ada")
class F(FlowSpec):
    @audited(level=2)
    @retry(times=1)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        node = self._graph["start"]
        self.found = [(it.name, it.attributes["level"]) for it in node.decorators if it.name == "audited"]
        1 / FAILS


if __name__ == "__main__":
    F()
"""


def ran(repo: GitRepo, flow: str, *words: str, code: int = 0) -> Any:
    """The result of running a flow with the plugin beside it; what hooks have noted is in `noted`."""
    repo.write("plugin.py", PLUGIN)
    repo.write("f.py", flow)
    repo.write(".gitignore", "noted.txt\n")
    done = repo.flow("f.py", *(words or ("run",)))
    assert done.code == code, done.out + done.err
    return done


def noted(repo: GitRepo) -> list[str]:
    """What hooks have noted."""
    return (repo.path / "noted.txt").read_text().splitlines()


def test_hooks(repo: GitRepo) -> None:
    """Those of steps and flows, in the program and in tasks; metadata they register are the task's."""
    ran(repo, FLOW.replace("1 / FAILS", "pass"), "--owner", "bob", "run")
    lines = noted(repo)
    assert "flow_init F ada bob" in lines
    assert "step_init start start ('end',) ['retry', 'audited'] 2" in lines
    assert lines.count("runtime_init F 2 1") == 1
    assert "package_init start" in lines
    assert "runtime_task_created 1 None ['1/_parameters/0'] False None" in lines
    assert "task_pre_step start 1 1 0 2 True" in lines
    assert "task_finished True" in lines
    assert lines.index("runtime_init F 2 1") < lines.index("runtime_finished NoneType")
    run = latest(repo)
    end = one_task(run, "end")
    assert value_of(end, "before") == 2
    assert value_of(end, "after") == ["retry", "audited", "0 of 2"]
    assert value_of(end, "found") == [("audited", 2)]
    entries = [it for it in one_task(run, "start").record.metadata if it.name == "audit"]
    assert [(it.value, it.type) for it in entries] == [("passed", "audit-type")]


def test_a_failed_run_is_told(repo: GitRepo) -> None:
    """`runtime_finished` gets an exception, whatever step has failed."""
    ran(repo, FLOW.replace("FAILS", "0"), code=1)
    assert noted(repo)[-1] == "runtime_finished RunFailed"


def test_hooks_of_the_run_that_fail(repo: GitRepo) -> None:
    """What `runtime_init` raises fails the run, and is recorded; what `runtime_finished` raises is only told."""
    flow = FLOW.replace("1 / FAILS", "pass")
    done = ran(repo, flow.replace("level=2", 'level=2, fails="init"'), code=1)
    assert "@audited.runtime_init failed" in done.err
    assert "ValueError: no audit today" in done.err
    assert "gitflowrun/runtime" not in done.err
    run = latest(repo)
    assert run.status is Status.FAILED
    done = ran(repo, flow.replace("level=2", 'level=2, fails="finished"'))
    assert "warning: @audited.runtime_finished failed" in done.err
    assert "ValueError: too late" in done.err
    assert "gitflowrun/runtime" not in done.err
    repo.write("leaving.py", PLUGIN.replace('raise ValueError("too late")', "raise SystemExit(3)"))
    flow = flow.replace("from plugin", "from leaving")
    done = ran(repo, flow.replace("level=2", 'level=2, fails="finished"'))
    assert "SystemExit: 3" in done.err


@pytest.mark.parametrize("is_told", [True, False])
def test_an_exception_that_a_decorator_handles(repo: GitRepo, is_told: bool) -> None:
    """The task is done when `task_exception` returns True and says what follows, as Metaflow's decorators say it."""
    said = "        flow._transition = (graph[step_name].out_funcs, None)\n" * is_told
    flow = FLOW.replace("1 / FAILS", "pass").replace(
        "        self.next(self.end)\n",
        "        1 / (self.index or 0)\n        self.next(self.end)\n",
    )
    repo.write("other.py", PLUGIN.replace("        return True\n", f"{said}        return True\n"))
    ran(repo, flow.replace("from plugin", "from other"), code=0 if is_told else 1)
    assert "task_exception division by zero" in noted(repo)
    created = [line for line in noted(repo) if line.startswith("runtime_task_created 1 ")]
    assert len(created) == 1  # however often it is tried
    if is_told:
        assert value_of(one_task(latest(repo), "end"), "handled") == "division by zero"
    else:
        error = one_task(latest(repo), "start").record.attempts[-1].error
        assert "ended without self.next" in str(error)


def test_wrong_attributes_and_classes() -> None:
    """A decorator without a name, another class, and an attribute that it does not have are refused."""

    class Nameless(decorators.StepDecorator):
        pass

    class Named(decorators.StepDecorator):
        name = "named_for_a_test"
        defaults = {"a": 1}  # noqa: RUF012

    for kind in (Nameless, int, decorators.FlowDecorator):
        with pytest.raises(DecoratorError, match="can't be a decorator"):
            decorators.make_step_decorator(kind)  # type: ignore[arg-type]
    with pytest.raises(DecoratorError, match="can't be a decorator"):
        decorators.make_flow_decorator(Named)  # type: ignore[arg-type]
    with pytest.raises(InvalidDecoratorAttribute, match="@named_for_a_test has no attribute 'b'"):
        decorators.make_step_decorator(Named)(b=1)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("cli_args.env[5] = 'x'", "sets cli_args.env[5] (str), which can't be in an environment"),
        ("cli_args.env['A'] = ['x']", "sets cli_args.env['A'] (list), which"),
        ("cli_args.env['A'] = None", "sets cli_args.env['A'] (NoneType), which"),
        ("cli_args.env['A=B'] = 'x'", "sets cli_args.env['A=B'] (str), which"),
        ("cli_args.env['A'] = 'x\\0'", "sets cli_args.env['A'] (str), which"),
        ("cli_args.env = [1]", "has made cli_args.env a list"),
    ],
)  # fmt: skip
def test_what_can_not_be_in_an_environment(repo: GitRepo, change: str, error: str) -> None:
    """The task fails with what the decorator did, and with no frame of ours; numbers become texts."""
    own = PLUGIN.replace("return True", "return False").replace("return 2, 0", "return 0, 0")
    own = own.replace('f"{retry_count} of {max_user_code_retries}"', f"5; {change}")
    repo.write("other.py", own)
    flow = FLOW.replace("from plugin", "from other").replace("    @retry(times=1)\n", "")
    done = ran(repo, flow, code=1)
    assert f"Decorator error: @audited of step 'start' {error}" in done.out
    assert "Traceback" not in done.out + done.err
    assert "task_hooks" not in done.out + done.err
