"""Flow files of Metaflow run unmodified: its name, all modules and names of it, tasks, exceptions, programs."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from gitflowrun.compat.metaflow_modules import MODULES
from tests.helpers.flows import latest, one_task, value_of
from tests.helpers.repos import GitRepo

FLOW = """
from metaflow import FlowSpec, Parameter, catch, current, step, timeout
from metaflow.exception import MetaflowException
from metaflow.plugins.timeout_decorator import TimeoutException


class F(FlowSpec):
    n = Parameter("n", default=2)

    @step
    def start(self):
        self.items = list(range(self.n))
        self.next(self.work, foreach="items")

    @catch(var="failure")
    @step
    def work(self):
        if self.input == 1:
            raise TimeoutException("too slow")
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.types = [str(it.failure.type) for it in inputs if it.failure]
        self.next(self.end)

    @step
    def end(self):
        self.where = FlowSpec.__module__


if __name__ == "__main__":
    F()
"""
OTHER = 'raise ImportError("this is not the one")\n'
SHIM = "from gitflowrun.compat import install\n\ninstall()\n"


def _installed(code: str, repo: GitRepo, env: dict[str, str] | None = None) -> str:
    """What a program prints that begins with the drop-in."""
    program = f"from gitflowrun.compat import install\ninstall()\n{textwrap.dedent(code)}"
    done = repo.flow("-c", program, env=env)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_unmodified_flow(repo: GitRepo, tmp_path: Path, isolation: str, is_there: bool) -> None:
    """Whether Metaflow is installed or not, and in each task; types of exceptions have its names."""
    env = {}
    if is_there:
        (tmp_path / "other/metaflow").mkdir(parents=True)
        (tmp_path / "other/metaflow/__init__.py").write_text(OTHER)
        env["PYTHONPATH"] = str(tmp_path / "other")
    repo.write("a flow.py", FLOW)
    repo.commit()
    repo.git("config", "runs.isolation", isolation)
    done = repo.flow("-m", "gitflowrun", "a flow.py", "run", env=env)
    assert done.code == 0, done.err
    run = latest(repo)
    assert value_of(one_task(run, "join"), "types") == [
        "metaflow.plugins.timeout_decorator.TimeoutException"
    ]
    assert value_of(one_task(run, "end"), "where") == "gitflowrun.flow.flowspec"


def test_a_directory_with_nothing_but_a_package_that_calls_it(
    repo: GitRepo, tmp_path: Path
) -> None:
    """In PYTHONPATH it serves every program, tasks included."""
    (tmp_path / "shim/metaflow").mkdir(parents=True)
    (tmp_path / "shim/metaflow/__init__.py").write_text(SHIM)
    repo.write("f.py", FLOW)
    repo.commit()
    repo.git("config", "runs.isolation", "fresh")
    done = repo.python("f.py", "run", env={"PYTHONPATH": str(tmp_path / "shim")})
    assert done.code == 0, done.err
    assert value_of(one_task(latest(repo), "join"), "types") != []


def test_all_names_of_all_modules(repo: GitRepo) -> None:
    """Each is what the package has, and the same object by whatever module."""
    code = f"""
    import importlib
    import gitflowrun
    for module, names in {MODULES!r}.items():
        found = importlib.import_module(f"metaflow.{{module}}".rstrip("."))
        for name in names.split():
            value = getattr(found, name)
            assert name == "S3" or value is not None, (module, name)
            assert name in dir(found), (module, name)
            if hasattr(gitflowrun, name) and name != "get_version":
                assert value is getattr(gitflowrun, name), (module, name)
    import metaflow
    from metaflow import *
    import click
    from metaflow._vendor import click as vendored
    assert metaflow.client.Flow is Flow is gitflowrun.Flow
    assert vendored is click
    assert FlowSpec is metaflow.flowspec.FlowSpec is metaflow.decorators.FlowSpec
    print("all")
    """
    assert _installed(code, repo) == "all\n"


def test_what_needs_a_cloud(repo: GitRepo) -> None:
    """It can be imported, derived from and caught; whoever uses it is told."""
    code = """
    from metaflow import S3, airflow_s3_key_sensor
    from metaflow.exception import MetaflowException
    from metaflow.plugins.aws.batch.batch_client import BatchClient
    from metaflow.plugins.kubernetes.kubernetes import KubernetesException
    import metaflow.plugins.datatools.s3.s3util
    class Mine(S3):
        pass
    for use in (lambda: S3(run=None), lambda: BatchClient.region, lambda: Mine(), airflow_s3_key_sensor):
        try:
            use()
        except MetaflowException as error:
            print(error.message.partition(" needs ")[0])
    try:
        raise KubernetesException("x")
    except MetaflowException as error:
        print(type(error).__name__)
    """
    said = _installed(code, repo).split("\n")
    assert said == [
        "S3",
        "BatchClient.region",
        "Mine",
        "airflow_s3_key_sensor",
        "KubernetesException",
        "",
    ]


def test_stand_ins_are_one_class_by_each_path(repo: GitRepo) -> None:
    """They can be caught, asked for attributes and iterated over, with words; who catches others is not in the way."""
    code = """
    import metaflow
    from metaflow import S3
    from metaflow.plugins.cards.card_datastore import CardDatastore
    from metaflow.plugins.datatools.s3 import MetaflowS3NotFound
    import metaflow.plugins.datatools.s3.s3 as real
    from metaflow.metaflow_version import get_version
    assert metaflow.__version__ == metaflow.get_version() == get_version()
    print(S3 is real.S3, hasattr(S3, "_x"), hasattr(S3, "nothing"), metaflow.__version__)
    try:
        raise KeyError("mine")
    except MetaflowS3NotFound:
        print("never")
    except KeyError as error:
        print(error)
    for use in (lambda: list(S3), lambda: CardDatastore("x")):
        try:
            use()
        except Exception as error:
            print(error.message.partition(",")[0])
    """
    said = _installed(code, repo)
    assert said == (
        "True False False 2.19.39\n'mine'\nS3 needs the services of a cloud\n"
        "CardDatastore is of Metaflow's store of cards\n"
    )


def test_interpreters_that_a_step_starts(repo: GitRepo) -> None:
    """Spawned processes and other programs find it as Metaflow, too."""
    repo.write(
        "f.py",
        """
