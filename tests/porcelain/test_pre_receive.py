"""The hook of a shared repository takes runs and tags by their exact names, and leaves what has ended as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from gitflowrun.porcelain.hooks import Installed, install, uninstall
from gitflowrun.runs import layout
from gitflowrun.runs.runs import Status
from tests.helpers.clones import refs
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

SCRIPT = ROOT / "hooks" / "pre-receive"


NOT_OURS = [
    "refs/runs/F",
    "refs/runs/HEAD",
    "refs/runs/F/1/x",
    "refs/runs/F/01",
    "refs/runs/F/0",
    "refs/runs/F/1234567890123456789",
    "refs/runs/F/1-abc",
    "refs/runs/F/1-ABCDEF0",
    "refs/runs/F/1-abcdef0-abcdef0",
    "refs/runs/F/x/1",
    "refs/runs/1F/1",
    "refs/runs/a-b/1",
    "refs/runs/a'b/1",
    "refs/runs/a`b/1",
    "refs/runs/$(x)/1",
    "refs/runs/@tags",
    "refs/runs/@tags/F",
    "refs/runs/@tags/F/production",
    "refs/runs/@tags/F/good/1/x",
    "refs/runs/@tags/F/good/x/1",
    "refs/runs/@tags/F/a.b/1",
    "refs/runs/@tags/F/a%2e/1",
    "refs/runs/@tags/F/a%2/1",
    f"refs/runs/@tags/F/{'a' * 201}/1",
    "refs/runs/@index/junk",
    "refs/runs/@archive/F",
    "refs/runs-remotes/0123/F/1",
    "refs/runs-trash/1/F/1",
    "refs/runsx/F/1",
    "refs/Runs/F/1",
    "refs/tags/runs",
    "refs/tags/runs/F",
    "refs/tags/runs/F/good",
    "refs/tags/runs/F/good/1",
    "refs/tags/runs/F/good/1-abcdef0/x",
    "refs/notes/runs/x",
]

NO_OID = "0" * 40


@pytest.fixture
def hub(repo: GitRepo, tmp_path: Path) -> GitRepo:
    """A shared repository with the hook; the remote `origin` of `repo`."""
    path = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    shutil.copy(SCRIPT, path / "hooks" / "pre-receive")
    repo.git("remote", "add", "origin", str(path))
    return GitRepo(path)


def state(
    repo: GitRepo,
    *parents: str,
    run: str = "F/1",
    status: str = "running",
    more: str = "",
    info: str | None = "INFO",
) -> str:
    """A commit that says to be a state of a run."""
    entry = ""
    if info is not None:
        entry = (
            f"100644 blob {repo.git('hash-object', '-w', '--stdin', stdin=info.encode())}\tINFO\n"
        )
    tree = repo.git("mktree", stdin=entry.encode())
    uid = repo.git("rev-list", "--first-parent", parents[0]).split()[-1] if parents else ""
    told = f"Uid: {uid}\n" if uid and "Uid:" not in more else ""
    message = f"{run}: {status}\n\nRun: {run}\n{told}Status: {status}\n{more}"
    words = [word for parent in parents for word in ("-p", parent)]
    return repo.git("commit-tree", tree, *words, stdin=message.encode())


def push(repo: GitRepo, *words: str) -> str:
    """What a push without our own hooks is told; empty when it was taken."""
    done = subprocess.run(
        ["git", "push", "--no-verify", "-q", "origin", *words],
        cwd=repo.path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    assert (done.returncode == 0) == ("refused: " not in done.stderr), done.stderr
    return "".join(line for line in done.stderr.splitlines(keepends=True) if "refused: " in line)


def judged(hub: GitRepo, lines: list[str], env: dict[str, str] | None = None) -> str:
    """What the hook says of ref updates, without a push."""
    done = subprocess.run(
        [SCRIPT], cwd=hub.path, input="".join(f"{line}\n" for line in lines), text=True,
        env={**os.environ, "GIT_DIR": ".git" if (hub.path / ".git").exists() else ".", **(env or {})},
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def test_no_other_names(repo: GitRepo) -> None:
    """What is no name of a run or tag of ours can't be made or changed beside or below them."""
    commit = state(repo)
    for old in (NO_OID, commit):
        told = [judged(repo, [f"{old} {commit} {name}"]) for name in NOT_OURS]
        assert told == [
            f"refused: {name} is not the name of a run, nor of a tag of one\n" for name in NOT_OURS
        ]


