"""Own runs are trusted, strangers' are not before the user says so, and nothing else changes that."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Commit, Oid, Signature
from gitflowrun.git.signing import signature
from gitflowrun.git.signing.signature import with_signature
from gitflowrun.git.transport.remote import Remote
from gitflowrun.porcelain.overview import run_overview
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.runs import clone_key
from gitflowrun.runs.clone_key import CloneKey
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.trust import Trust
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, start_run, store_of

ZERO = Oid(bytes(20))
ADA = Signature("Ada", "ada@example.org", 1_700_000_000, 0)
COMMIT = Commit(ZERO, (), ADA, ADA, b"MyFlow/1: running\n")


@pytest.fixture
def colleague(repo: GitRepo, tmp_path: Path) -> GitRepo:
    """A clone of the repository, in which runs can be made."""
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "clone"))
    return GitRepo(tmp_path / "clone")


def _hashed(repo: GitRepo, commit: bytes) -> str:
    return repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=commit)


def _trust(repo: GitRepo) -> Trust:
    return Trust(open_repo(repo))


def _stored(repo: GitRepo, run: RunIdentity) -> StoredRun:
    found = store_of(repo).of_uid(run.flow, run.uid)
    assert found is not None
    return found


def _trusts(repo: GitRepo, run: RunIdentity) -> bool:
    """Whether a process that starts now trusts a run as it is now."""
    return _trust(repo).trusts(_stored(repo, run).commit)


def _fetch(repo: GitRepo, source: GitRepo) -> None:
    """Fetch runs as people do by hand."""
    repo.git("fetch", "-q", str(source.path), "refs/runs/*:refs/runs/*")


def _vouch_for(repo: GitRepo, remote: str) -> None:
    repository = open_repo(repo)
    Trust(repository).vouch_for_url(Remote(repository, remote).place)


def _extend(repo: GitRepo, run: RunIdentity, message: str | None = None) -> None:
    """Append a commit with another tree to a run, as anybody can."""
    ref = f"refs/runs/{run.flow}/{run.id}"
    message = message or repo.git("log", "-1", "--format=%B", ref)
    new = repo.git("commit-tree", "-p", ref, "-m", message, "HEAD^{tree}")
    repo.git("update-ref", ref, new)


def _file(repo: GitRepo) -> Path:
    return repo.path / ".git" / "gitflowrun-trusted"


def test_own_runs_are_trusted_in_every_state(repo: GitRepo) -> None:
    """From the first one on, each commit made here is."""
    run = make_run(repo)
    trust = _trust(repo)
    commits = repo.git("rev-list", f"refs/runs/{run.flow}/{run.id}").split()
    assert len(commits) == 5
    assert all(trust.trusts(Oid.from_hex(it)) for it in commits)
    assert trust.executors(_stored(repo, run)) == {run.uid}


def test_own_runs_stay_trusted_without_local_state(repo: GitRepo) -> None:
    """`.git/gitflowrun/` may be deleted at any time."""
    run = make_run(repo)
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    assert _trusts(repo, run)
    assert _trusts(repo, make_run(repo))


def test_own_runs_are_trusted_in_linked_worktrees(repo: GitRepo, tmp_path: Path) -> None:
    """Worktrees are one clone."""
    run = make_run(repo)
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"))
    tree = GitRepo(tmp_path / "tree")
    assert _trusts(tree, run)
    assert _trusts(repo, make_run(tree))


def test_the_key_is_private(repo: GitRepo) -> None:
    """Nobody else reads it, git does not track it, and it has the size that every release reads."""
    make_run(repo)
    (key,) = (repo.path / ".git").glob("gitflowrun-key-*")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_size == 32
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (rb"^tree .*$", b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        (rb"^parent .*$", b"parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        (rb"^parent .*\n", b""),
        (rb"^author ", b"parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor "),
        (rb"^author \S+", b"author Mallory"),
        (rb"^committer .*$", b"committer Mallory <m@example.org> 1700000000 +0000"),
        (rb"^Status: .*$", b"Status: failed"),
        (rb"^Uid: .*\n", b""),
        (rb"^MyFlow/1: .*$", b"MyFlow/1: all is well"),
        (rb"^Mac: ", b"Mac: 00\nMac: "),
        (rb"\Z", b"\n"),
        (rb"^(Run: [^\0]*)(Mac: .*\n)", rb"\2\1"),
        (rb"^\n", b"encoding utf-8\n\n"),
        (rb"^author ", b"author  "),
        (rb"^\n", b"gpgsig -----BEGIN SSH SIGNATURE-----\n \n\n"),
    ],
)
@pytest.mark.sample(6)
def test_a_commit_with_another_word_is_not_ours(repo: GitRepo, part: bytes, other: bytes) -> None:
    """The MAC is over all of a commit: not only tree and parents are what was made here, but who, when and what."""
    run = make_run(repo)
    for oid in (repo.git("rev-parse", f"refs/runs/MyFlow/{run.id}"), str(run.uid)):
        content = repo.git("cat-file", "commit", oid).encode() + b"\n"
        assert _hashed(repo, content) == oid
        assert _trust(repo).trusts(Oid.from_hex(oid))
        changed = re.sub(part, other, content, count=1, flags=re.MULTILINE)
        if b"\ngpgsig" not in changed or str(run.uid) == oid:  # a last one may be signed
            forged = Oid.from_hex(_hashed(repo, changed))
            assert str(forged) == oid or not _trust(repo).trusts(forged)


@pytest.mark.parametrize(("size", "is_ours"), [(0, True), (1, False)])
def test_a_last_commit_may_have_one_signature_of_ours(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, size: int, is_ours: bool
) -> None:
    """One that no run has is none of ours, however good the MAC is."""
    run = make_run(repo)
    content = repo.git("cat-file", "commit", f"refs/runs/MyFlow/{run.id}").encode() + b"\n"
    monkeypatch.setattr(signature, "MAX_SIGNATURE", 9)
    signed = with_signature(content, b"s" * (9 + size))
    assert _trust(repo).made(Oid.from_hex(_hashed(repo, signed))) is is_ours


def test_losing_the_key_loses_trust(repo: GitRepo, colleague: GitRepo) -> None:
    """Deleting never makes a run trusted; without the key own runs count as strangers', and nothing is vouched for."""
    theirs = make_run(colleague, "Theirs")
    _fetch(repo, colleague)
    run = make_run(repo)
    _trust(repo).vouch_for_run(_stored(repo, theirs))
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    assert not _trusts(repo, run)
    later = make_run(repo)
    assert _trusts(repo, later)
    assert not _trusts(repo, run)
    assert not _trusts(repo, theirs)
    assert (_trust(repo).vouched, _trust(repo).damaged) == ((), 1)


