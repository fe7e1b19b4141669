"""Which places are remotes, what they are called, and what is told where they can't be reached."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError, UsageError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport import remote as transport
from gitflowrun.git.transport.remote import _UPLOAD, PushResult, default_remote
from gitflowrun.limits import (
    MAX_NOTICES,
    MAX_WORDS,
    PLACE_DIGITS,
)
from tests.git.transport.wire import Wire, remote
from tests.helpers.repos import GitRepo


@pytest.mark.parametrize("name", ["", "-x", "--upload-pack=touch canary", "a\nb", "a\0b"])
def test_options_are_no_remotes(repo: GitRepo, name: str) -> None:
    """A name that git could take for an option never reaches it."""
    with pytest.raises(UsageError, match="can't be a remote"):
        remote(repo, name)
    assert not (repo.path / "canary").exists()


def test_remotes_that_run_commands_are_refused(repo: GitRepo) -> None:
    """`ext::` runs nothing, not even where the config allows it."""
    repo.git("config", "protocol.ext.allow", "always")
    with pytest.raises(RepositoryError, match="not allowed"):
        remote(repo, "ext::sh -c touch% canary").refs()
    assert not (repo.path / "canary").exists()


def test_unknown_remotes(repo: GitRepo, server: GitRepo) -> None:
    """A misspelt name brings the nearest one; a path that is no repository brings git's words."""
    del server
    with pytest.raises(RepositoryError, match="no remote 'orign'") as caught:
        remote(repo, "orign")
    assert caught.value.hint == "did you mean 'origin'?"
    with pytest.raises(RepositoryError, match="does not appear to be a git repository"):
        remote(repo, "./nothing").refs()


def test_the_label_tells_places_apart_and_not_names(repo: GitRepo, server: GitRepo) -> None:
    """A remote that is renamed, or reached with another password, is the same; one that moved is not."""
    repo.git("remote", "add", "again", os.path.relpath(server.path, repo.path))
    assert remote(repo, "again").label == remote(repo).label == remote(repo, str(server.path)).label
    first, *others = (
        remote(repo, url).label
        for url in (
            "https://example.org/x",
            "https://ada:secret@example.org/x/",
            "https://token@example.org/x",
            "https://example.org/y",
            "ssh://ada@example.org/x",
            "ssh://bob@example.org/x",
            "example.org:x",
        )
    )
    assert others[:2] == [first] * 2
    assert len({first, *others[2:]}) == 5
    assert "secret" not in remote(repo, "https://ada:secret@example.org/x").place
    repo.git("config", "url.https://example.org/.insteadOf", "ex:")
    repo.git("remote", "add", "short", "ex:x")
    assert remote(repo, "short").label == first


def test_a_hook_is_told_which_of_its_urls_a_remote_is_pushed_to(
    repo: GitRepo, server: GitRepo
) -> None:
    """It is the remote itself only where that is fetched from there as well, and pushed nowhere else."""
    one, url = str(server.path), str(server.path.parent / "two")
    repo.git("remote", "add", "apart", one)
    repo.git("remote", "set-url", "--push", "apart", url)
    repo.git("remote", "add", "both", one)
    for push_url in (one, url):
        repo.git("remote", "set-url", "--push", "--add", "both", push_url)
    assert remote(repo).at(one).name == "origin"
    assert remote(repo).at(url).name == url
    for name in ("apart", "both"):
        assert [remote(repo, name).at(it).name for it in (one, url)] == [one, url]
    assert [it.name for it in remote(repo).for_push()] == ["origin"]
    assert [it.name for it in remote(repo, "apart").for_push()] == [url]
    assert [it.name for it in remote(repo, "both").for_push()] == [one, url]
    assert [it.name for it in remote(repo, url).for_push()] == [url]


def test_default_remote(repo: GitRepo) -> None:
    """The remote is the one that git would use; without a choice the error says which there are."""

    def found(*, push: bool = False) -> str:
        return default_remote(Repository.discover(repo.path), push=push)

    with pytest.raises(RepositoryError, match="no remote"):
        found()
    repo.git("remote", "add", "only", "x")
    assert found() == "only"
    repo.git("remote", "add", "other", "x")
    with pytest.raises(RepositoryError, match="several") as caught:
        found()
    assert caught.value.hint == "name one of only, other"
    repo.git("remote", "add", "origin", "x")
    assert found() == "origin"
    repo.git("config", "branch.main.remote", "other")
    repo.git("config", "remote.pushDefault", "only")
    assert (found(), found(push=True)) == ("other", "only")
    repo.git("config", "branch.main.pushRemote", "origin")
    assert found(push=True) == "origin"


