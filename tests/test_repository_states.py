"""Repositories in every state that people have them in: a flow runs in each, and all that follows works.

In each state a run fails and is resumed, a remote has a run of somebody else's, and the commands over runs are called.
Then the user's own git finds its repository whole and keeps house in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.check import git_is_well
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, Output, make_repo, run_program
from tests.helpers.warm_programs import write_program
from tests.security import forge

FLOW = linear_flow(
    "self.x = 1; self.large = bytes(200_000)",
    "if os.environ.get('FAILS'): raise ValueError('asked for')\nself.y = self.x + 1",
)


@dataclass(frozen=True)
class State:
    """A repository in some state.

    Attributes:
        repo: Where one stands in it.
        script: The flow's file, from there.
        env: What the environment has besides.
        house: Where its git keeps house, if that is elsewhere.
        partial: Whether it lacks objects that its remote has, so that git can't clone it.
        flow: Runs the flow.
    """

    repo: GitRepo
    script: str = "f.py"
    env: Mapping[str, str] = field(default_factory=dict)
    house: GitRepo | None = None
    partial: bool = False
    flow: Callable[[GitRepo, str, str, Mapping[str, str]], Output] = (
        lambda repo, script, verb, env: repo.flow(script, verb, env=dict(env))
    )


def project(place: Path) -> GitRepo:
    """A repository with two commits, which tracks the flow's file and another one."""
    repo = make_repo(place, files={"f.py": FLOW, "lib/data": "1\n"})
    repo.write("lib/data", "2\n")
    repo.commit("second")
    return repo


def cloned(place: Path, *options: str) -> GitRepo:
    """A clone of a project, made with options."""
    origin = project(place / "origin")
    origin.git("config", "uploadpack.allowFilter", "true")
    subprocess.run(
        ["git", "clone", "-q", *options, f"file://{origin.path}", str(place / "clone")], check=True
    )
    return GitRepo(place / "clone")


def bare(place: Path) -> State:
    """Without a work tree; the flow's file lies elsewhere."""
    (place / "f.py").write_text(FLOW)
    project(place / "origin").git("clone", "-q", "--bare", ".", str(place / "bare.git"))
    return State(GitRepo(place / "bare.git"), "../f.py")


def unborn(place: Path) -> State:
    """Before the first commit."""
    repo = GitRepo(place / "new")
    repo.path.mkdir()
    repo.git("init", "-q")
    repo.write("f.py", FLOW)
    return State(repo)


def detached(place: Path) -> State:
    """On no branch, in the middle of a bisection."""
    repo = project(place / "repo")
    repo.git("bisect", "start", "HEAD", "HEAD~1")
    repo.git("checkout", "-q", "--detach", "HEAD~1")
    return State(repo)


def merging(place: Path) -> State:
    """A merge that stopped at a conflict."""
    repo = project(place / "repo")
    repo.git("checkout", "-q", "-b", "side", "HEAD~1")
    repo.write("lib/data", "3\n")
    repo.commit()
    repo.git("merge", "-q", "main", check=False)
    return State(repo)


def anonymous(place: Path) -> State:
    """Nobody has told git a name, and it may not guess one."""
    repo = project(place / "repo")
    repo.git("config", "user.useConfigOnly", "true")
    empty = place / "config"
    empty.write_text('[protocol "file"]\n\tallow = always\n')
    return State(repo, env={"GIT_CONFIG_GLOBAL": str(empty)})


def linked(place: Path) -> State:
    """The last of a dozen linked worktrees, of which one is gone and one is locked, with config of its own."""
    repo = project(place / "repo")
    for number in range(12):
        repo.git("worktree", "add", "-q", "-b", f"side{number}", f"../linked{number}")
    shutil.rmtree(place / "linked3")
    repo.git("worktree", "lock", "../linked4")
    repo.git("config", "extensions.worktreeConfig", "true")
    last = GitRepo(place / "linked11")
    last.git("config", "--worktree", "user.name", "Of the worktree")
    return State(last)


def linked_to_bare(place: Path) -> State:
    """A worktree beside a bare repository."""
    project(place / "origin").git("clone", "-q", "--bare", ".", str(place / "work/.bare"))
    (place / "work/.git").write_text("gitdir: ./.bare\n")
    top = GitRepo(place / "work")
    top.git("worktree", "add", "-q", "main-tree", "main")
    return State(GitRepo(place / "work/main-tree"))