def test_fetched_runs_are_not_trusted(repo: GitRepo, colleague: GitRepo) -> None:
    """Also when the clone has runs of its own, and when local state is gone."""
    run = make_run(colleague)
    _fetch(repo, colleague)
    assert not _trusts(repo, run)
    assert _trust(repo).executors(_stored(repo, run)) == frozenset()
    make_run(repo, "Other")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    assert not _trusts(repo, run)
    assert not _trust(repo).trusts(ZERO)


def test_the_user_trusts_a_run(repo: GitRepo, colleague: GitRepo) -> None:
    """Trust holds for this run alone, with its earlier states, in all processes, and can be taken back."""
    run, other = make_run(colleague), make_run(colleague)
    _fetch(repo, colleague)
    trust, stored = _trust(repo), _stored(repo, run)
    assert not trust.trusts(stored.commit)
    for _ in range(2):
        _trust(repo).vouch_for_run(stored)
    assert trust.trusts(stored.commit)
    assert len(trust.vouched) == 1
    assert not _trusts(repo, other)
    commits = repo.git("rev-list", f"refs/runs/{run.flow}/{run.id}").split()
    assert all(trust.trusts(Oid.from_hex(it)) for it in commits)
    assert _file(repo).stat().st_mode & 0o777 == 0o600
    assert trust.withdraw_run(stored)
    assert not trust.withdraw_run(stored)
    assert not trust.trusts(stored.commit)