def test_no_object_stands_in_for_another(repo: GitRepo, hub: GitRepo) -> None:
    """A ref that replaces an object by itself would end every later push, and git's own gc, on the server."""
    commit = state(repo)
    name = f"refs/replace/{commit}"
    said = f"refused: {name}: objects are not replaced here, for runs are made of them\n"
    assert judged(hub, [f"{NO_OID} {commit} {name}"]) == said
    assert judged(hub, [f"{commit} {NO_OID} {name}"]) == ""


def test_other_names_can_be_removed(repo: GitRepo, hub: GitRepo) -> None:
    """What stood beside or below our names before there was the hook can go."""
    names = ["refs/runs/F/1/x", "refs/runs/@tags/F/a", "refs/tags/runs/F", "refs/runs-trash/1/F/1"]
    push(repo, "HEAD:refs/heads/main")
    for name in names:
        hub.git("update-ref", name, "main")
    hub.git("update-ref", "-d", "refs/heads/main")
    assert push(repo, *(f":{name}" for name in names)) == ""
    assert refs(hub, "refs") == {}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    strategies.from_regex(r"[^\W\d]\w{0,20}", fullmatch=True).filter(str.isidentifier),
    strategies.text(min_size=1, max_size=400).filter(
        lambda text: not any("\ud800" <= char <= "\udfff" for char in text)
    ),
    strategies.integers(1, 10**18 - 1),
)
def test_all_our_names(repo: GitRepo, flow: str, tag: str, number: int) -> None:
    """Whatever flow, tag and number `layout` writes, the hook takes."""
    run = f"{flow}/{number}"
    first = state(repo, run=run)
    names = [
        f"refs/runs/{run}",
        f"refs/runs/{run}-{first[:7]}",
        f"{layout.TAGS}{flow}/{layout.tag_component(tag)}/{number}",
        f"{layout.TAG_MIRROR}{flow}/{layout.tag_component(tag)}/{number}-{first[:7]}",
    ]
    assert judged(repo, [f"{NO_OID} {first} {name}" for name in names]) == ""


def test_a_run_goes_on_until_it_has_ended(repo: GitRepo, hub: GitRepo) -> None:
    """A running run moves forward only; one that says that it has ended moves no more; none is deleted."""
    first = state(repo)
    second = state(repo, first)
    ended = state(repo, second, status="failed")
    name = "refs/runs/F/1"
    assert push(repo, f"{second}:{name}") == ""
    assert "append-only" in push(repo, f"+{first}:{name}")
    assert "append-only" in push(repo, f"+{state(repo, first, status='done')}:{name}")
    assert push(repo, f"{ended}:{name}", f"{first}:refs/runs/@tags/F/a/1") == ""
    assert "has ended (failed)" in push(repo, f"{state(repo, ended)}:{name}")
    assert "has ended" in push(repo, f"{state(repo, ended, status='failed')}:{name}")
    assert "not deleted" in push(repo, f":{name}")
    assert refs(hub)[name] == ended


@pytest.mark.parametrize("last", ["done", "interrupted", "\x1b]0;x\x07", "running\nStatus: done"])
@pytest.mark.usefixtures("hub")
def test_any_other_word_is_an_end(repo: GitRepo, last: str) -> None:
    """Only a run that says clearly that it is running may be moved."""
    ended = state(repo, status=last)
    assert push(repo, f"{ended}:refs/runs/F/1") == ""
    told = push(repo, f"{state(repo, ended)}:refs/runs/F/1")
    assert "has ended" in told
    assert "\x1b" not in told


@pytest.mark.usefixtures("hub")
def test_only_runs_get_the_names_of_runs(repo: GitRepo) -> None:
    """Another run's bytes, a merge, a branch, a tag object, a tree and a blob are refused."""
    first = state(repo)
    other = state(repo, more="User: x\n")
    merge = state(repo, state(repo, first, other), status="done")
    repo.git("tag", "-a", "-m", "x", "note", first)
    odd = {
        state(repo, run="F/2"): "it holds no commit of run F/1",
        state(repo, run="G/1"): "it holds no commit of run F/1",
        repo.git("rev-parse", "HEAD"): "it holds no commit of run F/1",
        merge: "one parent each",
        repo.git("rev-parse", "note"): "it holds no commit",
        repo.git("rev-parse", "HEAD^{tree}"): "it holds no commit",
        repo.git("hash-object", "-w", "--stdin", stdin=b"x"): "it holds no commit",
    }
    for oid, reason in odd.items():
        assert reason in push(repo, f"{oid}:refs/runs/F/1"), reason
        assert "refused" in push(repo, f"{oid}:refs/runs/@tags/F/a/1"), reason
    assert "another uid" in push(repo, f"{first}:refs/runs/F/1-{other[:7]}")
    assert push(repo, f"{first}:refs/runs/F/1-{first[:7]}", f"{other}:refs/runs/F/1") == ""