import multiprocessing, subprocess, sys
from metaflow import FlowSpec, step


def double(x):
    return x * 2


class F(FlowSpec):
    @step
    def start(self):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.doubled = pool.map(double, [1, 2])
        program = "import metaflow; print(metaflow.FlowSpec.__module__)"
        self.other = subprocess.check_output([sys.executable, "-c", program], text=True)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
""",
    )
    repo.commit()
    done = repo.flow("-m", "gitflowrun", "f.py", "run", timeout=100)
    assert done.code == 0, done.err
    task = one_task(latest(repo), "start")
    assert value_of(task, "doubled") == [2, 4]
    assert value_of(task, "other") == "gitflowrun.flow.flowspec\n"


@pytest.mark.parametrize(
    "code", ["def f(:\n", "import nothing_of_this_name\n", "raise ValueError('x')\n"]
)
def test_a_traceback_has_the_frames_of_the_file(repo: GitRepo, code: str) -> None:
    """As `python FILE` prints it."""
    repo.write("f.py", code)
    ours, plain = repo.flow("-m", "gitflowrun", "f.py"), repo.flow("f.py")
    assert (ours.code, ours.err) == (plain.code, plain.err)


def test_what_metaflow_has_not(repo: GitRepo) -> None:
    """Modules and names that it lacks are errors of import, as ever, and say whose they are."""
    code = """
    import importlib, pickle
    for name in ("metaflow.nothing", "metaflow.client.nothing"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            print(error)
    try:
        from metaflow import nothing
    except ImportError as error:
        print("no name")
    import metaflow
    print(hasattr(metaflow, "__file__"), hasattr(metaflow, "nothing"))
    from metaflow.metaflow_config import DATASTORE_SYSROOT_S3, DEFAULT_METADATA, MAX_ATTEMPTS
    print(DATASTORE_SYSROOT_S3, DEFAULT_METADATA, MAX_ATTEMPTS + 1)
    """
    said = _installed(code, repo, {"METAFLOW_MAX_ATTEMPTS": "7"})
    assert "No module named 'metaflow.nothing'" in said
    assert said.endswith("no name\nTrue False\nNone local 8\n")


def test_metaflow_that_was_imported_before(repo: GitRepo, tmp_path: Path) -> None:
    """Half of a program would have the one, and half the other."""
    (tmp_path / "other/metaflow").mkdir(parents=True)
    (tmp_path / "other/metaflow/__init__.py").write_text("")
    code = "import metaflow\nfrom gitflowrun.compat import install\ninstall()"
    done = repo.python("-c", code, env={"PYTHONPATH": str(tmp_path / "other")})
    assert done.code == 1
    assert "metaflow was imported before, from " in done.err
    assert "call gitflowrun.compat.install() before" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: python -m gitflowrun FLOW.py"),
        (["--version"], "usage: python -m gitflowrun FLOW.py"),
        (["no.py"], "no.py: No such file or directory"),
        (["."], ".: Is a directory"),
    ],
)
def test_a_command_that_names_no_file(repo: GitRepo, words: list[str], said: str) -> None:
    """It says how it is used, with git's exit code for that."""
    done = repo.flow("-m", "gitflowrun", *words)
    assert (done.code, said in done.err, "Traceback" in done.err) == (2, True, False)


def test_programs_start_such_flows_too(repo: GitRepo) -> None:
    """`Runner`, `resume` and `git runs rerun` begin them as they were begun."""
    repo.write("f.py", FLOW)
    repo.write(
        "p.py",
        "from metaflow import Runner\nwith Runner('f.py').run(n=3) as running:\n    print(running.run.pathspec)\n",
    )
    repo.commit()
    done = repo.flow("-m", "gitflowrun", "p.py")
    assert (done.code, done.out.endswith("\nF/1\n")) == (0, True), done.err
    assert repo.flow("-m", "gitflowrun", "f.py", "resume", "join").code == 0
    assert repo.runs("rerun", "1").code == 0
    assert value_of(one_task(latest(repo), "end"), "where") == "gitflowrun.flow.flowspec"
    said = repo.flow("-m", "gitflowrun", "f.py", "run", "--n", "x")
    assert said.code == 2
    assert sys.executable not in said.out


def _extension(top: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        path = top / "metaflow_extensions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return {"PYTHONPATH": str(top)}


EXTENSION = {
    "acme/config/mfextinit_acme.py": """
        from metaflow.metaflow_config_funcs import from_conf
        ACME_ROOT = from_conf("ACME_ROOT", "/data")
        DEFAULT_DATASTORE = "acme"
        TOGGLE_DECOSPECS = ["here"]
        def acme_place():
            return ACME_ROOT
    """,
    "acme/exceptions/mfextinit_acme.py": """
        from metaflow.exception import MetaflowException
        class AcmeError(MetaflowException):
            headline = "Acme has failed"
    """,
    "acme/toplevel/mfextinit_acme.py": """
        toplevel = "acme_names"
        module_overrides = "acme_modules"
    """,
    "acme/toplevel/acme_names.py": "from metaflow import current\nacme_version = '7'\n",
    "acme/toplevel/acme_modules.py": "__mf_promote_submodules__ = ['plugins.retry_decorator']\n",
    "acme/plugins/mfextinit_acme.py": """
        from . import more_tools
        from metaflow.decorators import StepDecorator
        __mf_promote_submodules__ = ["acme_tools"]
        class HereDecorator(StepDecorator):
            name = "here"
            def task_pre_step(self, step_name, task_datastore, metadata, run_id, task_id, flow, *rest):
                flow.is_here = True
        STEP_DECORATORS_DESC = [
            ("broken", ".broken.BrokenDecorator"), ("misnamed", ".HereDecorator"),
            ("audited", ".audited.AuditedDecorator"), ("here", ".HereDecorator"),
        ]
        FLOW_DECORATORS_DESC = [("owned", ".audited.OwnedDecorator")]
    """,
    "acme/plugins/audited.py": """
        from metaflow.decorators import FlowDecorator, StepDecorator
        class AuditedDecorator(StepDecorator):
            name = "audited"
            defaults = {"level": "info"}
            def task_pre_step(self, step_name, task_datastore, metadata, run_id, task_id, flow, *rest):
                flow.audited = self.attributes["level"]
        class OwnedDecorator(FlowDecorator):
            name = "owned"
            defaults = {"by": "nobody"}
            options = {"owned-by": dict(default="", help="Whose it is.")}
            def flow_init(self, flow, graph, environment, flow_datastore, metadata, logger, echo, options):
                assert options["owned-by"] == "bob"
    """,
    "acme/plugins/acme_tools.py": "answer = 42\n",
    "acme/plugins/more_tools.py": "question = 'six by nine'\n",
    "acme/plugins/retry_decorator.py": """
        from metaflow.plugins.retry_decorator._orig import RetryDecorator
        more = "more"
    """,
    "acme/plugins/cards/acme_cards/__init__.py": """
        from metaflow.plugins.cards.card_modules.card import MetaflowCard
        class AcmeCard(MetaflowCard):
            type = "acme"
            ALLOW_USER_COMPONENTS = True
        CARDS = [AcmeCard]
    """,
    "acme/plugins/cards/broken/__init__.py": "raise OSError('no fonts')\n",
    "acme/plugins/cards/mfextinit_more.py": """
        from metaflow.cards import MetaflowCard
        CARDS = [type("More", (MetaflowCard,), {"type": "more"}), type("Nameless", (MetaflowCard,), {})]
    """,
    "broken/toplevel/mfextinit_broken.py": "raise OSError('no license')\n",
    "ended/config/mfextinit_ended.py": "raise SystemExit(0)\n",
}


EXTENDED = """
from metaflow import FlowSpec, acme_version, audited, card, current, here, owned, step
from metaflow.cards import Markdown
from metaflow.exception import AcmeError, MetaflowException
from metaflow.metaflow_config import ACME_ROOT, DEFAULT_DATASTORE, acme_place
from metaflow.plugins.acme_tools import answer
from metaflow.plugins.more_tools import question
from metaflow.plugins.retry_decorator import RetryDecorator, more


@owned(by="ada")
class F(FlowSpec):
    @card(type="acme", id="a")
    @card(type="more", id="m")
    @card(type="nobody's", id="n")
    @audited(level="all")
    @step
    def start(self):
        assert issubclass(AcmeError, MetaflowException)
        assert (acme_place(), self.is_here) == (ACME_ROOT, True)
        self.facts = [acme_version, ACME_ROOT, DEFAULT_DATASTORE, answer, more, RetryDecorator.name]
        for card_id in "amn":
            current.card[card_id].append(Markdown("x"))
        self.shown = [len(current.card[it].components) for it in "amn"]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""


def test_extension_packages(repo: GitRepo, tmp_path: Path) -> None:
    """They add decorators, names, modules, values of config and exceptions; one that fails is left out, and told."""
    env = _extension(tmp_path / "extensions", EXTENSION)
    repo.write("f.py", EXTENDED)
    repo.commit()
    for isolation in ("fork", "fresh"):
        repo.git("config", "runs.isolation", isolation)
        words = [
            "-m",
            "gitflowrun",
            "f.py",
            "--owned-by",
            "bob",
            "run",
            "--with",
            "audited:level=some",
        ]
        done = repo.python(*words, env=env)
        assert done.code == 0, done.err
        assert (
            "metaflow_extensions.broken.toplevel.mfextinit_broken is left out: OSError: no license"
            in done.err
        )
        assert "listed as 'misnamed', and its class HereDecorator is called 'here'" in done.err
        run = latest(repo)
        facts = ["7", "/data", "acme", 42, "more", "retry"]
        assert value_of(one_task(run, "start"), "facts") == facts
        assert value_of(one_task(run, "start"), "shown") == [1, 0, 0]
        assert 'There is no type of cards "nobody\'s"' in done.out
        assert "Cards of the type 'more' show no components" in done.out
        assert value_of(one_task(run, "start"), "audited") == "all"
        assert value_of(one_task(run, "end"), "audited") == "some"


FINDER = """
import sys
from importlib.machinery import ModuleSpec


class Editable:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "metaflow_extensions":
            found = ModuleSpec(name, None, is_package=True)
            found.submodule_search_locations = [{0!r}]
            return found


sys.meta_path.append(Editable)
"""


def test_extension_packages_that_only_a_finder_knows(repo: GitRepo, tmp_path: Path) -> None:
    """As those that are installed to be edited; where Python is told so, the flow's directory is not looked in."""
    _extension(tmp_path / "extensions", EXTENSION)
    (tmp_path / "site").mkdir()
    place = str(tmp_path / "extensions/metaflow_extensions")
    (tmp_path / "site/sitecustomize.py").write_text(FINDER.format(place))
    repo.write("f.py", "import sys\nimport metaflow\nprint(metaflow.acme_version, sys.path[0])\n")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    done = repo.python("-m", "gitflowrun", "f.py", env=env)
    assert (done.code, done.out) == (0, f"7 {repo.path}\n"), done.err
    if sys.version_info >= (3, 11):
        done = repo.python("-P", "-m", "gitflowrun", "f.py", env=env)
        assert (done.code, done.out.split()[0], str(repo.path) in done.out) == (0, "7", False)


def test_what_is_not_here_and_not_caught(repo: GitRepo) -> None:
    """It ends the program with its words and the line, and no traceback."""
    repo.write("f.py", "from metaflow import S3\n\nS3()\n")
    done = repo.flow("-m", "gitflowrun", "f.py")
    assert done.code == 1
    assert done.err.startswith(
        f"Not available: {repo.path}/f.py:3: S3 needs the services of a cloud"
    ), done.err
