"""What reads runs starts no program that the repository's config, attributes or hooks name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pytest

from gitflowrun import Flow, Run, metadata, namespace
from gitflowrun.cli.git_runs.main import main
from gitflowrun.client import repository
from gitflowrun.cmd.diff import main as cmd_diff
from gitflowrun.errors import RepositoryError
from gitflowrun.git.config import FETCHING, PROGRAMS, parse_config
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.push import push
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo

KEYS = [key.replace("*", "evil") for key in [*PROGRAMS, *sorted(FETCHING)] if key != "log.showsignature"] + [
    "core.fsmonitor", "core.hooksPath", "credential.helper", "credential.https://x.helper",
    "filter.evil.clean", "filter.evil.process", "filter.evil.smudge", "hook.mine.command", "interactive.diffFilter",
    "mailmap.file", "merge.evil.driver", "pager.diff", "pager.log", "remote.origin.receivepack",
    "remote.origin.uploadpack", "sequence.editor", "uploadpack.packObjectsHook", "browser.evil.cmd",
    "difftool.evil.cmd", "diff.tool", "web.browser", "gpg.format", "submodule.evil.update",
]  # fmt: skip
SETTINGS = {
    "log.showSignature": "true",
    "hook.mine.event": "reference-transaction",
    "protocol.ext.allow": "always",
    "protocol.allow": "always",
    "alias.for-each-ref": "!touch FIRED-alias",
    "alias.cat-file": "!touch FIRED-alias",
    "core.untrackedCache": "true",
    "diff.trustExitCode": "true",
}
HOOKS = [
    "fsmonitor-watchman", "post-checkout", "post-index-change", "post-merge", "post-rewrite", "post-update",
    "pre-auto-gc", "pre-receive", "prepare-commit-msg", "reference-transaction", "update",
]  # fmt: skip
VERBS: list[tuple[str, ...]] = [
    ("list",), ("show", "1"), ("show", "1", "--json"), ("log",), ("log", "1"), ("logs", "1"), ("diff", "1", "2"),
    ("diff", "1", "2", "--stat"), ("diff", "1", "2", "--patch"), ("diff", "1", "2", "--name-only"),
    ("cat", "1/result"), ("tag",), ("tag", "1"), ("tag", "1", "x"), ("trust",), ("trust", "1"), ("trust", "origin"),
    ("hooks",), ("help",), ("fetch", "origin"), ("push", "origin"), ("fetch", "../origin.git"), ("verify",),
    ("checkout", "1"), ("checkout", "1", "there", "--", "README"), ("note", "1", "-m", "x"), ("note", "1", "-e"),
    ("note", "1"), ("watch", "1"), ("init",),
]  # fmt: skip


class Canary:
    """Programs that leave a file behind, and what they left."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()

    def program(self, name: str) -> str:
        """A program that says that it has run; it reads all that it is given."""
        name = name.replace("/", "_")
        path = self.place / name
        path.write_text(f"#!/bin/sh\n: >'{self.place}/FIRED {name}'\nexit 1\n")
        path.chmod(0o755)
        return str(path)

    def fired(self) -> list[str]:
        """What has run."""
        return sorted(path.name for path in self.place.glob("FIRED*"))


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    """What must not run."""
    return Canary(tmp_path / "canary")