@pytest.mark.parametrize("own", [True, False], ids=["own", "vouched for"])
def test_strangers_do_not_inherit_trust(repo: GitRepo, colleague: GitRepo, own: bool) -> None:
    """Whoever appends to a run gets it fast-forwarded here, but not trusted."""
    maker, other = (repo, colleague) if own else (colleague, repo)
    run = make_run(maker)
    _fetch(other, maker)
    before = _stored(repo, run)
    if not own:
        _trust(repo).vouch_for_run(before)
    _extend(colleague, run)
    _fetch(repo, colleague)
    after = _stored(repo, run)
    assert after.commit != before.commit
    trust = _trust(repo)
    assert not trust.trusts(after.commit)
    assert trust.trusts(before.commit)
    trust.vouch_for_run(after)
    assert trust.trusts(after.commit)


def test_a_mac_cannot_be_copied(repo: GitRepo, colleague: GitRepo) -> None:
    """A MAC on another tree, or of another clone, proves nothing."""
    own = make_run(repo)
    _fetch(colleague, repo)
    message = repo.git("log", "-1", "--format=%B", f"refs/runs/{own.flow}/{own.id}")
    assert "\nMac: " in message
    foreign = make_run(colleague, "Foreign")
    _extend(colleague, foreign, message)
    _fetch(repo, colleague)
    tip = repo.git("rev-parse", f"refs/runs/{foreign.flow}/{foreign.id}")
    assert not _trust(repo).trusts(Oid.from_hex(tip))


def test_the_user_trusts_a_remote(repo: GitRepo, colleague: GitRepo) -> None:
    """Its runs are trusted as the next fetch finds them there, also those that are here; not what others bring."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    assert fetch(open_repo(repo), "team").trusted == 0
    _vouch_for(repo, "team")
    assert not _trusts(repo, run)
    assert fetch(open_repo(repo), "team").trusted == 1
    assert _trusts(repo, run)
    later = make_run(colleague)
    _fetch(repo, colleague)
    assert not _trusts(repo, later)
    assert fetch(open_repo(repo), "team").trusted == 2
    assert _trusts(repo, later)
    place = Remote(open_repo(repo), "team").place
    assert len(_trust(repo).withdraw_url(place)) == 3
    assert not _trusts(repo, run)
    assert fetch(open_repo(repo), "team").trusted == 0
    assert not _trusts(repo, run)


def test_trust_in_a_remote_belongs_to_its_url(
    repo: GitRepo, colleague: GitRepo, tmp_path: Path
) -> None:
    """A renamed remote stays trusted; another repository under its name, or called so by git, does not become so."""
    repo.git("remote", "add", "team", str(colleague.path))
    _vouch_for(repo, "team")
    repo.git("remote", "rename", "team", "old")
    run = make_run(colleague)
    assert fetch(open_repo(repo), "old").trusted == 1
    assert _trusts(repo, run)
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "stranger"))
    stranger = GitRepo(tmp_path / "stranger")
    theirs = make_run(stranger, "Other")
    repo.git("remote", "add", "team", str(stranger.path))
    repo.git("config", f"url.{stranger.path}.insteadOf", str(colleague.path))
    for name in ("team", "old", str(colleague.path)):
        assert fetch(open_repo(repo), name).trusted == 0
    assert not _trusts(repo, theirs)


FORGED: dict[str, Callable[[str], str]] = {
    "another kind": lambda line: line.replace('"commit"', '"url"', 1),
    "another source": lambda line: line.replace(', "", ', ', "x", ', 1),
    "cut": lambda line: line[:-1],
    "another commit": lambda line: line.replace("0", "1"),
    "no line": lambda _line: "nonsense",
    "no seal": lambda _line: f'{os.geteuid()} ["commit"',
    "another user": lambda line: f"x{line}",
}


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.sample(4)
def test_what_is_not_sealed_is_passed_over(repo: GitRepo, colleague: GitRepo, how: str) -> None:
    """A line that somebody wrote or changed counts for nothing, is told, and does no harm to the others."""
    run, other = make_run(colleague), make_run(colleague)
    _fetch(repo, colleague)
    for it in (run, other):
        _trust(repo).vouch_for_run(_stored(repo, it))
    first, second = _file(repo).read_text().splitlines()
    _file(repo).write_text(f"{FORGED[how](first)}\n{second}\n")
    assert not _trusts(repo, run)
    assert _trusts(repo, other)
    assert len(_trust(repo).vouched) == 1
    later = make_run(repo, "Later")
    _trust(repo).vouch_for_run(_stored(repo, later))
    assert len(_trust(repo).vouched) == 2


@pytest.mark.parametrize(
    "content",
    ['["planet", "x", 1, "", ""]', '["url", "x"]', '["url", "x", 1, "", "", "", "more"]', '{"url": 1}', "[]", "4", ""],
)  # fmt: skip
@pytest.mark.sample(3)
def test_what_a_later_release_has_sealed_is_passed_over(
    repo: GitRepo, colleague: GitRepo, content: str
) -> None:
    """The rest counts, more can be said, and the line stays."""
    run = make_run(colleague)
    _fetch(repo, colleague)
    seal = CloneKey(open_repo(repo)).seal(content.encode())
    line = f"{os.geteuid()} {seal} {content}\n"
    _file(repo).write_text(line)
    assert _trust(repo).vouched == ()
    _trust(repo).vouch_for_run(_stored(repo, run))
    assert _trusts(repo, run)
    _trust(repo).withdraw_run(_stored(repo, run))
    assert not _trusts(repo, run)
    assert _file(repo).read_text() == line


def test_the_lines_of_other_users_are_left_alone(repo: GitRepo, colleague: GitRepo) -> None:
    """In a shared repository each line counts for the user who has the key it is sealed with."""
    run = make_run(colleague)
    _fetch(repo, colleague)
    theirs = '4711 5d0c ["url", "https://example.org", 1, "", ""]'
    _file(repo).write_text(f"{theirs}\n")
    trust = _trust(repo)
    trust.vouch_for_run(_stored(repo, run))
    assert (len(trust.vouched), trust.damaged) == (1, 0)
    trust.withdraw_run(_stored(repo, run))
    assert _file(repo).read_text() == f"{theirs}\n"


def test_config_and_refs_are_no_evidence(repo: GitRepo, colleague: GitRepo) -> None:
    """Anybody's fetch writes refs, and a configuration may come with an archive."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    fetch(open_repo(repo), "team")
    commit = str(_stored(repo, run).commit)
    repo.git("config", "--add", "runs.trustedRun", commit)
    repo.git("config", "--add", "runs.trustedRemote", str(colleague.path))
    repo.git("fetch", "-q", str(colleague.path), "+refs/*:refs/copies/*")
    assert not _trusts(repo, run)


