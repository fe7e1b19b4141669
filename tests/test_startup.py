"""Start-up is a feature: what is imported when, checked by name rather than by clock."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest

import gitflowrun
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import make_run

HEAVY = ("pygit2", "numpy", "pandas", "sqlite3", "asyncio", "ssl", "rich", "importlib.metadata")


def imported(repo: GitRepo, code: str) -> set[str]:
    """Which of the heavy modules a program imports."""
    tail = f"\nimport sys\nprint('IMPORTED', *sorted(set({HEAVY}) & set(sys.modules)))"
    done = repo.python("-c", code + tail)
    assert done.code == 0, done.err
    return set(done.out.rpartition("IMPORTED")[2].split())


def test_importing_the_package_imports_nothing(repo: GitRepo) -> None:
    """`import gitflowrun` loads none of its dependencies, nor click and msgpack."""
    names = "[m for m in ('click', 'msgpack', 'blake3', 'pygit2') if m in sys.modules]"
    done = repo.python("-c", f"import gitflowrun, sys; print({names})")
    assert done.out == "[]\n"


def test_a_flow_file_imports_little(repo: GitRepo) -> None:
    """The names a flow file needs bring neither pygit2 nor click."""
    assert imported(repo, "from gitflowrun import FlowSpec, Parameter, step, current") == set()
    done = repo.python(
        "-c", "from gitflowrun import FlowSpec, step; import sys; print('click' in sys.modules)"
    )
    assert done.out == "False\n"


def test_a_flow_file_may_import_from_the_flow_package(repo: GitRepo) -> None:
    """A program that never names the facade is a flow's program all the same, and loads no cards without any."""
    flow = """
from gitflowrun.flow import FlowSpec, step
class Direct(FlowSpec):
    @step
    def start(self): self.next(self.end)
    @step
    def end(self):
        import sys
        Direct(); print("object made", [it for it in sys.modules if it.startswith("gitflowrun.cards")])
if __name__ == "__main__":
    Direct()
"""
    repo.write("direct.py", flow)
    done = repo.python("direct.py", "run")
    assert done.code == 0, done.err
    assert done.out.count("object made []") == 1


@pytest.mark.parametrize(
    "words", [("push",), ("push", "origin", "1"), ("fetch",), ("fetch", "origin")]
)
@pytest.mark.sample(2)
def test_sharing_without_options_loads_no_click(repo: GitRepo, words: tuple[str, ...]) -> None:
    """A push or fetch of names alone does not wait for what reads options, pickles or large values."""
    repo.commit()
    repo.git("clone", "-q", "--bare", ".", "server")
    repo.git("remote", "add", "origin", "server")
    make_run(repo)
    # What is not named is sent if it was made here or is trusted.
    unwanted = ["click", "tempfile", *(["gitflowrun.runs.trust"] if words != ("push",) else [])]
    names = f"[m for m in {unwanted} if m in sys.modules]"
    code = f"import sys\nfrom gitflowrun.cli.git_runs.main import main\nmain({words!r})\n"
    done = repo.python("-c", f"{code}names = {names}\nprint(*names, 'end')")
    assert done.out.splitlines()[0] in {"To origin", "From origin"}
    assert done.out.endswith("\nend\n")


@pytest.mark.parametrize(
    "words",
    [(), ("list",), ("-5",), ("-n", "5"), ("list", "-n5"), ("show",), ("show", "1", "F/1/start")],
)
@pytest.mark.sample(3)
def test_looking_at_runs_without_options_loads_no_click(
    repo: GitRepo, words: tuple[str, ...]
) -> None:
    """A second list does not even wait for what reads records; a plain `show` not for what reads options."""
    run = make_run(repo)
    repo.runs("list")  # reads the records of new runs, and remembers
    words = tuple(word.replace("F/", f"{run.flow}/") for word in words)
    unwanted = (
        ["click"] if "show" in words else ["click", "sqlite3", "json", "gitflowrun.runs.records"]
    )
    code = (
        f"import sys\nfrom gitflowrun.cli.git_runs.main import main\nassert main({words!r}) == 0\n"
    )
    done = repo.python("-c", f"{code}print('LOADED', *{{*{unwanted!r}}} & {{*sys.modules}}, 'end')")
    assert done.code == 0, done.err
    assert done.out.endswith("\nLOADED end\n")


@pytest.mark.parametrize("words", [("show", "-h"), ("cat", "--help"), ("help", "push")])
def test_help_of_a_command_loads_the_command_line_alone(
    repo: GitRepo, words: tuple[str, ...]
) -> None:
    """Whoever asks for options waits for click and for nothing that the command itself would need."""
    layers = ("artifacts", "client", "flow", "git", "porcelain", "runs", "runtime")
    code = (
        "import sys\nfrom gitflowrun.cli.git_runs.main import main\n"
        f"main({words!r})\n"
        f"print('LOADED', [m for m in sys.modules if m.split('.')[1:2] and m.startswith('gitflowrun.') "
        f"and m.split('.')[1] in {layers!r}])"
    )
    done = repo.python("-c", code)
    assert done.out.startswith(("Usage: git runs ", "NAME\n    git-runs-"))
    assert done.out.endswith("LOADED []\n")


def _exports_named_like_modules() -> list[tuple[str, str]]:
    """Packages and the names they export that are also names of modules in them."""
    root = Path(gitflowrun.__file__).parent
    found = []
    for init in root.rglob("__init__.py"):
        package = ".".join(init.parent.relative_to(root.parent).parts)
        for node in ast.walk(ast.parse(init.read_text())):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                found += [(package, n) for n in names if (init.parent / f"{n}.py").exists()]
    return found


