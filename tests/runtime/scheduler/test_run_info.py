"""What is recorded of the environment, and above all what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.runtime.scheduler.run_info import (
    environment_variables,
    installed_packages,
    lock_files,
    machine,
    redacted,
    without_credentials,
)


def test_packages_are_read_from_their_dist_info(tmp_path: Path) -> None:
    """Names and versions come from directory names; the first on the path wins; origins are kept."""
    for folder, names in (("a", ["numpy-2.0", "my-pkg-1.0+cpu"]), ("b", ["numpy-1.0", "Zoo-3"])):
        for name in names:
            (tmp_path / folder / f"{name}.dist-info").mkdir(parents=True)
    direct = tmp_path / "a" / "my-pkg-1.0+cpu.dist-info" / "direct_url.json"
    direct.write_text('{"url": "https://u:secret@host/x.git"}')
    path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "missing")]
    assert installed_packages(path) == {
        "my-pkg": "1.0+cpu @ https://host/x.git", "numpy": "2.0", "Zoo": "3",
    }  # fmt: skip


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


def test_lock_files_are_digested(tmp_path: Path) -> None:
    """Files that pin dependencies are recorded by digest; a bare repository has none."""
    (tmp_path / "uv.lock").write_text("x")
    assert list(lock_files(tmp_path)) == ["uv.lock"]
    assert lock_files(None) == {}


def test_the_machine() -> None:
    """Platform, processor, cores, memory and interpreter are recorded."""
    found = machine()
    assert found["cores"] > 0
    assert found["memory"] > 0
    assert found["cpu"]