def test_an_earlier_state_of_a_remotes_run_is_trusted(repo: GitRepo, colleague: GitRepo) -> None:
    """What the remote has grown by since does not matter."""
    run = make_run(colleague)
    repo.git("remote", "add", "team", str(colleague.path))
    _vouch_for(repo, "team")
    fetch(open_repo(repo), "team")
    before = _stored(repo, run).commit
    _extend(colleague, run)
    _fetch(repo, colleague)
    assert not _trusts(repo, run)
    assert _trust(repo).trusts(before)


def test_grafts_and_replaced_commits_are_not_believed(repo: GitRepo, colleague: GitRepo) -> None:
    """History is what commits say, whatever git is told to show instead."""
    run, theirs = make_run(repo), make_run(colleague, "Theirs")
    _fetch(repo, colleague)
    own, strange = _stored(repo, run).commit, _stored(repo, theirs).commit
    _trust(repo).vouch_for_run(_stored(repo, run))
    repo.git("replace", "--graft", str(own), str(strange))
    (repo.path / ".git/info/grafts").write_text(f"{own} {strange}\n")
    assert not _trusts(repo, theirs)
    repo.git("replace", "-f", str(strange), str(own))
    assert not _trusts(repo, theirs)
    assert _trusts(repo, run)


def test_a_row_of_a_list_is_compared_with_its_commit(repo: GitRepo, colleague: GitRepo) -> None:
    """A list of runs says which tree a commit has; the commit itself is asked before anything is loaded."""
    run, theirs = make_run(repo), make_run(colleague, "Theirs")
    _fetch(repo, colleague)
    repository = open_repo(repo)
    row = next(it for it in store_of(repo).summaries() if it.uid == run.uid)
    listed = StoredRun(repository, "MyFlow", run.id, row.commit, row)
    assert Trust(repository).trusts_run(listed)
    wrong = replace(row, tree=str(_stored(repo, theirs).tree))
    listed = StoredRun(repository, "MyFlow", run.id, row.commit, wrong)
    assert not Trust(repository).trusts_run(listed)
    assert Trust(repository).executors(listed) == frozenset()


