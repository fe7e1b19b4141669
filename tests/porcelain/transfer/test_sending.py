"""Tags that are changed here while a push sends them, or after one that was killed: what was said last holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from gitflowrun.porcelain.transfer import push as pushing
from tests.helpers.clones import add_tag, get, send, tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run

if TYPE_CHECKING:
    from pathlib import Path


class _Killed(BaseException):
    """The push ends where it is."""


@contextlib.contextmanager
def _sent_and_not_noted(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object], *, killed: bool
) -> Iterator[None]:
    """Do something once a push has sent tags and not noted it; the push may end there."""

    def reached(name: str) -> None:
        if name == "push.tagged":
            monkeypatch.setattr(pushing, "reached", lambda _: None)
            meanwhile()
            if killed:
                raise _Killed

    monkeypatch.setattr(pushing, "reached", reached)
    with contextlib.suppress(_Killed):
        yield


def _files(repo: GitRepo) -> list[Path]:
    return [*(repo.path / ".git/gitflowrun/sending").glob("*")]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("exchange", [get, send])
def test_a_tag_that_is_removed_meanwhile(
    ada: GitRepo,
    bob: GitRepo,
    server: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
    exchange: Callable[[GitRepo], object],
) -> None:
    """It comes back by no fetch, and goes from the remote by the next push."""
    make_run(ada)
    send(ada)
    add_tag(ada, "MyFlow/1", "good", "stays")

    def meanwhile() -> None:
        add_tag(ada, "MyFlow/1", "good", remove=True)
        exchange(ada)

    with _sent_and_not_noted(monkeypatch, meanwhile, killed=killed):
        send(ada)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("stays",)}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("stays",)}
    get(bob)
    assert (tags(bob), _files(ada)) == ({"MyFlow/1": ("stays",)}, [])


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("exchange", [get, send])
def test_a_tag_that_is_made_again_meanwhile(
    ada: GitRepo,
    server: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
    exchange: Callable[[GitRepo], object],
) -> None:
    """It does not look like one that somebody has removed there: no fetch takes it away, and a push sends it."""
    make_run(ada, tags=["good"])
    send(ada)
    add_tag(ada, "MyFlow/1", "good", remove=True)

    def meanwhile() -> None:
        add_tag(ada, "MyFlow/1", "good")
        exchange(ada)

    with _sent_and_not_noted(monkeypatch, meanwhile, killed=killed):
        send(ada)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("good",)}
    send(ada)
    assert (tags(server), _files(ada)) == ({"MyFlow/1": ("good",)}, [])


@pytest.mark.parametrize("removed", [False, True])
def test_a_push_that_was_killed_before_it_sent(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    """What it was about to do counts for nothing, once the remote was looked at: others' tags come, and stay."""
    make_run(ada, tags=["good"] if removed else [])
    send(ada)
    get(bob)
    add_tag(ada, "MyFlow/1", "good", remove=removed)

    def die(_remote: object, changes: list[object], **_options: object) -> list[object]:
        if changes:
            raise _Killed
        return changes

    with monkeypatch.context() as patch:
        patch.setattr("gitflowrun.git.transport.Remote.push", die)
        with pytest.raises(_Killed):
            send(ada)
    assert len(_files(ada)) == 1
    add_tag(ada, "MyFlow/1", "good", remove=not removed)
    get(ada)
    assert _files(ada) == []
    add_tag(bob, "MyFlow/1", "other")
    if not removed:
        add_tag(bob, "MyFlow/1", "good")
    send(bob)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("good", "other")}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("good", "other")}


def test_files_of_nobody_and_of_others(ada: GitRepo, server: GitRepo) -> None:
    """What lies there that can't be read, or is not a file of ours, keeps nobody from anything."""
    make_run(ada, tags=["good"])
    send(ada)
    label = next(iter((ada.path / ".git/refs/runs-remotes").iterdir())).name
    folder = ada.path / ".git/gitflowrun/sending"
    folder.mkdir(exist_ok=True)
    (folder / f"{label}-1").write_bytes(
        b"12\n\nno line\n- \xff\nzz refs/runs/@tags/MyFlow/good/1\n-"
    )
    (folder / f"{label}-2").mkdir()
    (folder / "other-1").write_text("- refs/runs/@tags/MyFlow/good/1\n")
    get(ada)
    send(ada)
    assert (tags(ada), tags(server)) == ({"MyFlow/1": ("good",)}, {"MyFlow/1": ("good",)})
    assert {it.name for it in _files(ada)} == {f"{label}-2", "other-1"}
