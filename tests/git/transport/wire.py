"""Remotes of a repository, and what notes or stands in for git where it talks to them."""

from __future__ import annotations

from typing import Any

import pytest

from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport.remote import Remote
from tests.helpers.repos import GitRepo


def remote(repo: GitRepo, name: str = "origin") -> Remote:
    """A remote of `repo`."""
    return Remote(Repository.discover(repo.path), name)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of each git that talks to a remote from now on."""
    calls: list[list[str]] = []
    real = Git.converse

    def converse(self: Git, *words: str, **options: Any) -> Completed:
        calls.append(list(words))
        return real(self, *words, **options)

    monkeypatch.setattr(Git, "converse", converse)
    return calls


class Wire:
    """Stands in for git where it talks to a remote: notes what it is asked, and says what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *said: Completed) -> None:
        self.said = [*said]
        self.words: list[tuple[str, ...]] = []
        self.options: list[dict[str, Any]] = []
        self.gits: list[Git] = []
        wire = self

        def converse(self: Git, *words: str, **options: Any) -> Completed:
            wire.gits.append(self)
            wire.words.append(words)
            wire.options.append(options)
            return wire.said.pop(0) if len(wire.said) > 1 else wire.said[0]

        monkeypatch.setattr(Git, "converse", converse)


UPDATE = RefUpdate("refs/runs/F/1", Oid(b"\1" * 20), Oid(b"\2" * 20))
