"""Configs from the command line to the end of a run: options, all processes, storage, runs that go on from others."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from gitflowrun.client import Run
from gitflowrun.client import repository as sources
from gitflowrun.runtime.ipc.request import RERUN
from tests.helpers.flows import latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo, Output

FLOW = '''
import json, os, sys
from gitflowrun import Config, FlowSpec, Parameter, config_expr, current, environment, step

if "SET" in os.environ:
    os.environ["METAFLOW_FLOW_CONFIG_VALUE"] = os.environ["SET"]


class Train(FlowSpec):
    """Trains."""

    config = Config("train-cfg", default="train.json", help="How to train.")
    more = Config("more", default_value="some text", plain=True)
    rate = Parameter("rate", default=config.rate)

    @environment(vars={"MODEL": config.model.kind, "DOUBLE": config_expr("config.rate * 2")})
    @step
    def start(self):
        print("seen:", json.dumps(self.config), self.rate, os.environ["MODEL"], os.environ["DOUBLE"], self.more)
        print("names:", *current.parameter_names)
        self.model = self.config.model
        if "FAIL" in os.environ:
            raise ValueError("as asked")
        self.items = ["a", "b"]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.text = self.config.model.kind + self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        print("joined:", *(i.text for i in inputs), inputs[0].config.rate)
        self.next(self.end)

    @step
    def end(self):
        try:
            self.config.rate = 2
        except TypeError:
            print("end:", self.config.rate)


if __name__ == "__main__":
    Train()
'''
DATA = {"rate": 0.5, "model": {"kind": "tree"}}


@pytest.fixture
def flow(repo: GitRepo) -> GitRepo:
    """A repository with a flow and its config."""
    repo.write("train.py", FLOW)
    repo.write("train.json", json.dumps(DATA))
    repo.commit("a flow")
    return repo


def run(repo: GitRepo, *words: str, code: int = 0, **env: str) -> Output:
    """Run the flow."""
    done = repo.flow("train.py", *words, env=env)
    assert done.code == code, done.out + done.err
    return done


def configs(repo: GitRepo) -> Any:
    """What the newest run says of its configs."""
    return latest(repo).info.environment.get("configs")


def test_a_config_reaches_all_processes(flow: GitRepo) -> None:
    """Parameters, decorators and each step see the config; it is stored once, as a plain map."""
    done = run(flow, "run")
    assert 'seen: {"rate": 0.5, "model": {"kind": "tree"}} 0.5 tree 1.0 some text' in done.out
    assert "names: rate config more" in done.out
    assert "joined: treea treeb 0.5" in done.out
    assert "end: 0.5" in done.out
    newest = latest(flow)
    stored = one_task(newest, "_parameters").record.artifacts
    assert sorted(stored) == ["config", "more", "rate"]
    assert stored["config"].type == "builtins.dict"
    assert one_task(newest, "end").record.artifacts["config"] == stored["config"]
    assert value_of(one_task(newest, "start"), "model") == {"kind": "tree"}


@pytest.mark.parametrize("isolation", ["fresh", "inline"])
@pytest.mark.sample("inline")
def test_other_processes(flow: GitRepo, isolation: str) -> None:
    """Fresh interpreters and the launcher's own process see the same config as forks do."""
    given = json.dumps({"rate": 3, "model": {"kind": "net"}})
    words = ("--config-value", "train-cfg", given, "run")
    done = run(flow, *words, GITFLOWRUN_ISOLATION=isolation)
    assert "3 net 6 some text" in done.out
    assert "joined: neta netb 3" in done.out


