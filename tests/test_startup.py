"""Start-up is a feature: what is imported when, checked by name rather than by clock."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import gitflowrun
from tests.helpers.repos import ROOT, GitRepo, make_repo

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
    """A program that never names the facade is a flow's program all the same."""
    flow = """
from gitflowrun.flow import FlowSpec, step
class Direct(FlowSpec):
    @step
    def start(self): self.next(self.end)
    @step
    def end(self): Direct(); print("object made")
if __name__ == "__main__":
    Direct()
"""
    repo.write("direct.py", flow)
    done = repo.flow("direct.py", "run")
    assert done.code == 0, done.err
    assert done.out.count("object made") == 1


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
def test_listing_needs_no_pygit2(args: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """`git runs -h` and `git runs list` load neither pygit2 nor numpy."""
    repo = make_repo(
        tmp_path_factory.mktemp("startup") / "r",
        files={"hello.py": (ROOT / "docs/examples/hello.py").read_text()},
    )
    assert repo.flow("hello.py", "run").code == 0
    code = (
        "import sys\nfrom gitflowrun.cli.git_runs.main import main\n"
        f"sys.argv = ['git-runs', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
    )
    assert imported(repo, code) == set()


def test_the_client_needs_no_pygit2(repo: GitRepo) -> None:
    """Reading runs through the client works on git's own executable and packs."""
    assert imported(repo, "from gitflowrun import Flow, Metaflow\nlist(Metaflow())") <= {"numpy"}


def test_python_is_the_same(repo: GitRepo) -> None:
    """The helper runs the interpreter that runs the tests."""
    assert repo.python("-c", "import sys; print(sys.executable)").out.strip() == sys.executable
