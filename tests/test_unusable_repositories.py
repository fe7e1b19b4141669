"""Repositories in which nothing can be recorded: what can't be used says why and what to do, the rest is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, Output, make_repo, run_program
from tests.security import forge

FLOW = linear_flow("self.x = 1")
_CALLS = """
import contextlib, io, json, sys
from gitflowrun.cli.git_runs.main import main
answers = []
for words in json.loads(sys.argv[1]):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    answers.append((code, *texts))
print(json.dumps(answers))
"""


def _config(*settings: str) -> Callable[[GitRepo], None]:
    def change(repo: GitRepo) -> None:
        for line in settings:
            repo.git("config", *line.split("="))

    return change


def _sha256(repo: GitRepo) -> None:
    shutil.rmtree(repo.path / ".git")
    repo.git("init", "-q", "--object-format=sha256")


def _of_somebody_else(repo: GitRepo) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    for path in (repo.path, repo.path / ".git"):
        os.chown(path, 12345, 12345)


def _moved(repo: GitRepo) -> None:
    shutil.rmtree(repo.path / ".git")
    repo.write(".git", "gitdir: /nowhere/at/all\n")


_V1 = "core.repositoryFormatVersion=1"
_NEWER = "needs a newer git: "
_REFUSED: dict[str, tuple[Callable[[GitRepo], None], str, str]] = {
    "none": (
        lambda repo: shutil.rmtree(repo.path / ".git"), "is not in a git repository", "git init"
    ),
    "SHA-256": (
        _sha256, "uses SHA-256 object ids, which are not supported", "git init --object-format=sha1"
    ),
    "reftable": (
        _config(_V1, "extensions.refStorage=reftable"), "the reftable format", "git refs migrate"
    ),
    "extension": (
        _config(_V1, "extensions.quantum=1"),
        f"{_NEWER}unknown repository extension found: quantum",
        "install the git",
    ),
    "version": (
        _config("core.repositoryFormatVersion=9"),
        f"{_NEWER}Expected git repo version <= 1, found 9",
        "install the git",
    ),
    "owner": (
        _of_somebody_else, "it belongs to somebody else", "git config --global --add safe.directory '"
    ),
    "moved": (_moved, "not a git repository: /nowhere/at/all", "status` has to work first"),
}  # fmt: skip


@pytest.mark.parametrize("kind", _REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It says why, a hint says what to do, nothing is written, and the exit code is 2, or git's 128."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repo.path.parent))
    repo.write("f.py", FLOW)
    change, reason, what_to_do = _REFUSED[kind]
    change(repo)
    before = {*repo.path.rglob("*")}
    for done, code in ((repo.flow("f.py", "run"), 2), (repo.call("list"), 128)):
        *_, told, hint = done.err.splitlines()
        assert (done.code, reason in told, what_to_do in hint) == (code, True, True), done.err
        assert hint.startswith("hint: ")
        assert "Traceback" not in done.err
    assert done.err.count("\n") == 2
    assert {*repo.path.rglob("*")} == before


def _mounted(repo: GitRepo, command: Sequence[str]) -> Output:
    script = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
    return run_program(["unshare", "-m", "sh", "-c", script, "sh", *command], repo.path)


def _forbidden(repo: GitRepo, command: Sequence[str]) -> Output:
    places = [repo.path, *(path for path in repo.path.rglob("*") if not path.is_symlink())]
    for path in places:
        path.chmod(path.stat().st_mode & ~0o222)
    # Root may do anything by a capability, which is taken from it.
    drop = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    try:
        return run_program([*drop, *command], repo.path)
    finally:
        for path in places:
            path.chmod(path.stat().st_mode | 0o200)


_READS = (
    "list", "list --json", "list --trash", "log", "show 1", "show 1/start/1/x", "diff 1 2", "logs 1", "cat 1/start/1/x",
    "tag", "fsck", "fsck --read-data", "doctor",
)  # fmt: skip
_WRITES = (
    "tag 1 good",
    "rm 1 --force",
    "purge 1 --force",
    "fetch ../server.git",
    "trust ../server.git",
)


@pytest.mark.parametrize(("how", "fetched"), [(_mounted, False), (_forbidden, True)])
@pytest.mark.sample(1)
def test_what_cannot_be_written_to_is_read(
    repo: GitRepo, *, how: Callable[[GitRepo, Sequence[str]], Output], fetched: bool
) -> None:
    """Every command that reads succeeds and says nothing else, one that writes names the reason; runs stay as they are.

    Also in a clone in which no command of ours has written before.
    """
    if how is _mounted and (
        os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode
    ):
        pytest.skip("only root mounts a file system")
    if how is _forbidden and not os.geteuid() and not shutil.which("setpriv"):
        pytest.skip("root needs setpriv for that")
    repo.write("f.py", FLOW)
    repo.commit()
    for _ in range(2):
        assert repo.flow("f.py", "run").code == 0
    if fetched:
        repo.git("clone", "-q", "--mirror", ".", "../mirror/.git")
        repo = GitRepo(repo.path.parent / "mirror")
        repo.git("config", "core.bare", "false")
        repo.git("checkout", "-q", "main")
    server = make_repo(repo.path.parent / "server.git")
    forge.Forge(server).write(forge.Forgery(forge.info("Far", "7")))
    before = repo.git("for-each-ref")

    calls = [words.split() for words in (*_READS, *_WRITES)]
    done = how(repo, [sys.executable, "-c", _CALLS, json.dumps(calls)])
    assert done.code == 0, done.err
    reason = "Read-only file system" if how is _mounted else "Permission denied"
    for words, (code, out, err) in zip(calls, json.loads(done.out), strict=True):
        if " ".join(words) in _READS:
            assert (code, err) == (0, ""), (words, out, err)
        else:
            assert (code, reason in err, err.count("\n")) == (128, True, 2), (words, out, err)
    for verb in (["run"], ["resume", "1"]):
        done = how(repo, [sys.executable, "f.py", *verb])
        assert (done.code, reason in done.err, "Traceback" in done.err) == (1, True, False), (
            done.err
        )
    assert repo.git("for-each-ref") == before
    repo.fsck()


def test_a_machine_without_proc(repo: GitRepo) -> None:
    """Runs are recorded; what is copied from a stream is refused, and so are runs along with what may be a dry run."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("only root mounts a file system")
    body = "import os, gitflowrun as g; self.x = g.from_chunks([b'x']) if 'STREAM' in os.environ else 1"
    repo.write("f.py", linear_flow(body))
    repo.commit()
    repo.git("config", "runs.autoPush", "true")
    calls = [["hook", "pre-push", ".", "."], ["show", "1"]]
    script = (
        'mount -t tmpfs none /proc && "$1" f.py run && ! STREAM=1 "$1" f.py run && '
        'echo "refs/heads/main $(git rev-parse HEAD) refs/heads/main 0" | "$1" -c "$2" "$3"'
    )
    words = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, _CALLS, json.dumps(calls)]
    done = run_program(words, repo.path)
    assert done.code == 0, done.err
    assert "a stream can't be stored where /proc is not mounted" in done.err
    (code, _, told), (shown, *_) = json.loads(done.out.splitlines()[-1])
    assert (code, shown) == (0, 0)
    assert "no runs were sent along: /proc is not mounted" in told