@pytest.fixture
def poisoned(repo: GitRepo, tmp_path: Path, canary: Canary) -> GitRepo:
    """A repository of two runs, with a remote, in which every key names a canary."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin.git")], check=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    make_run(repo, result=b"1")
    repo.write("flow.py", "x = 2\n")
    make_run(repo, result=b"2")
    hooks = tmp_path / "canary" / "hooks"
    hooks.mkdir()
    lines = [
        f'[include]\n\tpath = "{repo.path}/.git/more"\n[extensions]\n\tworktreeConfig = true\n'
    ]
    with (repo.path / ".git" / "config").open("a") as config:
        config.write("".join(lines))
    for number, key in enumerate(KEYS):
        # In each of the files that are the repository's own.
        name = ["config", "more", "config.worktree"][number % 3]
        repo.git("config", "--file", f".git/{name}", key, canary.program(key))
    for key, value in SETTINGS.items():
        repo.git("config", key, value)
    repo.git("config", "--file", ".git/more", "core.hooksPath", str(hooks))
    for name in HOOKS:
        for place in (hooks, repo.path / ".git" / "hooks"):
            (place / name).write_text(f"#!/bin/sh\n: >'{canary.place}/FIRED hook {name}'\n")
            (place / name).chmod(0o755)
    repo.write(".git/info/attributes", "* filter=evil diff=evil merge=evil\n")
    return repo


@pytest.fixture
def _in_it(poisoned: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(poisoned.path)
    metadata(str(poisoned.path))
    namespace(None)
    yield
    repository._chosen.clear()
    repository._open.clear()


@pytest.mark.usefixtures("_in_it")
def test_no_verb_starts_what_a_repository_names(canary: Canary) -> None:
    """Of all keys, hooks and attributes that name a program, no reading verb starts one; nor do fetch and push."""
    for words in VERBS:
        main([*words])
        assert canary.fired() == [], words


@pytest.mark.usefixtures("_in_it")
def test_no_client_starts_what_a_repository_names(canary: Canary) -> None:
    """The client and `cmd.diff` neither."""
    run = Run("MyFlow/1")
    assert run.code is not None
    run.code.extract().cleanup()
    assert run.data is not None
    run.add_tag("q")
    assert list(Flow("MyFlow"))
    assert run._repr_html_()
    cmd_diff(["1", "2"])
    assert canary.fired() == []


def _partial_clone(tmp_path: Path) -> GitRepo:
    """A clone into which git fetches the files of a run when they are read."""
    server = make_repo(tmp_path / "server")
    make_run(server, result=b"1")
    server.git("config", "uploadpack.allowFilter", "true")
    server.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = GitRepo(tmp_path / "clone")
    url = f"file://{server.path}"
    subprocess.run(["git", "clone", "-q", "--filter=blob:none", url, str(clone.path)], check=True)
    clone.git("fetch", "-q", "origin", "refs/runs/*:refs/runs/*")
    return clone


@pytest.mark.parametrize("key", ["", "uploadpack", "url", "vcs", "ext", "helper", "helper://"])
def test_what_a_partial_clone_left_out(
    tmp_path: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """What reading has git fetch comes by the programs that the user named, and by no URL that is a program."""
    clone = _partial_clone(tmp_path)
    monkeypatch.chdir(clone.path)
    program = canary.program(key or "none")
    if key == "uploadpack":
        clone.git("config", "remote.origin.uploadpack", program)
    elif key == "url":
        clone.git("config", "remote.origin.url", "ssh://localhost:1/x")
        clone.git("config", "core.sshCommand", program)
    elif key.startswith("helper"):
        monkeypatch.setenv("PATH", f"{canary.place}:{os.environ['PATH']}")
        canary.program("git-remote-evil")
        clone.git("config", "remote.origin.url", "evil://x" if key.endswith("//") else "evil::x")
        clone.git("config", "protocol.evil.allow", "always")
        clone.git("config", "protocol.allow", "always")
    elif key:
        clone.git("config", "protocol.ext.allow", "always")
        clone.git("config", "remote.origin.url", f"ext::{program}" if key == "ext" else program)
        clone.git("config", "remote.origin.vcs", "ext" if key == "vcs" else "")
        monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:ext")
    code = main(["cat", "1/result"])
    assert canary.fired() == []
    assert (code == 0) == (not key)


def test_what_a_partial_clone_left_out_comes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gc comes with it, which would end what nothing leads to, as soon as the repository's config says."""
    clone = _partial_clone(tmp_path)
    monkeypatch.chdir(clone.path)
    lost = clone.git("hash-object", "-w", "--stdin", stdin=b"lost")
    settings = {"auto": "1", "autoPackLimit": "1", "pruneExpire": "now", "autoDetach": "false"}
    for key, value in settings.items():
        clone.git("config", f"gc.{key}", value)
    clone.git("config", "maintenance.auto", "true")
    assert main(["cat", "1/result"]) == 0
    assert clone.git("cat-file", "-p", lost) == "lost"


def test_no_cookies_are_written_where_a_repository_says() -> None:
    """Into a file that a shell reads, say, with values of the server's: only the user's own config has them saved."""
    keys = ["http.savecookies", "http.https://x.y/.savecookies"]
    theirs = b"".join(b"local\0%s\ntrue\0" % key.encode() for key in keys)
    for own, value in {b"": "false", b"global\0http.savecookies\ntrue\0": "true"}.items():
        guard = parse_config(own + theirs).guard
        found = {
            guard[f"GIT_CONFIG_KEY_{n}"]: guard[f"GIT_CONFIG_VALUE_{n}"] for n in range(len(keys))
        }
        assert found == {keys[0]: value, keys[1]: "false"}