def test_one_key_among_many_processes(repo: GitRepo) -> None:
    """Whoever is first makes the key; all others use it."""
    stores = [_trust(repo) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        macs = set(pool.map(lambda it: it.mac(COMMIT), stores))
    assert len(macs) == 1
    assert len(list((repo.path / ".git").glob("gitflowrun-key*"))) == 1


def test_a_key_that_another_process_makes_at_that_moment(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there first, and is used; nothing else is left."""
    link, others = os.link, list[str]()

    def faster(source: Path, target: Path) -> None:
        if not others:
            others.append("")
            others[0] = _trust(repo).mac(COMMIT)
        link(source, target)

    monkeypatch.setattr(os, "link", faster)
    assert _trust(repo).mac(COMMIT) == others[0] != ""
    assert len(list((repo.path / ".git").glob("gitflowrun-key*"))) == 1


def test_a_key_is_used_whose_first_name_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can't be removed ends nothing."""

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "not here", str(path), missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert _trust(repo).mac(COMMIT) == _trust(repo).mac(COMMIT) != ""


def test_many_vouch_at_once(repo: GitRepo) -> None:
    """No entry is lost."""
    make_run(repo)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda it: _trust(repo).vouch_for_url(f"https://example.org/{it}"), range(24))
        )
    assert len(_trust(repo).vouched) == 24


def _plant(place: Path, kind: str) -> None:
    """Put something into the place of a file."""
    if kind == "directory":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        target = place.with_name("elsewhere")
        target.write_bytes(bytes(32))
        target.chmod(0o600)
        place.symlink_to(target)
    elif kind == "open to others":
        place.write_bytes(bytes(32))
        place.chmod(0o640)
    else:
        place.write_bytes(b"short" if kind == "torn" else b"")
        place.chmod(0o600)


@pytest.mark.parametrize("kind", ["torn", "empty", "directory", "pipe", "link", "open to others"])
def test_a_key_that_cannot_be_used_is_an_error(repo: GitRepo, kind: str) -> None:
    """Neither is it replaced in silence nor are runs made that nobody trusts; the hint says what to do."""
    key = repo.path / ".git" / f"gitflowrun-key-{os.geteuid()}"
    _plant(key, kind)
    what = "is a symbolic link" if kind == "link" else "this clone knows its own runs"
    with pytest.raises(RepositoryError, match=what) as caught:
        start_run(repo)
    assert str(key) in caught.value.message
    assert caught.value.hint
    assert os.path.lexists(key)


def test_a_run_is_shown_where_the_key_cannot_be_used(repo: GitRepo) -> None:
    """Only what runs code needs it."""
    run = make_run(repo, result=b"shown")
    (repo.path / ".git" / f"gitflowrun-key-{os.geteuid()}").chmod(0o644)
    assert run_overview(_stored(repo, run), ()).code.command == ()
    with pytest.raises(RepositoryError, match="others than you"):
        _trusts(repo, run)


