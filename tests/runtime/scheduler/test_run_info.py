"""What is recorded of the environment, and above all what is not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.names import RunId
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runtime.scheduler import run_info
from gitflowrun.runtime.scheduler.run_info import (
    announce,
    check_files,
    environment_variables,
    installed_packages,
    lock_files,
    machine,
    redacted,
    without_credentials,
)
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


def test_packages_are_read_from_their_dist_info(tmp_path: Path) -> None:
    """Names and versions come from directory names; the first on the path wins; origins are kept."""
    for folder, names in (("a", ["numpy-2.0", "my-pkg-1.0+cpu"]), ("b", ["numpy-1.0", "Zoo-3"])):
        for name in names:
            (tmp_path / folder / f"{name}.dist-info").mkdir(parents=True)
    direct = tmp_path / "a" / "my-pkg-1.0+cpu.dist-info" / "direct_url.json"
    direct.write_text('{"url": "https://u:secret@host/x.git"}')
    path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "missing")]
    assert [*installed_packages(path).items()] == [
        ("my-pkg", "1.0+cpu @ https://host/x.git"), ("numpy", "2.0"), ("Zoo", "3"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]"])
def test_what_is_no_package_is_not_listed(tmp_path: Path, content: str) -> None:
    """Other directories, and names without a package; an origin that can't be read is none."""
    for name in ("numpy-2.0.egg", "numpy", "-1.0.dist-info", "odd.dist-info", "a-1.dist-info"):
        (tmp_path / name).mkdir()
    (tmp_path / "a-1.dist-info" / "direct_url.json").write_text(content)
    assert installed_packages([str(tmp_path)]) == {"a": "1"}


def test_only_allowed_variables_are_recorded() -> None:
    """The allow-list and what the user adds, but nothing whose name speaks of a secret."""
    environ = {
        "TZ": "UTC",
        "HOME": "/h",
        "AWS_SECRET_ACCESS_KEY": "x",
        "MODEL": "m",
        "API_TOKEN": "t",
    }
    assert environment_variables(environ, ["MODEL", "API_TOKEN"]) == {"MODEL": "m", "TZ": "UTC"}


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:token@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git@host:a.git", "git@host:a.git"),
        ("/a/b@c", "/a/b@c"),
    ],
)
def test_remotes_lose_their_credentials(url: str, clean: str) -> None:
    """User, password and token are stripped from URLs; scp-like addresses and paths stay."""
    assert without_credentials(url) == clean


def test_secrets_on_the_command_line_are_hidden() -> None:
    """What options whose names speak of a secret were given is not recorded."""
    argv = [
        "f.py",
        "run",
        "--api-key",
        "abc",
        "--alpha",
        "3",
        "--auth-token=xyz",
        "https://u:p@h/x",
    ]
    assert redacted(argv) == [
        "f.py", "run", "--api-key", "***", "--alpha", "3", "--auth-token=***", "https://h/x",
    ]  # fmt: skip
    argv = ["secret", "tokens=1", "--alpha=key", "--key", "--pass", "x", "--key=", "y", "--token"]
    assert redacted(argv) == [
        "secret", "tokens=1", "--alpha=key", "--key", "***", "***", "--key=***", "y", "--token",
    ]  # fmt: skip


def test_lock_files_are_digested(tmp_path: Path) -> None:
    """Files that pin dependencies are recorded by digest; a bare repository has none."""
    (tmp_path / "uv.lock").write_text("x")
    (tmp_path / "setup.py").mkdir()
    assert lock_files(tmp_path) == {"uv.lock": blake3(b"x").hexdigest()}
    assert lock_files(None) == {}


def test_the_machine() -> None:
    """Platform, processor, cores, memory and interpreter are recorded."""
    found = machine()
    memory = Path("/proc/meminfo").read_text().split()[1]
    assert found["memory"] == int(memory) << 10
    assert found["cores"] == os.cpu_count()
    assert found["cpu"]
    assert (found["python"], found["executable"]) == (sys.version, sys.executable)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Fast One \nmodel name\t: Other\n", "Fast One "),
        ("x\nHardware : Board\n", "Board"),
        ("nothing of the kind", os.uname().machine),
    ],
)
def test_the_processor(monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    """As the system names it, or else by its architecture."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine()["cpu"] == name


@pytest.mark.parametrize(
    ("remotes", "expected"),
    [
        ({}, {}),
        ({"mine": "https://t@h/a"}, {"remote": "https://h/a"}),
        ({"mine": "a", "yours": "b"}, {}),
        ({"mine": "a", "origin": "b"}, {"remote": "b"}),
    ],
)
def test_where_the_code_comes_from(
    repo: GitRepo, remotes: dict[str, str], expected: dict[str, str]
) -> None:
    """It is `origin`, or the only remote there is."""
    for name, url in remotes.items():
        repo.git("remote", "add", name, url)
    assert run_info._remote(open_repo(repo)) == expected


def test_paths_are_those_within_the_work_tree(tmp_path: Path) -> None:
    """Of a script outside, and where there is no work tree, the path as it was given."""
    top = tmp_path / "top"
    inside = str(top / "a" / ".." / "b" / "f.py")
    outside = str(tmp_path / "f.py")
    assert run_info._within(inside, top) == "b/f.py"
    assert run_info._within(outside, top) == outside
    assert run_info._within(inside, None) == inside
    assert run_info._from(top, str(top / "a")) == "a"
    assert run_info._from(top, None) is run_info._from(None, "a") is None


def test_files_that_announce_a_run_are_looked_at_before_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever can't be written is refused: a directory, a file in none, a file in one that is not ours."""
    check_files(None, tmp_path / "new", tmp_path / "new2")
    for bad in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(UsageError, match="can't be written"):
            check_files(None, tmp_path / "new", bad)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="can't be written"):
        check_files(tmp_path / "new")


def test_who_waits_for_a_run_is_told(repo: GitRepo) -> None:
    """The id alone goes into one file, the facts into another; one that can't be written says how to go on."""
    run, opened = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20)), open_repo(repo)
    number, facts = repo.path / "id", repo.path / "facts"
    announce(run, opened, None, None)
    assert not number.exists()
    announce(run, opened, number, facts)
    assert number.read_text() == "3"
    expected = {"run_id": "3", "flow_name": "MyFlow", "metadata": f"local@{opened.common_dir}"}
    assert json.loads(facts.read_text()) == expected
    with pytest.raises(
        GitflowrunError, match=r"run MyFlow/3 was made, .* Is a directory"
    ) as caught:
        announce(run, opened, None, repo.path)
    assert caught.value.hint == "name another file and resume run 3"