def test_what_no_fetch_would_take(repo: GitRepo, hub: GitRepo) -> None:
    """A commit without INFO, with another than the first one's, or with another's uid is no state of a run."""
    run, tag = "refs/runs/F/1", "refs/runs/@tags/F/a/1"
    bare, first = state(repo, info=None), state(repo)
    other = f"Uid: {state(repo, more='User: x')}"
    assert "no INFO" in push(repo, f"{bare}:{run}")
    assert "no INFO" in push(repo, f"{bare}:{tag}")
    assert "no INFO" in push(repo, f"{state(repo, first, info=None)}:{run}")
    assert "not that of its first" in push(repo, f"{state(repo, bare)}:{run}")
    assert "not that of its first" in push(repo, f"{state(repo, first, info='x')}:{run}")
    assert "than it says" in push(repo, f"{state(repo, first, more=other)}:{run}")
    assert "than it says" in push(repo, f"{state(repo, more=other)}:{tag}")
    assert push(repo, f"{first}:{run}") == ""
    assert "no INFO" in push(repo, f"{state(repo, first, info=None)}:{run}")
    assert "not that of its first" in push(repo, f"{state(repo, first, info='x')}:{run}")
    assert "than before" in push(repo, f"{state(repo, first, more=other)}:{run}")
    second = state(repo, first)
    around = state(repo, first, more="User: x")
    long = f"refs/runs/F/1-{first[:7]}"
    assert push(repo, f"{second}:{run}", f"{second}:{long}", f"{around}:{long}{first[7]}") == ""
    assert refs(hub)[run] == second


@pytest.mark.usefixtures("hub")
def test_a_merge_on_top_of_a_run(repo: GitRepo) -> None:
    """A run does not go on with a second parent, nor by a way around its newest state."""
    first = state(repo)
    newest = state(repo, first)
    assert push(repo, f"{newest}:refs/runs/F/1") == ""
    assert "one parent each" in push(repo, f"{state(repo, newest, first)}:refs/runs/F/1")
    around = state(repo, state(repo, first, newest))
    assert "one parent each" in push(repo, f"{around}:refs/runs/F/1")


def test_states_of_one_run_in_one_push(repo: GitRepo) -> None:
    """What is wrong below one of them is wrong with each, whichever goes on from whichever."""
    first, other = state(repo), state(repo, more="User: x\n")
    merge = state(repo, state(repo, first), other)
    above = state(repo, merge)
    tips = [
        merge,
        above,
        state(repo, above),
        state(repo, state(repo, above)),
        state(repo, merge, status="done"),
    ]
    names = [f"refs/runs/F/1-{first[:number]}" for number in range(7, 7 + len(tips))]
    told = judged(repo, [f"{NO_OID} {tip} {name}" for tip, name in zip(tips, names, strict=True)])
    assert told.count("one parent each") == len(tips)
    good = [state(repo, first), state(repo, state(repo, first), status="done")]
    good.append(state(repo, good[0]))
    lines = [f"{NO_OID} {tip} {name}" for tip, name in zip([first, *good], names, strict=False)]
    assert judged(repo, lines) == ""
    assert (
        judged(repo, [f"{NO_OID} {good[2]} refs/runs/F/1-{other[:7]}", *lines]).count("another uid")
        == 1
    )


def test_tags_come_and_go(repo: GitRepo, hub: GitRepo) -> None:
    """A tag names the first commit of its run, and is made or removed, not moved."""
    first = state(repo)
    second = state(repo, first)
    uid = first[:7]
    ours, mirror = "refs/runs/@tags/F/a%2Eb/1", f"refs/tags/runs/F/a%2Eb/1-{uid}"
    assert "first commit" in push(repo, f"{second}:{ours}")
    assert "another uid" in push(repo, f"{state(repo, more='User: x')}:{mirror}")
    assert push(repo, f"{first}:{ours}", f"{first}:{mirror}") == ""
    other = state(repo, more="User: x")
    assert "not moved" in push(repo, f"+{other}:{ours}")
    assert push(repo, f":{ours}", f":{mirror}") == ""
    assert refs(hub, "refs") == {}