def test_a_key_of_somebody_else_is_an_error(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has put it there knows it."""
    make_run(repo)
    mine = os.geteuid()
    (repo.path / ".git" / f"gitflowrun-key-{mine}").rename(
        repo.path / ".git" / f"gitflowrun-key-{mine + 1}"
    )
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(RepositoryError, match="not to you"):
        start_run(repo)


@pytest.mark.parametrize("name", ["trusted", "mark"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_other_files_beside_the_key_are_regular(repo: GitRepo, name: str, kind: str) -> None:
    """What is none is told, and not waited for."""
    run = make_run(repo)
    place = repo.path / ".git" / f"gitflowrun-{name}"
    place.unlink(missing_ok=True)
    _plant(place, kind)
    use: dict[str, Callable[[], object]] = {
        "mark": lambda: start_run(repo),
        "trusted": lambda: _trusts(repo, run),
    }
    with pytest.raises(RepositoryError, match=f"gitflowrun-{name}"):
        use[name]()


def test_own_runs_are_known_on_a_file_system_without_modes_and_links(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT shows all files as everybody's, whatever is asked of it; runs that were made there are trusted there."""
    create = os.open

    def everybodys(path: Any, flags: int, *mode: int, **options: Any) -> int:
        descriptor = create(path, flags, *mode, **options)
        if "gitflowrun-key" in str(path) and flags & os.O_CREAT:
            Path(path).chmod(0o777)
        return descriptor

    def no_links(_source: Any, target: Any) -> None:
        raise PermissionError(errno.EPERM, "no links here", str(target))

    monkeypatch.setattr(os, "open", everybodys)
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    run = make_run(repo)
    assert _trusts(repo, run)
    (key,) = (repo.path / ".git").glob("gitflowrun-key*")
    assert key.stat().st_mode & 0o777 == 0o777


def test_runs_are_made_where_no_key_can_be_kept(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key a run has no MAC, and nothing else is different; but nothing can be vouched for."""
    real = os.open

    def refuse(path: object, *args: int) -> int:
        if "gitflowrun-key" in str(path) and args[0] & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return real(str(path), *args)

    monkeypatch.setattr(os, "open", refuse)
    assert _trust(repo).mac(COMMIT) == ""
    with pytest.raises(RepositoryError, match="can't be made"):
        _trust(repo).vouch_for_url("https://example.org")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_no_run_is_made_where_the_disk_takes_no_key(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It would count as a stranger's for ever; nothing of it is recorded."""

    def refuse(path: Path, content: bytes) -> None:
        path.write_bytes(content[:1])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(clone_key, "write_new", refuse)
    with pytest.raises(RepositoryError, match=f"gitflowrun-key.*{os.strerror(code)}"):
        make_run(repo)
    assert repo.git("for-each-ref", "refs/runs") == ""
    assert not [*(repo.path / ".git").glob("gitflowrun-key*")]


def test_trust_that_cannot_be_written_is_told(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it was, which file, and what can be done."""
    run = make_run(repo)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RepositoryError, match="what you trust: No space left") as caught:
        _trust(repo).vouch_for_run(_stored(repo, run))
    assert str(repo.path / ".git" / "gitflowrun-trusted") in caught.value.message
    assert caught.value.hint == "free some space and try again"
    assert not list((repo.path / ".git").glob("gitflowrun-trusted*"))


def test_what_trust_rests_on_is_on_the_disk(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key before a run counts as ours by it, and what is vouched for before that is said."""
    top, fsync = repo.path / ".git", os.fsync
    synced: list[set[str]] = []

    def noted(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").resolve() == top:
            synced.append({path.name for path in top.iterdir()})
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    assert CloneKey(open_repo(repo)).seal(b"x")
    assert [f"gitflowrun-key-{os.geteuid()}" in names for names in synced] == [True]
    _trust(repo).vouch_for_url("https://example.org/x.git")
    assert ["gitflowrun-trusted" in names for names in synced] == [False, True]


def test_what_ends_a_run(repo: GitRepo) -> None:
    """A final state in a line that begins with INFO alone; what is missing or damaged is no such thing."""
    with start_run(repo) as writer:
        identity = writer.identity
        first = _stored(repo, identity).commit
        writer.commit([], status=Status.DONE)
    run = _stored(repo, identity)
    trust = _trust(repo)
    assert trust._ends_a_run(run.commit)
    assert not trust._ends_a_run(first)
    assert not trust._ends_a_run(ZERO)
    content = repo.git("cat-file", "commit", str(run.commit)).encode() + b"\n"
    tree = repo.git("rev-parse", f"{run.commit}^{{tree}}").encode()
    lost = _hashed(repo, content.replace(tree, b"1" * 40, 1))
    assert not _trust(repo)._ends_a_run(Oid.from_hex(lost))
    merge = _hashed(
        repo, content.replace(b"\nparent", b"\nparent " + str(first).encode() + b"\nparent", 1)
    )
    assert not _trust(repo)._ends_a_run(Oid.from_hex(merge))