def submodule(place: Path) -> State:
    """A submodule: the runs are its own."""
    inner = project(place / "inner")
    outer = make_repo(place / "outer")
    outer.git("submodule", "--quiet", "add", str(inner.path), "sub")
    outer.commit()
    return State(GitRepo(outer.path / "sub"))


def inside(place: Path) -> State:
    """A repository inside another one that does not know it."""
    make_repo(place / "outer")
    return State(project(place / "outer/deep/inner"))


def separate(place: Path) -> State:
    """A `.git` that is a file, and names another place."""
    repo = project(place / "repo")
    repo.git("init", "-q", f"--separate-git-dir={place / 'elsewhere'}")
    return State(repo)


def shallow(place: Path) -> State:
    """A clone without history."""
    return State(cloned(place, "--depth=1"))


def without_blobs(place: Path) -> State:
    """A partial clone that has fetched no blobs but those of its work tree."""
    return State(cloned(place, "--filter=blob:none"), partial=True)


def without_trees(place: Path) -> State:
    """A partial clone that has no trees of its history, and is sparse."""
    repo = cloned(place, "--filter=tree:0", "--sparse")
    return State(repo, partial=True)


def sparse(place: Path) -> State:
    """A sparse checkout with a sparse index."""
    repo = project(place / "repo")
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    assert not (repo.path / "lib").exists()
    return State(repo)


def split(place: Path) -> State:
    """An index in two parts, with the untracked cache and what is staged."""
    repo = project(place / "repo")
    repo.git("update-index", "--split-index", "--untracked-cache")
    repo.write("staged", "1")
    repo.git("add", "staged")
    return State(repo)


def named(place: Path) -> State:
    """GIT_DIR and GIT_WORK_TREE say where it is."""
    repo = project(place / "repo")
    house = GitRepo((repo.path / ".git").rename(place / "store"))
    return State(
        repo, env={"GIT_DIR": str(house.path), "GIT_WORK_TREE": str(repo.path)}, house=house
    )


def hook(place: Path) -> State:
    """Inside a hook: of `git commit FILE`, with another index than one's own."""
    repo = project(place / "repo")
    script = repo.write(
        ".git/hooks/pre-commit",
        f'#!/bin/sh\n[ "$VERB" ] || exit 0\n"{write_program(place / "python")}" f.py $VERB >../out 2>../err\n'
        "echo $? >../code\n",
    )
    script.chmod(0o755)

    def flow(repo: GitRepo, _: str, verb: str, env: Mapping[str, str]) -> Output:
        repo.write("lib/data", verb)
        command = ["git", "commit", "-qm", verb, "lib/data"]
        done = run_program(command, repo.path, {**env, "VERB": verb})
        assert (done.code, repo.git("status", "--porcelain")) == (0, ""), done.err
        code, out, err = ((place / name).read_text() for name in ("code", "out", "err"))
        return Output(int(code), out, err)

    return State(repo, flow=flow)


def alternates(place: Path) -> State:
    """Objects borrowed from another repository, which knows nothing of it."""
    return State(cloned(place, "--reference", str(project(place / "other").path)))


def shared(place: Path) -> State:
    """A repository that a group shares."""
    repo = project(place / "repo")
    repo.git("init", "-q", "--shared=group")
    return State(repo)


def replaced(place: Path) -> State:
    """A commit that is replaced by another, and config that changes what git prints."""
    repo = project(place / "repo")
    repo.git("replace", "HEAD", "HEAD~1")
    for line in (
        "log.showSignature=true", "log.date=relative", "color.ui=always", "core.quotePath=true",
        "status.short=true", "diff.external=false", "core.autocrlf=input", "fetch.prune=true",
        "push.default=nothing", "remote.pushDefault=nowhere", "core.fsyncMethod=batch",
    ):  # fmt: skip
        repo.git("config", *line.split("="))
    return State(repo)


def odd_path(name: str | bytes) -> Callable[[Path], State]:
    """A path that programs stumble over."""

    def make(place: Path) -> State:
        return State(project(place / os.fsdecode(name)))

    make.__doc__ = f"A path such as {name[:40]!r}."
    return make