@pytest.mark.usefixtures("hub")
def test_two_names_of_one_run_at_once(repo: GitRepo) -> None:
    """A run that is there under two names, in two states, goes on under both."""
    first = state(repo)
    line = [first]
    for _ in range(3):
        line.append(state(repo, line[-1]))
    long = f"refs/runs/F/1-{first[:7]}"
    assert push(repo, f"{line[0]}:refs/runs/F/1", f"{line[1]}:{long}") == ""
    third = f"refs/runs/F/1-{first[:9]}"
    assert push(repo, f"{line[2]}:refs/runs/F/1", f"{line[3]}:{long}", f"{line[3]}:{third}") == ""


@pytest.mark.usefixtures("hub")
def test_long_names_and_messages(repo: GitRepo) -> None:
    """A flow whose name a message cuts is taken; a message of megabytes takes no time."""
    flow = "F" * 240
    cut = f"{flow}/1"[:200]
    assert push(repo, f"{state(repo, run=cut)}:refs/runs/{flow}/1") == ""
    assert "no commit of run" in push(repo, f"{state(repo, run=cut[:150])}:refs/runs/{flow}/2")
    long = state(repo, run="F/" + "1" * 4_000_000, more="Odd: " + "x" * 4_000_000)
    assert "no commit of run" in push(repo, f"{long}:refs/runs/F/1")


@pytest.mark.usefixtures("hub")
def test_the_other_branches_are_nobodys_concern(repo: GitRepo) -> None:
    """Branches, tags and notes are pushed, forced and deleted as ever."""
    assert push(repo, "HEAD:refs/heads/main", "HEAD:refs/tags/v1", "HEAD:refs/notes/runs") == ""
    repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "anew")
    assert push(repo, "+HEAD:refs/heads/main", ":refs/tags/v1", ":refs/notes/runs") == ""


@pytest.mark.parametrize("option", ["--mirror", "--atomic"])
def test_all_or_nothing(repo: GitRepo, hub: GitRepo, option: str) -> None:
    """One ref that is refused keeps the others of the same push out; each culprit is named, to a limit."""
    name = "refs/runs/F/1"
    repo.git("update-ref", name, state(repo))
    for number in range(30):
        repo.git("update-ref", f"refs/runs/F/x{number}", "HEAD")
    told = push(repo, option, *([] if option == "--mirror" else ["refs/runs/*:refs/runs/*"]))
    assert told.count("refused: ") == 21
    assert "refused: 10 more" in told
    assert refs(hub, "refs") == {}


@pytest.mark.usefixtures("hub")
def test_a_mirror_deletes_no_runs(repo: GitRepo) -> None:
    """`git push --mirror` of a clone without the runs is refused."""
    assert push(repo, f"{state(repo)}:refs/runs/F/1") == ""
    assert "runs are not deleted here" in push(repo, "--mirror")


def test_objects_elsewhere(repo: GitRepo, tmp_path: Path) -> None:
    """A shared repository that borrows its objects is guarded, too."""
    path = tmp_path / "fork.git"
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--shared", str(repo.path), str(path)], check=True
    )
    shutil.copy(SCRIPT, path / "hooks" / "pre-receive")
    repo.git("remote", "add", "origin", str(path))
    ended = state(repo, state(repo), status="done")
    assert push(repo, f"{ended}:refs/runs/F/1") == ""
    assert "has ended" in push(repo, f"{state(repo, ended)}:refs/runs/F/1")


def test_long_object_ids(tmp_path: Path) -> None:
    """A repository whose ids have 64 digits is guarded, too."""
    for name, more in (("long", []), ("long.git", ["--bare"])):
        subprocess.run(
            ["git", "init", "-q", "--object-format=sha256", *more, str(tmp_path / name)], check=True
        )
    shutil.copy(SCRIPT, tmp_path / "long.git" / "hooks" / "pre-receive")
    repo = GitRepo(tmp_path / "long")
    repo.git("remote", "add", "origin", str(tmp_path / "long.git"))
    first = state(repo)
    ended = state(repo, first, status="done")
    assert push(repo, f"{ended}:refs/runs/F/1", f"{first}:refs/runs/@tags/F/a/1") == ""
    assert push(repo, f"{first}:refs/runs/F/1-{first[:9]}") == ""
    assert "has ended" in push(repo, f"{state(repo, ended)}:refs/runs/F/1")
    assert "not deleted" in push(repo, ":refs/runs/F/1")


