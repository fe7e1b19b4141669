"""Flows of these tests are run in the repository around the current directory."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take flows for code without a file: theirs is a test's, which lies in the repository of this package."""
    monkeypatch.setattr("gitflowrun.cli.flow.context.flow_file", lambda _flow_cls: None)
