"""What is installed is whole: from a checkout, from a wheel and by uv, in environments that hold nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from gitflowrun.cli.manual.installed import installed_files
from tests.docs.blocks import blocks, lines_for
from tests.helpers.repos import ROOT

FROM_CHECKOUT, FROM_WHEEL = lines_for("tests/test_install.py")
BY_UV = {"uv run docs/examples/hello.py run": "HELLO, WORLD!", "uv run git runs": "Hello/1  done"}
HOOKS = {"post-commit", "pre-push", "pre-receive"}
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "dist"
)


def shell(script: str, cwd: Path, **env: str) -> str:
    """Run a line of bash where nothing of the tests' own environment can be imported.

    Args:
        script: The line.
        cwd: Where. Programs of an environment `.venv` there come first on PATH.
        env: Variables to set besides.

    Returns:
        What it printed to both streams.
    """
    path = [str(cwd / ".venv" / "bin"), str(Path(sys.base_prefix) / "bin"), os.environ["PATH"]]
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd, env={**clean, "PATH": os.pathsep.join(path), **env}, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {script}\n{done.stdout}"
    return done.stdout


def install(line: str, cwd: Path) -> str:
    """Run a line that downloads packages, with the index and the cache that this account is set up for."""
    return shell(line, cwd, HOME=pwd.getpwuid(os.getuid()).pw_dir, XDG_CONFIG_HOME="")


def commit_all(directory: Path) -> None:
    """Make a directory a repository with one commit."""
    shell("git init -q && git add -A && git commit -q -m first", directory)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean copy of our source tree."""
    return Path(shutil.copytree(ROOT, tmp_path / "gitflowrun", ignore=NOT_SOURCE))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository beside the checkout, with the README's flow and a fresh environment in `.venv`."""
    project = tmp_path / "project"
    project.mkdir()
    (flow,) = [block.text for block in blocks(ROOT / "README.md") if block.title == "train.py"]
    (project / "train.py").write_text(flow)
    (project / ".gitignore").write_text(".venv/\ndist/\n")
    commit_all(project)
    shell("python3 -m venv .venv", project)
    return project


def check_installed(project: Path) -> None:
    """A flow runs, `git runs` finds itself on PATH, and the hooks came along."""
    assert "loss 0.667" in shell("python train.py --quiet run", project)
    assert "Train/1  done" in shell("git runs", project)
    shell("git init -q --bare ../shared.git && git runs hooks install", project)
    shell("git -C ../shared.git runs hooks install", project)
    client, server = project / ".git" / "hooks", project.parent / "shared.git" / "hooks"
    assert {path.name for path in (*client.iterdir(), *server.iterdir())} >= HOOKS
    shell("git fsck --strict --no-dangling", project)
    assert "$ git runs show 2" in shell("git runs show --help", project)
    if shutil.which("man"):
        assert "Look at runs:" in shell("git runs --help", project)


@pytest.mark.slow
def test_a_checkout_is_installed_into_a_project(checkout: Path, project: Path) -> None:
    """`pip install` of a checkout brings all that a run and `git runs` need, and leaves nothing in it."""
    before = sorted(checkout.rglob("*"))
    install(FROM_CHECKOUT, project)
    check_installed(project)
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.slow
def test_a_wheel_is_installed_into_a_fresh_environment(checkout: Path, project: Path) -> None:
    """The wheel holds hooks, manual, assets, license and type marker, nothing of tests, and needs no checkout."""
    install(FROM_WHEEL, project)
    (wheel,) = (project / "dist").glob("*.whl")
    everything = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    names = {name for name in everything if ".data/" not in name}
    beside = {name.partition(".data/data/")[2] for name in everything - names}
    assert beside == set(installed_files())
    assert names >= {"gitflowrun/py.typed", *(f"gitflowrun/hooks/{name}" for name in HOOKS)}
    assets = [
        *(ROOT / "gitflowrun/cards/assets").iterdir(),
        ROOT / "gitflowrun/compat/metaflow_names.txt",
        *(ROOT / "gitflowrun/web").glob("list.*"),
    ]
    assert names >= {path.relative_to(ROOT).as_posix() for path in assets}
    assert {name.split("/")[0] for name in names} == {"gitflowrun"}
    assert any(name.endswith("/licenses/LICENSE") for name in ZipFile(wheel).namelist())
    shutil.rmtree(checkout)
    check_installed(project)


@pytest.mark.slow
def test_uv_sets_up_and_runs_in_one_line(checkout: Path) -> None:
    """`uv run` makes the environment and runs a flow, `uv run git runs` lists it; git sees no new file."""
    if not shutil.which("uv"):
        pytest.skip("uv is not installed")
    commit_all(checkout)
    for command, printed in BY_UV.items():
        assert f"`{command}`" in (ROOT / "README.md").read_text()
        assert printed in install(command, checkout)
    assert shell("git status --porcelain", checkout) == ""