def test_protocols_that_the_users_own_config_names() -> None:
    """Of a partial clone reading fetches by these and by git's own, unless the user allows none of them."""
    promisor = b"local\0remote.a.promisor\ntrue\0local\0protocol.evil.allow\nalways\0"
    allowed = {
        b"": "file:git:http:https:ssh",
        b"global\0protocol.s3.allow\nuser\0system\0protocol.git.allow\nnever\0": "file:http:https:s3:ssh",
        b"global\0protocol.allow\nnever\0global\0protocol.ssh.allow\nalways\0": "ssh",
        b"global\0protocol.ext.allow\nalways\0": "file:git:http:https:ssh",
    }
    for own, names in allowed.items():
        assert parse_config(own + promisor).guard == {"GIT_ALLOW_PROTOCOL": names}
    for harmless in (b"local\0core.bare\nfalse\0", promisor.replace(b"local", b"global")):
        assert parse_config(harmless).guard == {}


@pytest.mark.parametrize("url", ["ext::touch% FIRED", "fd::1", "fd::1,2/x"])
def test_urls_that_are_programs(repo: GitRepo, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that says what to execute, or which descriptor to use, is refused, whatever is allowed."""
    make_run(repo)
    repo.git("config", "--global", "protocol.ext.allow", "always")
    repo.git("config", "--global", "protocol.fd.allow", "always")
    for allowed in ("", "ext:fd:file"):
        monkeypatch.setenv("GIT_ALLOW_PROTOCOL", allowed)
        if not allowed:
            monkeypatch.delenv("GIT_ALLOW_PROTOCOL")
        for verb in (fetch, push):
            with pytest.raises(RepositoryError, match=r"transport '(ext|fd)' not allowed"):
                verb(open_repo(repo), url)
    assert not list(repo.path.glob("FIRED*"))


def test_the_users_own_programs_stay() -> None:
    """What the repository sets is replaced by what the user set; what only the user set is left alone."""
    out = (
        b"global\0core.sshcommand\nmine\0global\0credential.helper\nstore\0global\0diff.x.textconv\ncat\0"
        b"local\0core.sshcommand\ntheirs\0local\0credential.https://x.helper\ntheirs\0"
        b"worktree\0remote.a b.c.uploadpack\ntheirs\0local\0core.pager\ncat\0command\0gpg.ssh.program\nssh\0"
    )
    config = parse_config(out)
    assert config.values["core.sshcommand"] == "theirs"
    assert config.guard == {
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.sshcommand", "GIT_CONFIG_VALUE_0": "mine",
        "GIT_CONFIG_KEY_1": "credential.helper", "GIT_CONFIG_VALUE_1": "",
        "GIT_CONFIG_KEY_2": "credential.helper", "GIT_CONFIG_VALUE_2": "store",
    }  # fmt: skip


def test_variables_of_the_environment_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The config that the environment sets already is kept."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    guard = parse_config(b"local\0gpg.program\ntheirs\0").guard
    assert guard["GIT_CONFIG_COUNT"] == "3"
    assert guard["GIT_CONFIG_KEY_2"] == "gpg.program"
    assert guard["GIT_CONFIG_VALUE_2"] == "gpg"


def _lying_graph(data: bytes) -> bytes:
    """A commit-graph in which each commit has the next one's tree, and the next one for its parent."""
    starts = {
        data[8 + 12 * n : 12 + 12 * n]: int.from_bytes(data[12 + 12 * n : 20 + 12 * n], "big")
        for n in range(data[6])
    }
    start, lies = starts[b"CDAT"], bytearray(data)
    count = int.from_bytes(data[starts[b"OIDF"] + 1020 : starts[b"OIDF"] + 1024], "big")
    for n in range(count):
        row, after = start + 36 * n, (n + 1) % count
        lies[row : row + 24] = data[start + 36 * after :][:20] + after.to_bytes(4, "big")
    return bytes(lies[:-20]) + sha1(lies[:-20]).digest()


def test_no_commit_graph_says_what_a_commit_is_made_from(repo: GitRepo, tmp_path: Path) -> None:
    """Nothing compares it with the commits: parents may go round in circles there, and a run's history never ends."""
    make_run(repo)
    make_run(repo)
    words = ("list", "show", "verify")
    before = [repo.runs(word).out for word in words]
    repo.git("commit-graph", "write", "--reachable")
    path = repo.path / ".git" / "objects" / "info" / "commit-graph"
    path.chmod(0o644)
    path.write_bytes(_lying_graph(path.read_bytes()))
    assert repo.git("rev-list", "--max-count=50", "refs/runs/MyFlow/1").count("\n") > 5
    assert [repo.runs(word).out for word in words] == before
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "empty.git")], check=True)
    assert "2 runs new" in repo.runs("push", "../empty.git", timeout=120).out