@pytest.mark.slow
def test_a_hundred_runs_take_no_time(repo: GitRepo) -> None:
    """The hook starts a fixed number of processes, however many refs there are."""
    lines = []
    for number in range(1, 101):
        first = state(repo, run=f"F/{number}")
        second = state(repo, first, run=f"F/{number}")
        lines.append(f"{first} {second} refs/runs/F/{number}")
        lines.append(f"{NO_OID} {first} refs/runs/@tags/F/a/{number}")
    log = repo.path / "log"
    began = os.times().children_user
    assert judged(repo, lines, {"GIT_TRACE": str(log)}) == ""
    assert os.times().children_user - began < 2  # 0.1 on a fast machine
    assert log.read_text().count("trace: built-in: git") == 3


@pytest.mark.parametrize("shell", ["/bin/sh", "bash", "dash", "zsh", "ksh", "mksh", "busybox"])
def test_beside_another_script(repo: GitRepo, hub: GitRepo, shell: str) -> None:
    """Where there is a script already, it gets its input after ours, and is not asked about what we refuse."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    if shell == "busybox":
        program = f"{program} sh"
    path = hub.path / "hooks" / "pre-receive"
    path.write_text(
        f'#!{program}\nwhile read -r old new ref; do echo "saw $ref" >>seen; done\nexit 0\n'
    )
    path.chmod(0o755)
    (found,) = install(open_repo(hub))
    assert found.installed is Installed.YES
    assert push(repo, "HEAD:refs/heads/a", f"{state(repo)}:refs/runs/F/1") == ""
    assert "is not the name" in push(repo, f"{state(repo)}:refs/runs/F/1/x")
    ended = state(repo, hub.git("rev-parse", "refs/runs/F/1"), status="done")
    assert push(repo, f"{ended}:refs/runs/F/1") == ""
    assert "has ended" in push(repo, f"{state(repo, ended)}:refs/runs/F/1")
    assert (hub.path / "seen").read_text() == "saw refs/heads/a\n" + "saw refs/runs/F/1\n" * 2
    uninstall(open_repo(hub))
    assert path.read_text().startswith(f"#!{program}\nwhile read")


def test_our_own_pushes_pass(repo: GitRepo, hub: GitRepo) -> None:
    """Runs, their later states, and tags coming and going pass, as do tags of git's."""
    make_run(repo, tags=["a", "b c"])
    with start_run(repo) as writer:
        assert repo.call("push", "origin").code == 0
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)
    assert repo.call("tag", "-d", "1", "a").code == 0
    assert repo.call("push", "origin").code == 0
    assert push(repo, "--tags") == ""
    names = [name for name in refs(hub) if "@" not in name]
    assert names == ["refs/runs/MyFlow/1", "refs/runs/MyFlow/2"]


def test_what_a_message_says_is_no_command(repo: GitRepo, hub: GitRepo, tmp_path: Path) -> None:
    """Lines that a trailer goes on in are neither rows of the hook's own nor commands, and move no ended run."""
    bird = tmp_path / "bird"
    run = make_run(repo)
    ref = f"refs/runs/MyFlow/{run.id}"
    push(repo, ref)
    tip = repo.git("rev-parse", ref)
    for lines in (
        f" o x;echo>{bird};y\n r z",
        f" o {tip}\n s running\n r MyFlow/{run.id}",
        f" o {tip}\n p\n s running\n r MyFlow/{run.id}\n o x;echo>{bird}",
    ):
        message = f"MyFlow/{run.id}: on\n\nRun: MyFlow/{run.id}\n{lines}\nStatus: done\n"
        for word in (
            message,
            message.replace("Run:", "X:").replace("Status: done", f"Status: done\n{lines}"),
        ):
            new = repo.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", word)
            repo.git("push", "-q", "origin", f"{new}:{ref}", check=False)
            repo.git("push", "-q", "origin", f"{new}:refs/runs/MyFlow/77", check=False)
            assert hub.git("rev-parse", ref) == tip
    assert not bird.exists()