def test_a_remote_of_another_user_says_what_git_wants(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git says of the owner comes with the setting that allows it, for exactly the path that git means."""
    # For git here, and not for the one that serves the remote, which drops settings of the environment.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    for name in ("origin", f"file://{server.path}"):
        with pytest.raises(RepositoryError, match="dubious ownership") as caught:
            remote(repo, name).refs()
        assert caught.value.hint is not None
        command = shlex.split(caught.value.hint.partition("if you trust it: ")[2])
        assert command[:-1] == ["git", "config", "--global", "--add", "safe.directory"]
        assert Path(command[-1]) == server.path


def test_a_url_of_several_lines_is_refused(repo: GitRepo) -> None:
    """Nothing is sent to, or trusted under, the half of a URL."""
    repo.git("remote", "add", "odd", "https://example.org/a\nhttps://example.org/b")
    with pytest.raises(RepositoryError, match="the url of the remote 'odd' has a line break"):
        remote(repo, "odd")


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        ("fatal: Could not read from remote repository.\n", "check the URL"),
        ("fatal: Could not resolve host: x\n", "check the URL"),
        (
            "fatal: detected dubious ownership in repository at '/no/where'\n",
            "; there, if you trust it",
        ),
        ("fatal: detected dubious ownership in repository at '/tmp'\n", "; if you trust it"),
        ("fatal: unsafe repository ('/no/where' is owned by X)\n", "safe.directory /no/where"),
        ("fatal: something else\n", None),
    ],
)
def test_a_remote_that_can_not_be_reached(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, err: str, hint: str | None
) -> None:
    """What stands before git's own error is told with it, and what may be done."""
    del server
    Wire(monkeypatch, Completed(128, b"a hook\n", f"remote: a server\nhint: none\n{err}"))
    with pytest.raises(RepositoryError) as caught:
        remote(repo).refs()
    reason = err.removeprefix("fatal: ").strip()
    assert caught.value.message == f"can't read from 'origin': a hook; a server; {reason}"
    assert (hint or "") in (caught.value.hint or "")
    assert (caught.value.hint is None) is (hint is None)


def test_what_a_remote_lists(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and ids as it says them, without what is no such line; patterns reach it."""
    del server
    wire = Wire(monkeypatch, Completed(0, b"", ""))
    real = Git.converse

    def listing(self: Git, *words: str, **options: Any) -> Completed:
        options["stdout"].write(b"12\trefs/x\nrubbish\n34\trefs/\xffy\n")
        return real(self, *words, **options)

    monkeypatch.setattr(Git, "converse", listing)
    assert remote(repo).refs("refs/*") == {"refs/x": "12", "refs/\udcffy": "34"}
    (words,) = wire.words
    assert words[-3:] == ("--end-of-options", "origin", "refs/*")
    assert {"ls-remote", "--quiet", "--refs", f"--upload-pack={_UPLOAD}"} <= {*words}


def test_where_a_remote_is() -> None:
    """URLs are told from paths as git does; what may change while a place stays is left out."""
    for text, is_one in (
        ("a:b", True),
        ("https://x", True),
        ("/a:b", False),
        ("a/b:c", False),
        ("a", False),
    ):
        assert transport._is_url(text) is is_one
    for url, place in (
        ("https://ada:pw@x/y/", "https://x/y"), ("http://ada@x", "http://x"), ("ssh://ada:pw@x/y@z", "ssh://ada@x/y@z"),
        ("ssh://x/y//", "ssh://x/y"), ("x:y/", "x:y"), ("file:///y", "file:///y"),
    ):  # fmt: skip
        assert transport._without_password(url) == place
    assert len(transport.label_of("x")) == PLACE_DIGITS
    assert transport.label_of("x") == transport.label_of("x") != transport.label_of("y")


def test_what_a_place_may_be_called(repo: GitRepo, server: GitRepo) -> None:
    """A path, a URL or a directory that is there; and it is called by its name, or by where it is."""
    del server
    for name, is_one in (
        ("a/b", True),
        ("a:b", True),
        (".", True),
        ("..", True),
        (".git", True),
        ("nothing", False),
    ):
        assert transport._is_location(name, repo.path) is is_one
    assert remote(repo).title == "origin"
    assert remote(repo, "https://a:b@x/y").title == "https://x/y"
    for name, is_elsewhere in (
        ("ssh://x/y", True),
        ("x:y", True),
        (f"file://{repo.path}", False),
        (".", False),
    ):
        assert remote(repo, name)._is_elsewhere() is is_elsewhere
        assert remote(repo, name)._program("upload") == (
            () if is_elsewhere else (f"--upload-pack={_UPLOAD}",)
        )


def test_the_words_of_a_remote() -> None:
    """The first of them, cut, without git's own; what a hook of ours refuses is known by its ref."""
    lines = [f"remote: {number}" for number in range(MAX_NOTICES + 1)]
    assert transport._words("\n".join(lines), "remote: ") == [str(it) for it in range(MAX_NOTICES)]
    assert transport._words(f"{'x' * (MAX_WORDS + 1)}\nhint: y\n \n", "") == ["x" * MAX_WORDS]
    assert transport._words(
        "here\nremote:   there  \nremote: error: cannot lock ref x", "remote: "
    ) == ["there"]
    assert transport._declined("remote: refused: refs/x: why\nremote: refused: \nother") == {
        "refs/x": "refs/x: why"
    }
    failed = {name: PushResult(name, ok=False, reason=name) for name in ("unpacker error", "other")}
    found = transport._with_cause(failed, "error: remote unpack failed: disk full \n")
    assert [it.reason for it in found.values()] == [
        "the remote could not store the objects: disk full",
        "other",
    ]
    assert transport._with_cause(failed, "nothing") == failed


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, unless the user has said what git is to do."""
    monkeypatch.delenv("GIT_TERMINAL_PROMPT", raising=False)
    for terminals, asks in (((), False), ((0,), True), ((2,), True), ((1, 3), False)):
        monkeypatch.setattr(os, "isatty", lambda fd, them=terminals: fd in them)
        assert transport._prompts() == ({} if asks else {"GIT_TERMINAL_PROMPT": "0"})
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    assert transport._prompts() == {}