@pytest.mark.parametrize(("package", "name"), _exports_named_like_modules())
def test_an_export_is_never_replaced_by_a_module(repo: GitRepo, package: str, name: str) -> None:
    """Importing the module of the same name, before or after, leaves the exported object in place."""
    for first, second in ((package, f"{package}.{name}"), (f"{package}.{name}", package)):
        code = (
            f"import importlib, types\nimportlib.import_module({first!r})\n"
            f"importlib.import_module({second!r})\n"
            f"from {package} import {name} as exported\n"
            "print(isinstance(exported, types.ModuleType))"
        )
        assert repo.python("-c", code).out == "False\n", (first, second)


@pytest.mark.parametrize("args", [["-h"], ["list"], ["--version"]])
@pytest.mark.sample(2)
def test_listing_needs_no_pygit2(args: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """`git runs -h` and `git runs list` load neither pygit2 nor numpy."""
    repo = make_repo(
        tmp_path_factory.mktemp("startup") / "r",
        files={"hello.py": (ROOT / "docs/examples/hello.py").read_text()},
    )
    assert repo.python("hello.py", "run").code == 0
    code = (
        "import sys\nfrom gitflowrun.cli.git_runs.main import main\n"
        f"sys.argv = ['git-runs', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
    )
    assert imported(repo, code) <= ({"sqlite3"} if args == ["list"] else set())


def test_the_client_needs_no_pygit2(repo: GitRepo) -> None:
    """Reading runs through the client works on git's own executable and packs."""
    assert imported(repo, "from gitflowrun import Flow, Metaflow\nlist(Metaflow())") <= {"numpy"}


WATCHED = """
import os, sys
real = os.fsync
def fsync(fd):
    with open(os.environ["WATCHED"], "a") as log:
        log.write("fsync " + os.readlink(f"/proc/self/fd/{fd}") + "\\n")
    real(fd)
os.fsync = fsync
def hear(event, args):
    if event == "import" and args[0].startswith("gitflowrun.git.signing.signature"):
        with open(os.environ["WATCHED"], "a") as log:
            log.write(f"signature {sys.argv}\\n")
sys.addaudithook(hear)
"""
UNWANTED = """
import os, sys
with open(os.environ["WATCHED"], "a") as log:
    log.write(f"pygit2 {sys.argv}\\n")
raise ImportError("pygit2 is not wanted here")
"""
ASKED = """#!/bin/sh
echo "git $*" >> "$WATCHED"
exec {git} "$@"
"""


def watched(repo: GitRepo, place: Path) -> dict[str, str]:
    """The environment that makes all processes of a run tell of fsyncs, of pygit2 and of git in a log."""
    place.mkdir()
    (place / "sitecustomize.py").write_text(WATCHED)
    (place / "pygit2.py").write_text(UNWANTED)
    program = place / "git"
    program.write_text(ASKED.format(git=shutil.which("git")))
    program.chmod(0o755)
    repo.write("hello.py", (ROOT / "docs/examples/hello.py").read_text())
    repo.commit("a flow")
    return {
        "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
        "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
        "WATCHED": str(place / "log"),
    }


def log_of(env: dict[str, str], what: str) -> list[str]:
    """The lines about one thing in the log of `watched`."""
    lines = Path(env["WATCHED"]).read_text().splitlines()
    return [line.removeprefix(what).strip() for line in lines if line.startswith(f"{what} ")]


def test_no_process_of_a_run_loads_libgit2(repo: GitRepo, tmp_path: Path) -> None:
    """Neither launcher, scheduler nor tasks import pygit2: it would cost more than all of git's work."""
    env = watched(repo, tmp_path / "watch")
    assert repo.python("hello.py", "run", env=env).code == 0
    assert repo.python("hello.py", "resume", "shout", env=env).code == 0
    assert log_of(env, "pygit2") == []
    assert log_of(env, "signature") == []  # nor what signs runs
    assert repo.python("-c", "import pygit2", env=env).code == 1
    assert len(log_of(env, "pygit2")) == 1
    assert repo.python("hello.py", "run", env={**env, "GITFLOWRUN_SIGN": "true"}).code == 1
    assert len(log_of(env, "signature")) == 1


def test_a_run_asks_git_each_question_once(repo: GitRepo, tmp_path: Path) -> None:
    """Where the repository is, what its config says, two looks at the work tree, and one that moves refs."""
    env = watched(repo, tmp_path / "watch")
    for _ in range(2):  # the first run of a repository looks at all refs, too
        assert repo.python("hello.py", "run", env=env).code == 0
        asked = log_of(env, "git")
        Path(env["WATCHED"]).unlink()
    for command in ("rev-parse", "config", "update-ref"):
        assert sum(command in line.split() for line in asked) == 1, asked
    assert len(asked) == 5, asked


def test_a_commit_of_a_run_costs_five_fsyncs(repo: GitRepo, tmp_path: Path) -> None:
    """Pack, index, their directory, ref, its directory: none of them can be spared, and nothing is added."""
    env = watched(repo, tmp_path / "watch")
    assert repo.python("hello.py", "run", env=env).code == 0  # makes the directories
    Path(env["WATCHED"]).unlink()
    assert repo.python("hello.py", "run", env=env).code == 0
    synced = log_of(env, "fsync")
    moves = sum(path.endswith("refs/runs/Hello/2.lock") for path in synced)
    assert moves <= 4
    assert len(synced) == 5 * moves, synced


def test_python_is_the_same(repo: GitRepo) -> None:
    """The helper runs the interpreter that runs the tests."""
    assert repo.python("-c", "import sys; print(sys.executable)").out.strip() == sys.executable
