"""`git runs` without a process for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from gitflowrun.cli.git_runs.main import main
from tests.helpers.repos import Output

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo


class Runs(Protocol):
    """Runs `git runs WORDS` in the test's repository."""

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> Output:
        """Its exit code and what it printed."""


@pytest.fixture
def runs(
    repo: GitRepo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Runs:
    """Calls the program as a function, in the repository."""

    def call(*words: str, env: dict[str, str] | None = None) -> Output:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(repo.path)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            code = main(words)
        return Output(code, *capsys.readouterr())

    return call