STATES = {
    "bare": bare,
    "unborn": unborn,
    "linked worktrees": linked,
    "blob:none": without_blobs,
    "odd path": odd_path("a b\n\t'c' \"d\" $(e)/Ünï 漢字 \u202e🙂/--help/:(exclude)*[x]?"),
}
MORE = {
    "submodule": submodule,
    "shallow": shallow,
    "detached": detached,
    ".git as a file": separate,
    "tree:0": without_trees,
    "hook": hook,
    "alternates": alternates,
    "long path": odd_path("/".join(12 * ["d" * 240])),
    "no identity": anonymous,
    "GIT_DIR": named,
    "split index": split,
    "sparse": sparse,
    "merging": merging,
    "worktree of a bare one": linked_to_bare,
    "inside another": inside,
    "shared": shared,
    "replaced": replaced,
    "no UTF-8": odd_path(b"\xff\xfe"),
}


@pytest.mark.parametrize(
    "state", [*STATES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
@pytest.mark.sample("bare", "linked worktrees", "blob:none")
def test_a_flow_and_all_that_follows(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs, fails and is resumed; runs are listed, shown, compared, tagged, pushed and fetched; git is content."""
    place = (STATES | MORE)[state](tmp_path)
    repo = place.repo
    server = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(server)], check=True)
    forge.Forge(GitRepo(server)).write(forge.Forgery(forge.info("Far", "7")))
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    before = _own(repo)
    failed = place.flow(repo, place.script, "run", {"FAILS": "1"})
    assert (failed.code, "asked for" in failed.err) == (1, True), failed.err
    resumed = place.flow(repo, place.script, "resume", {})
    assert resumed.code == 0, resumed.err
    assert state == "hook" or _own(repo) == before

    def told(*words: str) -> str:
        done = repo.call(*words)
        assert (done.code, done.err) == (0, ""), (words, done)
        return done.out

    for address in ("1", "2", "2/start", "2/start/1/large"):
        assert told("show", address)
    assert told("tag", "2", "good")
    assert told("note", "2", "-m", "kept")
    assert "The code of F/2 is in " in told("checkout", "2", str(tmp_path / "files"))
    if state != "bare":
        assert (tmp_path / "files" / "f.py").read_text() == FLOW
        again = repo.runs("rerun", "--same-code", "--json", "2")
        assert again.code == 0, again.err
        made = json.loads(again.out)["run"]
        assert repo.git("rev-parse", f"runs/{made}:code") == repo.git("rev-parse", "runs/F/2:code")
        assert repo.call("rm", "--force", made).code == 0
    assert "F/1" in told("diff", "1", "2")
    assert "2 runs new, 1 tag added" in told("push", str(server))
    assert "1 run new" in told("fetch", str(server))
    listed = {f"{row['flow']}/{row['id']}": row for row in json.loads(told("list", "--json"))}
    assert {name: row["status"] for name, row in listed.items()} == {
        "F/1": "failed", "F/2": "done", "Far/7": "failed"
    }  # fmt: skip
    assert listed["F/2"]["tags"] == ["good"]
    assert told("fsck", "--read-data")
    if state != "bare":
        assert repo.git("show", "runs/F/2:code/f.py") == FLOW.removesuffix("\n")
    with monkeypatch.context() as patch:
        for name in place.env if place.house else ():
            patch.delenv(name)
        _git_is_content(place)
    assert told("show", "2/end")


def _own(repo: GitRepo) -> tuple[str, ...]:
    """What of a repository is its user's: branches and HEAD, what is staged and what differs."""
    is_bare = repo.git("rev-parse", "--is-bare-repository") == "true"
    refs = repo.git("for-each-ref", "refs/heads", "refs/tags/v*", "refs/remotes", "refs/stash")
    head = repo.git("rev-parse", "--symbolic-full-name", "HEAD", check=False)
    return refs, head, "" if is_bare else repo.git("status", "--porcelain=v2", "--ignored")


def _git_is_content(place: State) -> None:
    if place.partial:  # from which stock git clones nothing
        for command in ("fsck --strict --no-dangling", "gc -q", "repack -adq", "fsck --strict"):
            place.repo.git(*command.split())
    else:
        git_is_well(place.house or place.repo)
