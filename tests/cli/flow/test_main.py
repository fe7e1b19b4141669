"""The command line of a flow file, without executing anything: options, streams, exit codes."""

# ruff: noqa: ARG002, D101, D102, PLC2401  (flows as users write them)

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gitflowrun import __version__
from gitflowrun.cli.flow.main import COMMANDS, main
from gitflowrun.flow import FlowSpec, JSONType, Parameter, step
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.runtime.launch.launcher import Launcher
from tests.helpers.repos import GitRepo


class Train(FlowSpec):
    """Trains a model.

    In two steps.
    """

    rate = Parameter("learning-rate", default=0.1, help="The rate")
    depth = Parameter("depth", type=int)
    options = Parameter("options", type=JSONType, default='{"a": 1}')
    shuffle = Parameter("shuffle", default=False)
    names = Parameter("names", default="a,b", separator=",")
    größe = Parameter("größe", default=1)
    many = Parameter("many", type=str, default=None, multiple=True)
    now = Parameter("now", default=lambda _context: "x")
    color = Parameter("color", type=click.Choice(["red", "blue"]), default="red")

    @step
    def start(self) -> None:
        """Begin."""
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self) -> None:
        self.next(self.join)

    @step
    def join(self, inputs: object) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class Needy(FlowSpec):
    need = Parameter("need", type=int, required=True, help="Must be there")

    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


class Broken(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)


class Clashing(FlowSpec):
    limit = Parameter("max-workers", default=1)

    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


class Misspelt(FlowSpec):
    limit = Parameter("limit", default=1, requred=True)

    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


class Recorder(Launcher):
    """A launcher that remembers what it was asked for."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(FlowSpec, "")
        self.code = code
        self.requests: list[RunRequest] = []

    def run(self, request: RunRequest, repository: object, *more: object, **others: object) -> int:
        self.requests.append(request)
        return self.code


@pytest.fixture(autouse=True)
def _inside(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)


def _request(*words: str, flow: type[FlowSpec] = Train) -> RunRequest:
    launcher = Recorder()
    assert main(flow, launcher, list(words)) == 0
    return launcher.requests[0]


def test_run_hands_over_what_was_given() -> None:
    """Options become the request; parameters are converted and go by attribute name."""
    request = _request(
        "--quiet", "run", "--learning-rate", "0.5", "--depth", "3", "--options", "[1, 2]",
        "--shuffle", "true", "--names", "x,y,z", "--größe", "7", "--color", "blue",
        "--many", "p", "--many", "q", "--tag", "a b", "--tag", "-x", "--max-workers", "2",
        "--max-num-splits", "7", "--max-log-size", "3", "--run-id-file", "id.txt",
        "--runner-attribute-file", "attributes.json", "--namespace", "user:bob",
    )  # fmt: skip
    assert request.kind is RunKind.RUN
    assert request.parameters == {
        "rate": 0.5,
        "depth": 3,
        "options": [1, 2],
        "shuffle": True,
        "names": ["x", "y", "z"],
        "größe": 7,
        "color": "blue",
        "many": ("p", "q"),
    }
    assert request.tags == ("a b", "-x")
    assert (request.max_workers, request.max_num_splits) == (2, 7)
    assert request.max_log_size == 3 << 20
    assert request.run_id_file == Path("id.txt")
    assert request.runner_attribute_file == Path("attributes.json")
    assert request.namespace == "user:bob"


def test_what_is_not_given_is_not_in_the_request() -> None:
    """Defaults and the environment are the launcher's business."""
    request = _request("run")
    assert request.parameters == {}
    assert (request.max_workers, request.max_num_splits, request.max_log_size) == (16, 100, None)
    assert request.namespace is None


def test_a_required_parameter_may_come_from_a_clone() -> None:
    """`run --clone` takes the parameters of its origin, so none is required of the command line."""
    request = _request("run", "--clone", "12", flow=Needy)
    assert (request.kind, request.origin) == (RunKind.CLONE, "12")