def test_what_is_recorded(flow: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client and dump give plain values; INFO says where configs come from, the graph what they are."""
    run(flow, "run")
    assert configs(flow) == {"train-cfg": "train.json", "more": "default"}
    assert latest(flow).info.graph["parameters"] == [
        {"name": "rate", "type": "Parameter"},
        {"name": "config", "type": "Config", "option": "train-cfg"},
        {"name": "more", "type": "Config"},
    ]
    assert latest(flow).info.parameters == {"rate": "0.5"}
    monkeypatch.chdir(flow.path)
    sources._chosen.clear()
    sources._open.clear()
    data: Any = Run("Train/1").data
    assert [data.config, type(data.config), data.more] == [DATA, dict, "some text"]
    run(flow, "dump", "1/end", "--file", "dumped.pickle")
    dumped = pickle.loads((flow.path / "dumped.pickle").read_bytes())["1/end/5"]
    assert [dumped["config"], type(dumped["config"])] == [DATA, dict]


def test_files_elsewhere(flow: GitRepo) -> None:
    """Of a file outside of the repository only the name is recorded, and its content."""
    (flow.path.parent / "other.json").write_text('{"rate": 1, "model": {"kind": "far"}}')
    done = run(flow, "--config", "train-cfg", "../other.json", "run")
    assert "far" in done.out
    assert configs(flow)["train-cfg"] == "other.json (outside)"
    assert str(flow.path.parent) not in json.dumps(latest(flow).info.environment["configs"])


def test_the_environment(flow: GitRepo) -> None:
    """Variables give configs, also those that the flow's module sets."""
    value = json.dumps({"train-cfg": {"rate": 4, "model": {"kind": "env"}}})
    assert "env" in run(flow, "run", METAFLOW_FLOW_CONFIG_VALUE=value).out
    assert configs(flow)["train-cfg"] == "METAFLOW_FLOW_CONFIG_VALUE"
    assert "4 env 8" in run(flow, "run", SET=value).out


def test_one_usage_error_for_all(flow: GitRepo) -> None:
    """Whatever is wrong with configs is told at once, with exit code 2, and no run is made."""
    words = ("--config", "train-cfg", "nope.json", "--config-value", "other", "{}", "run")
    done = run(flow, *words, code=2)
    assert done.err.count("Usage error") == 1
    assert "'nope.json' of config 'train-cfg' can't be read" in done.err
    assert "has no config 'other'" in done.err
    assert "Traceback" not in done.err
    assert not flow.git("for-each-ref", "refs/runs").strip()


@pytest.mark.parametrize("command", [(), ("check",), ("show",), ("output-dot",), ("run",)], ids=str)
def test_commands_that_need_configs(flow: GitRepo, command: tuple[str, ...]) -> None:
    """What looks at the flow reads its configs, and says what is missing."""
    (flow.path / "train.json").unlink()
    assert "'train.json' of config 'train-cfg'" in run(flow, *command, code=2).err


@pytest.mark.parametrize("command", [("version",), ("help",), ("run", "--help")], ids=str)
def test_commands_that_need_none(flow: GitRepo, command: tuple[str, ...]) -> None:
    """Help and version work whatever is missing; help lists the configs."""
    (flow.path / "train.json").unlink()
    done = run(flow, *command)
    if command == ("help",):
        assert "train-cfg (How to train.), more" in " ".join(done.out.split())


def test_options_stand_before_the_command(flow: GitRepo) -> None:
    """Behind it they are unknown; a flow without configs does not have them."""
    assert "--config" in run(flow, "run", "--config", "more", "x", code=2).err
    flow.write("train.py", linear_flow())
    assert "No such option" in run(flow, "--config", "more", "x", "run", code=2).err


def test_a_wrong_expression(flow: GitRepo) -> None:
    """A key that the config lacks is told with the line that asks for it, and exit code 1."""
    done = run(flow, "--config-value", "train-cfg", '{"rate": 1}', "check", code=1)
    line = 1 + next(n for n, text in enumerate(FLOW.splitlines()) if "@environment" in text)
    assert f"train.py:{line}: " in done.err
    assert "config.model can't be looked up" in done.err


def test_secrets_are_warned_of(flow: GitRepo) -> None:
    """What is called like a secret is named, without its value."""
    given = json.dumps({**DATA, "db": {"password": "hunter2"}})
    done = run(flow, "--config-value", "train-cfg", given, "check")
    assert "warning: config 'train-cfg' holds db.password" in done.err
    assert "hunter2" not in done.err


# ---- runs that go on from others ----


def test_resume_has_the_configs_of_its_origin(flow: GitRepo) -> None:
    """Neither another file nor the environment changes them, nor that the file is gone."""
    run(flow, "run", code=1, FAIL="1")
    flow.write("train.json", '{"rate": 9, "model": {"kind": "new"}}')
    env: Any = {"METAFLOW_FLOW_CONFIG_VALUE": '{"more": "env"}'}
    assert "0.5 tree 1.0 some text" in run(flow, "resume", **env).out
    (flow.path / "train.json").unlink()
    assert "0.5 tree 1.0 some text" in run(flow, "resume", "start").out
    assert "0.5 tree 1.0 some text" in run(flow, "resume", "1").out
    assert set(configs(flow).values()) == {"run 1"}


def test_resume_takes_no_configs(flow: GitRepo) -> None:
    """To give some is a usage error that says what to do instead."""
    run(flow, "run", code=1, FAIL="1")
    for words in (("--config", "train-cfg", "train.json"), ("--config-value", "more", "x")):
        done = run(flow, *words, "resume", code=2)
        assert "none can be given" in done.err
        assert "--clone" in done.err


def test_resume_reads_configs_that_are_new(flow: GitRepo) -> None:
    """A config that the flow has got since is read as in a new run."""
    run(flow, "run", code=1, FAIL="1")
    newer = "    extra = Config('extra', default_value={'a': 'added'})\n    rate = Param"
    flow.write(
        "train.py",
        FLOW.replace("    rate = Param", newer).replace('end:", ', 'end:", self.extra.a, '),
    )
    assert "end: added 0.5" in run(flow, "resume", METAFLOW_FLOW_CONFIG_VALUE="").out
    assert configs(flow)["extra"] == "default"


def test_clones_have_what_is_not_given(flow: GitRepo) -> None:
    """A clone takes configs from its origin; what is given wins."""
    run(flow, "run")
    flow.write("train.json", '{"rate": 9, "model": {"kind": "new"}}')
    assert "0.5 tree 1.0 some text" in run(flow, "run", "--clone", "1").out
    done = run(flow, "--config-value", "more", "typed", "run", "--clone=1")
    assert "0.5 tree 1.0 typed" in done.out
    assert configs(flow) == {"train-cfg": "run 1", "more": "the command line"}
    done = run(flow, "--config", "train-cfg", "train.json", "run", RERUN, "1")
    assert "0.5 new 18 some text" in done.out  # parameters are the origin's, too


def test_no_origin(flow: GitRepo) -> None:
    """Without a run to go on from, that is what is said."""
    assert "no run that could be resumed" in run(flow, "resume", code=1).err
    assert "no runs of flow" in run(flow, "run", "--clone", "99", code=1).err


def test_an_origin_that_is_something_else(flow: GitRepo) -> None:
    """Where the origin has another value under the config's name, the run is refused, not wrong."""
    other = linear_flow(name="Train").replace("(FlowSpec):", "(FlowSpec):\n    config = [1]")
    flow.write("train.py", other)
    run(flow, "run")
    flow.write("train.py", FLOW)
    done = run(flow, "resume", "1", code=1)
    assert (
        "can't be taken over as the config 'train-cfg': it is of type list, not a map" in done.err
    )
    assert "Traceback" not in done.err


def test_comparison_of_runs(flow: GitRepo) -> None:
    """`git runs diff` says which keys of a config differ."""
    run(flow, "run")
    run(flow, "--config-value", "train-cfg", '{"rate": 0.5, "model": {"kind": "net"}}', "run")
    assert "'tree' -> 'net'" in flow.runs("diff", "1", "2").out