def test_options_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """METAFLOW_RUN_<OPTION> gives an option of `run`, METAFLOW_<OPTION> one that stands before the command."""
    texts = {"RUN_MAX_WORKERS": "3", "RUN_TAGS": "a b", "QUIET": "1", "DECOSPECS": "retry"}
    for name, text in texts.items():
        monkeypatch.setenv(f"METAFLOW_{name}", text)

    class Own(Train):  # the decorator stays with the class
        pass

    request = _request("run", flow=Own)
    assert (request.max_workers, request.tags, request.decospecs) == (3, ("a", "b"), ("retry",))
    assert capsys.readouterr().err == ""
    assert _request("--not-quiet", "run", flow=Own)
    assert "executing Own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "kind", "step_", "origin"),
    [
        (["resume"], RunKind.RESUME, None, None),
        (["resume", "work"], RunKind.RESUME, "work", None),
        (["resume", "1234"], RunKind.RESUME, None, "1234"),
        (["resume", "12-3fa29c1"], RunKind.RESUME, None, "12-3fa29c1"),
        (["resume", "@latest"], RunKind.RESUME, None, "@latest"),
        (["resume", "--origin-run-id", "7"], RunKind.RESUME, None, "7"),
        (["resume", "join", "--origin-run-id", "7"], RunKind.RESUME, "join", "7"),
    ],
)
def test_resume_takes_a_step_or_a_run(
    words: list[str], kind: RunKind, step_: str | None, origin: str | None
) -> None:
    """The argument of resume is a step when the flow has it, else the address of a run."""
    request = _request(*words)
    assert (request.kind, request.step, request.origin) == (kind, step_, origin)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["resume", "wrok"], 1, "did you mean work"),
        (["resume", "7", "--origin-run-id", "8"], 2, "name one run"),
        (["resume", "--depth", "1"], 2, "No such option"),
        (["run", "--depth", "x"], 2, "Invalid value for '--depth': 'x' is not an integer"),
        (["run", "--shuffle", "perhaps"], 2, "Invalid value for '--shuffle'"),
        (["run", "--options", "{"], 2, "Invalid value for '--options'"),
        (["run", "--color", "green"], 2, "Invalid value for '--color'"),
        (["run", "--nope", "1"], 2, "No such option"),
        (["run", "--tag", ""], 1, "Tagging error"),
        (["run", "--max-workers", "0"], 2, "--max-workers"),
        (["run", "--with", "kubernets"], 1, "there is no decorator 'kubernets'"),
        (["--datastore", "s3", "run"], 2, "only 'local' is possible"),
        (["rnu"], 2, "did you mean run"),
        (["package", "list"], 2, "`git runs checkout RUN` writes it"),
        (["argo-workflows", "create"], 2, "runs are made on this machine"),
    ],
)
def test_mistakes_are_told(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake on the command line is told on stderr, without traceback, and nothing runs."""
    launcher = Recorder()
    assert main(Train, launcher, words) == code
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert launcher.requests == []


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (Broken, "end"),
        (Clashing, "'max-workers': the name is reserved"),
        (Misspelt, "parameter 'limit': click.option got an unexpected keyword argument 'requred'"),
    ],
)
def test_a_flow_that_breaks_a_rule_is_not_run(
    flow: type[FlowSpec], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lint and parameter errors end `run` and `check` with 1."""
    for word in ("run", "check", "resume"):
        launcher = Recorder()
        assert main(flow, launcher, [word]) == 1
        assert said in capsys.readouterr().err
        assert launcher.requests == []


def test_the_exit_code_is_the_runs() -> None:
    """`run` ends as the launcher says the run did."""
    assert main(Train, Recorder(1), ["run"]) == 1


def test_the_banner_says_who_runs_what(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line on stderr names version, flow and user; --quiet leaves everything out."""
    assert main(Train, Recorder(), ["run"]) == 0
    err = capsys.readouterr().err
    assert err.splitlines()[0] == f"gitflowrun {__version__} executing Train for user:ada"
    assert main(Train, Recorder(), ["--quiet", "run"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [[], ["check"]])
def test_without_a_command_the_flow_is_checked(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A flow file alone checks the flow and says what to type next; nothing on stdout."""
    assert main(Train, Recorder(), words) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "The flow is valid: 4 steps." in err
    assert " run` runs it" in err


def test_show_describes_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """`show` prints the steps in order on stdout, the flow's own words on stderr."""
    assert main(Train, Recorder(), ["show"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "Step start",
        "    Begin.",
        "    => work  (for each of items)",
        "Step work",
        "    ?",
        "    => join",
        "Step join",
        "    ?",
        "    => end",
        "Step end",
        "    Finish.",
    ]
    assert "Trains a model.\n\nIn two steps." in err


def test_output_dot_is_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    """`output-dot` prints nothing but the graph on stdout."""
    assert main(Train, Recorder(), ["output-dot"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("digraph Train {\n")
    assert '  "start" -> "work" [label="items"];\n' in out
    assert out.endswith("}\n")


def test_version_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """`version` says which gitflowrun this is, where Metaflow says it."""
    assert main(Train, Recorder(), ["--quiet", "version"]) == 0
    assert capsys.readouterr() == ("", f"{__version__}\n")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help names every command; foreign options are accepted but not shown."""
    assert main(Train, Recorder(), words) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name}" in out for name in COMMANDS)
    assert "--quiet" in out
    assert "--metadata" not in out


def test_run_help_shows_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """`run --help` shows each parameter with type, help and default."""
    assert main(Train, Recorder(), ["help", "run"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "--learning-rate FLOAT The rate [default: 0.1]" in out
    assert '--options JSON [default: {"a": 1}]' in out
    assert "--now TEXT [default: computed when the run starts]" in out
    assert "--color [red|blue] [default: red]" in out
    assert main(Needy, Recorder(), ["run", "--help"]) == 0
    assert "--need INTEGER Must be there [required]" in " ".join(capsys.readouterr().out.split())


def test_metaflows_options_are_accepted() -> None:
    """Options that mean "here" in Metaflow's scripts change nothing."""
    request = _request(
        "--metadata", "local", "--datastore=local", "--environment", "local", "--no-pylint",
        "--package-suffixes", ".py,.txt", "--event-logger", "nullSidecarLogger", "--monitor",
        "nullSidecarMonitor", "--metadata", "local@/tmp/x", "--datastore-root", "x", "--local-config-file", "y",
        "--force-rebuild-environments", "run",
    )  # fmt: skip
    assert request.kind is RunKind.RUN


@pytest.mark.parametrize("name", ["conda", "pypi", "uv"])
def test_an_environment_of_packages_is_taken_and_told(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As decorators of these names are; the variable counts, too, and --quiet says nothing."""
    said = f"--environment {name} provides nothing here"
    assert _request("--environment", name, "run").kind is RunKind.RUN
    assert said in capsys.readouterr().err
    monkeypatch.setenv("METAFLOW_ENVIRONMENT", name)
    assert _request("run").kind is RunKind.RUN
    assert said in capsys.readouterr().err
    assert _request("--quiet", "run").kind is RunKind.RUN
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["DATASTORE", "METADATA", "ENVIRONMENT"])
def test_a_variable_that_names_another_place_is_told(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, as it has no effect here; what is local needs no words."""
    monkeypatch.setenv(f"METAFLOW_DEFAULT_{name}", "local")
    assert _request("run").kind is RunKind.RUN
    assert "has no effect" not in capsys.readouterr().err
    monkeypatch.setenv(f"METAFLOW_DEFAULT_{name}", "s3")
    assert _request("run").kind is RunKind.RUN
    assert capsys.readouterr().err.count(f"METAFLOW_DEFAULT_{name}=s3 has no effect: runs are") == 1


def test_another_environment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what there is."""
    assert main(Train, Recorder(), ["--environment", "fast-bakery", "run"]) == 2
    assert "local, conda, pypi and uv are taken" in capsys.readouterr().err
