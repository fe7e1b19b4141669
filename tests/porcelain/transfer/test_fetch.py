"""What a remote offers is examined before it becomes a run; strange refs harm nobody."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import named
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.transport.remote import Remote
from gitflowrun.names import RunId
from gitflowrun.porcelain.transfer import fetch as fetching
from gitflowrun.porcelain.transfer import sync
from gitflowrun.porcelain.transfer.fetch import _Fetch, fetch
from gitflowrun.porcelain.transfer.push import push, push_to
from gitflowrun.porcelain.transfer.sync import Outcome, RemoteView, Transfer, free_id, tags_of
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.runs import Status
from tests.helpers.clones import add_tag, break_line, clone, get, ids, outcomes, refs, send, tags
from tests.helpers.flows import linear_flow
from tests.helpers.packs import blob, objects_dir, pack_store
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run, store_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gitflowrun.git.command import Git
    from gitflowrun.git.refs import RefUpdate


def test_strange_refs_are_passed_over(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """Refs of other shapes are named in a notice, or ignored where they are ours to come."""
    make_run(ada)
    send(ada)
    head = server.git("rev-parse", "main")
    for name in (
        "$(touch)/1",
        "G",
        "F/1/2/3",
        "F/01",
        "F/12-xyz",
        "F/-1",
        "<b>/2",
        "@index/F",
    ):
        server.git("update-ref", f"refs/runs/{name}", head)
    report = get(bob)
    assert outcomes(report) == [Outcome.NEW]
    assert len(report.notices) == 7
    assert all("is not the ref of a run" in notice for notice in report.notices)
    assert ids(bob) == ids(ada)


def test_commits_that_are_no_runs_are_left_out(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A branch's commit, a blob or a tag under a run's name is left out with a reason; runs beside it arrive."""
    make_run(ada)
    send(ada)
    head = server.git("rev-parse", "main")
    blob = server.git("hash-object", "-w", "--stdin", stdin=b"x")
    server.git("update-ref", "refs/runs/MyFlow/2", head)
    server.git("update-ref", "refs/runs/MyFlow/3", blob)
    server.git("-c", "user.name=x", "-c", "user.email=x", "tag", "-a", "-m", "x", "v1", head)
    server.git("update-ref", "refs/runs/MyFlow/4", server.git("rev-parse", "v1"))
    report = get(bob)
    assert outcomes(report) == [Outcome.NEW] + [Outcome.LEFT_OUT] * 3
    assert all(run.reason for run in report.with_outcome(Outcome.LEFT_OUT))
    assert set(ids(bob)) == {"MyFlow/1"}
    assert outcomes(send(bob)) == [Outcome.CURRENT]


def test_what_could_not_be_read_for_once_is_no_fault_of_the_remote(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at again; where it can't be read at all the run is refused, and comes by the next fetch."""
    make_run(ada)
    send(ada)
    calls: list[Git] = []

    def forgetful(git: Git, wanted: Iterable[str]) -> dict[str, Oid]:
        calls.append(git)
        return {} if len(calls) == 1 else named(git, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "named", forgetful)
        assert outcomes(get(bob)) == [Outcome.NEW]
    make_run(ada)
    send(ada)

    def fails(*_: object) -> object:
        raise RepositoryError("Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(_Fetch, "_info", fails)
        (run,) = get(bob).with_outcome(Outcome.REFUSED)
        assert run.reason == "Input/output error"
    assert len(get(bob).with_outcome(Outcome.NEW)) == 1
    assert ids(bob) == ids(ada)


def test_runs_under_false_names_are_left_out(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A run that is offered as another flow, number or uid is not imported under it."""
    run = make_run(ada)
    send(ada)
    tip = refs(server)["refs/runs/MyFlow/1"]
    for name in ("MyFlow/7", "Other/1", "MyFlow/1-0123456"):
        server.git("update-ref", f"refs/runs/{name}", tip)
    report = get(bob)
    assert len(report.with_outcome(Outcome.LEFT_OUT)) == 3
    assert ids(bob) == {"MyFlow/1": run.uid.short}
    assert open_repo(bob).refs.get("refs/runs/MyFlow/7") is None


def test_a_forged_history_does_not_move_a_run(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A state that does not descend from ours never replaces it, on either side."""
    make_run(ada)
    send(ada)
    get(bob)
    before = refs(bob)
    tree = server.git("rev-parse", "refs/runs/MyFlow/1^{tree}")
    first = str(store_of(bob).find("1").identity.uid)
    message = server.git("log", "-1", "--format=%B", "refs/runs/MyFlow/1")
    identity = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
    forged = server.git(*identity, "commit-tree", tree, "-p", first, stdin=message.encode())
    server.git("update-ref", "refs/runs/MyFlow/1", forged)
    report = get(bob)
    assert outcomes(report) == [Outcome.KEPT]
    assert "it has ended here" in report.runs[0].reason
    assert refs(bob) == before
    report = send(bob)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "another continuation" in report.runs[0].reason
    assert refs(server)["refs/runs/MyFlow/1"] == forged
    orphan = server.git(*identity, "commit-tree", tree, stdin=message.encode())
    server.git("update-ref", "refs/runs/MyFlow/1", orphan)
    assert outcomes(get(bob)) == [Outcome.LEFT_OUT]
    assert refs(bob) == before


def test_a_run_whose_info_has_changed_is_left_out(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """What describes a run stands in its first commit: a later one that says something else is left out, and told."""
    run = make_run(ada)
    send(ada)
    name = "refs/runs/MyFlow/1"
    rows = server.git("ls-tree", name).split("\n")
    info = open_repo(server).objects.blob(Oid.from_hex(server.git("rev-parse", f"{name}:INFO")))
    other = info.replace(b"testhost", b"otherone")
    assert other != info
    blob_oid = server.git("hash-object", "-w", "--stdin", stdin=other)
    changed = [f"100644 blob {blob_oid}\tINFO" if row.endswith("\tINFO") else row for row in rows]
    tree = server.git("mktree", stdin="\n".join([*changed, ""]).encode())
    message = server.git("log", "-1", "--format=%B", name)
    identity = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
    forged = server.git(*identity, "commit-tree", tree, "-p", name, stdin=message.encode())
    server.git("update-ref", name, forged)
    (refused,) = get(bob).runs
    assert refused.outcome is Outcome.LEFT_OUT
    assert "INFO is not that of its first commit" in refused.reason
    assert refs(bob) == {}
    server.git("update-ref", name, f"{forged}^")
    get(bob)
    assert ids(bob) == {"MyFlow/1": run.uid.short}


def test_numbers_and_tags_are_chosen_under_their_locks(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch changes refs of runs while it holds the lock of run ids, and tags while it holds that of tags.

    So a run that starts meanwhile, and a fetch beside it, choose other numbers.
    """
    make_run(ada, tags=["good"])
    send(ada)
    opened = open_repo(bob)
    locks = Locks(opened.state_dir)
    held: list[tuple[bool, LockState, LockState]] = []
    real = Refs.transaction

    def transaction(self: Refs, updates: Sequence[RefUpdate]) -> None:
        for update in updates:
            if update.name.startswith("refs/runs/"):
                is_tag = update.name.startswith("refs/runs/@tags/")
                held.append((is_tag, locks.ids().state(), locks.tags().state()))
        real(self, updates)

    monkeypatch.setattr(Refs, "transaction", transaction)
    fetch(opened, "origin")
    assert {is_tag for is_tag, _, _ in held} == {False, True}
    for is_tag, of_ids, of_tags in held:
        assert (of_tags if is_tag else of_ids) is LockState.HELD


def test_what_was_pushed_or_fetched_is_noted(ada: GitRepo, bob: GitRepo) -> None:
    """Either side knows afterwards what the remote has: the next push or fetch finds nothing to do."""
    make_run(ada)
    send(ada)
    tip = refs(ada)["refs/runs/MyFlow/1"]
    assert {*refs(ada, "refs/runs-remotes/").values()} == {tip}
    assert outcomes(get(bob)) == [Outcome.NEW]
    assert {*refs(bob, "refs/runs-remotes/").values()} == {tip}
    assert outcomes(get(bob)) == [Outcome.CURRENT]
    assert outcomes(send(ada)) == [Outcome.CURRENT]


def malformed_commit(server: GitRepo) -> str:
    """A commit whose tree has a directory called `.git`."""
    blob = server.git("hash-object", "-w", "--stdin", stdin=b"[core]")
    inner = server.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    raw = b"40000 .git\0" + bytes.fromhex(inner)
    tree = server.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    identity = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
    return server.git(*identity, "commit-tree", tree, "-m", "x")


def test_malformed_objects_do_not_stop_the_others(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """A run whose tree git's checks refuse is left out; the rest of its batch arrives."""
    for _ in range(3):
        start_run(ada).close()
    send(ada)
    server.git("update-ref", "refs/runs/MyFlow/9", malformed_commit(server))
    report = get(bob)
    assert sorted(ids(bob)) == ["MyFlow/1", "MyFlow/2", "MyFlow/3"]
    (refused,) = report.with_outcome(Outcome.LEFT_OUT)
    assert refused.source == "9"
    assert "hasDotgit" in refused.reason or "git" in refused.reason
    bob.fsck()


def test_tags_that_are_none(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """Tag refs that point elsewhere, are encoded otherwise or name no run are passed over, and stay there."""
    run = make_run(ada, tags=["good"])
    send(ada)
    head = server.git("rev-parse", "main")
    server.git("update-ref", "refs/runs/@tags/MyFlow/evil/1", head)
    server.git("update-ref", "refs/runs/@tags/MyFlow/%61/1", str(run.uid))
    server.git("update-ref", "refs/runs/@tags/MyFlow/lonely/77", str(run.uid))
    get(bob)
    assert tags(bob) == {"MyFlow/1": ("good", "lonely")}
    get(bob)
    send(bob)
    assert "refs/runs/@tags/MyFlow/evil/1" in refs(server)


def test_a_reserved_number_is_taken(ada: GitRepo, bob: GitRepo) -> None:
    """A number that was just given to a run that is being created here is not used for a fetched one."""
    run = make_run(ada)
    send(ada)
    lock = Locks(open_repo(bob).state_dir).run(RunId("1"))
    with lock:
        get(bob)
    assert list(ids(bob)) == [f"MyFlow/1-{run.uid.short}"]


def test_tracking_copies_follow_the_remote(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """What the remote deletes disappears from the tracking copies, and from nowhere else."""
    make_run(ada)
    make_run(ada)
    send(ada)
    get(bob)
    server.git("update-ref", "-d", "refs/runs/MyFlow/2")
    get(bob)
    (copy,) = refs(bob, "refs/runs-remotes/")
    assert copy.endswith("/MyFlow/1")
    assert set(ids(bob)) == {"MyFlow/1", "MyFlow/2"}


def test_a_push_that_is_refused_says_why(server: GitRepo, ada: GitRepo) -> None:
    """The remote's hook may refuse a run; its words are the reason, and tags do not go without their run."""
    hook = server.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncase $1 in *MyFlow/1) exit 1;; esac\n")
    hook.chmod(0o755)
    make_run(ada, tags=["a"])
    make_run(ada, tags=["b"])
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED, Outcome.NEW]
    assert "hook declined" in report.runs[0].reason
    assert set(refs(server)) == {"refs/runs/MyFlow/2", "refs/runs/@tags/MyFlow/b/2"}


def test_an_unknown_namesake_is_only_looked_at(ada: GitRepo, bob: GitRepo) -> None:
    """Pushing fetches a namesake to know whether it is the same run, and does not import it."""
    make_run(ada)
    make_run(bob)
    send(ada)
    send(bob)
    assert list(ids(bob)) == ["MyFlow/1"]
    assert any(name.endswith("/MyFlow/1") for name in refs(bob, "refs/runs-remotes/"))


def test_a_malformed_namesake_does_not_hide_another(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """A run whose newer state is on the remote is recognised, though its batch has objects git refuses."""
    with start_run(ada) as writer:
        make_run(ada)
        send(ada)
        get(bob)
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.DONE)
    send(ada)
    server.git("update-ref", "refs/runs/MyFlow/2", malformed_commit(server))
    (report,) = push(open_repo(bob), "origin", of_all=True)
    assert outcomes(report) == [Outcome.AHEAD, Outcome.NEW]
    assert (report.runs[0].target, report.runs[1].renamed) == ("1", True)


def test_push_url_is_another_place(ada: GitRepo, tmp_path: Path) -> None:
    """With a push URL of its own, a remote's state is looked up where the push goes."""
    fork = tmp_path / "fork.git"
    subprocess.run(["git", "init", "-q", "--bare", str(fork)], check=True)
    make_run(ada)
    send(ada)
    ada.git("config", "remote.origin.pushurl", str(fork))
    assert outcomes(send(ada)) == [Outcome.NEW]
    assert set(refs(GitRepo(fork))) == {"refs/runs/MyFlow/1"}


def test_hooks_are_asked_unless_the_push_is_theirs(ada: GitRepo) -> None:
    """The user's pre-push hook sees a push of runs, but not one made from within a hook."""
    hook = ada.write(".git/hooks/pre-push", "#!/bin/sh\ncat >> .git/pushed\n")
    hook.chmod(0o755)
    make_run(ada)
    opened = open_repo(ada)
    push_to(opened, Remote(opened, "origin"), verify=False)
    assert not (ada.path / ".git/pushed").exists()
    make_run(ada)
    send(ada)
    assert "refs/runs/MyFlow/2" in (ada.path / ".git/pushed").read_text()


def test_free_ids() -> None:
    """A taken id gets digits of the uid, as many as it takes."""
    uid = Oid.from_hex("3fa29c1d" * 5)
    one = RunId("1")
    assert free_id(one, uid, ()) == "1"
    assert free_id(one, uid, {one}) == "1-3fa29c1"
    assert free_id(one, uid, {one, RunId("1-3fa29c1")}) == "1-3fa29c1d"


@pytest.mark.parametrize("name", ["refs/runs/F/1", "refs/runs/@tags/F/a%2Eb/1"])
def test_views_sort_refs(name: str) -> None:
    """Runs and tags are told apart."""
    view = RemoteView({name: "01" * 20})
    found = len(view.runs(())), len(tags_of(view.refs.items()))
    assert found == ((0, 1) if "@" in name else (1, 0))


@pytest.mark.parametrize(
    ("name", "oid"),
    [
        ("refs/runs/F/1", "01"),
        ("refs/runs/F/1", "x" * 40),
        ("refs/runs/@tags/F/a/1", "x" * 40),
        ("refs/runs/F\x0bG/1", "01" * 20),
        ("refs/runs/F.lock/1", "01" * 20),
        ("refs/runs/@tags/F/..%2Fa/1", "01" * 20),
        ("../runs/F/1", "01" * 20),
    ],
)
def test_a_remote_may_say_anything(name: str, oid: str) -> None:
    """Names and ids that no repository has make no run and no tag."""
    view = RemoteView({name: oid})
    assert (view.runs(()), tags_of(view.refs.items())) == ([], {})


def test_fetching_a_tag_beyond_the_limit_does_not_fail(ada: GitRepo, bob: GitRepo) -> None:
    """Two people may each add up to fifty tags; the union is taken as it is."""
    make_run(ada)
    send(ada)
    get(bob)
    add_tag(ada, "1", *(f"a{number}" for number in range(50)))
    add_tag(bob, "1", *(f"b{number}" for number in range(50)))
    send(ada)
    fetch(open_repo(bob))
    assert len(tags(bob)["MyFlow/1"]) == 100


@pytest.mark.usefixtures("server")
def test_a_clone_that_only_fetches_stays_tidy(ada: GitRepo, bob: GitRepo) -> None:
    """Each fetch brings a pack; when many have gathered they are folded."""
    store = pack_store(bob)
    store.release([store.write([blob(b"%d" % number)]).name for number in range(40)])
    make_run(ada)
    send(ada)
    get(bob)
    assert len(list(objects_dir(bob).glob("pack/*.pack"))) < 10
    bob.fsck()


def _lose(repo: GitRepo, *refs_: str) -> None:
    """Lose the packs that hold what refs point to, as a bad disk or a half restored backup does."""
    oids = [repo.git("rev-parse", ref) for ref in refs_]
    for index in objects_dir(repo).glob("pack/*.idx"):
        listed = repo.git("show-index", stdin=index.read_bytes())
        if any(oid in listed for oid in oids):
            for path in index.parent.glob(f"{index.stem}.*"):
                path.unlink()


@pytest.mark.parametrize("how", ["emptied", "garbled", "lost", "all lost"])
@pytest.mark.sample(1)
def test_a_damaged_run_is_fetched_anew(ada: GitRepo, bob: GitRepo, how: str) -> None:
    """What the remote has of a damaged run comes back, with its tags, and damage keeps no other run out."""
    for _ in range(2):
        make_run(ada)
    add_tag(ada, "2", "good", "own")
    send(ada)
    add_tag(ada, "2", "later")
    before, tagged = refs(ada), tags(ada)
    get(bob)
    make_run(bob)
    send(bob)
    ref = ada.path / ".git/refs/runs/MyFlow/2"
    if "lost" in how:
        commits = ada.git("rev-list", "refs/runs/MyFlow/2").split()
        _lose(ada, *(commits if how == "all lost" else commits[:2]))
    else:
        ref.write_text({"emptied": "", "garbled": "x" * 40 + "\n"}[how])
    report = get(ada)
    assert sorted((str(run.target), run.outcome) for run in report.runs) == [
        ("2", Outcome.CURRENT),
        ("3", Outcome.NEW),
    ]
    (notice,) = report.notices
    assert notice.startswith("MyFlow/2 was damaged here (its ref held ")
    assert before.items() <= refs(ada).items()
    assert tags(ada) == tagged
    ada.fsck()
    assert get(ada).notices == ()


def test_tags_of_a_damaged_run_outlast_a_fetch_that_fails(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that no remote has: they are there again once a fetch has brought the run."""
    make_run(ada, tags=["sent"])
    send(ada)
    add_tag(ada, "1", "own")
    _lose(ada, *ada.git("rev-list", "refs/runs/MyFlow/1").split())

    def fail(*_args: object) -> None:
        raise RepositoryError("the network is down")

    with monkeypatch.context() as patch:
        patch.setattr("gitflowrun.porcelain.transfer.fetch._Fetch.fetch_copies", fail)
        with pytest.raises(RepositoryError, match="the network"):
            get(ada)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("own", "sent")}
    add_tag(ada, "1", "own", remove=True)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("sent",)}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.sample(1)
def test_what_is_lost_after_it_came_is_no_damage_of_the_remote(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It is asked for once more; lost again, it is refused, and no copy that leads nowhere stays."""
    make_run(ada)
    send(ada)
    fetch_copies = Transfer.fetch_copies
    done: list[int] = []

    def fetch_and_lose(self: Any, runs: Any, *args: Any) -> Any:
        found = fetch_copies(self, runs, *args)
        if runs and len(done) < times:
            _lose(bob, *refs(bob, "refs/runs-remotes/"))
        done.extend([1] * len(runs))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Transfer, "fetch_copies", fetch_and_lose)
        report = get(bob)
    assert outcomes(report) == [Outcome.NEW if times == 1 else Outcome.REFUSED]
    assert report.notices == ()
    assert len(done) == 2
    bob.git("gc", "-q")
    bob.fsck()
    get(bob)
    assert ids(bob) == ids(ada)


@pytest.mark.parametrize("lost", ["commit", "tree"])
@pytest.mark.sample(1)
def test_a_copy_that_leads_nowhere_is_mended(ada: GitRepo, bob: GitRepo, lost: str) -> None:
    """The next fetch brings it again where the commit is gone; `git runs doctor --fix` removes it."""
    make_run(ada)
    send(ada)
    for _ in range(2 if lost == "commit" else 1):
        get(bob)
        (copy,) = refs(bob, "refs/runs-remotes/")
        bob.git("update-ref", "-d", "refs/runs/MyFlow/1")
        _lose(bob, copy if lost == "commit" else f"{copy}:steps")
    done = bob.call("doctor", "--fix")
    assert done.code == 0, done.out
    assert f"mended: {copy}: " in done.out
    assert bob.call("doctor").code == 0
    bob.git("gc", "-q")
    bob.fsck()
    assert outcomes(get(bob)) == [Outcome.NEW]
    assert ids(bob) == ids(ada)
    bob.fsck()


@pytest.mark.parametrize("lost", ["steps/train", "steps/train/2/TASK"])
@pytest.mark.sample(1)
def test_a_copy_with_a_hole_is_fetched_again(ada: GitRepo, bob: GitRepo, lost: str) -> None:
    """Where the commit of a copy is here, and not all that it leads to, no run is made of it."""
    for _ in range(3):
        make_run(ada)
    send(ada)
    get(bob)
    bob.git("gc", "-q")
    # Each object apart.
    (pack,) = objects_dir(bob).glob("pack/*.pack")
    moved = pack.rename(bob.path / "pack")
    for path in objects_dir(bob).glob("pack/*"):
        path.unlink()
    bob.git("unpack-objects", "-q", stdin=moved.read_bytes())
    hole = bob.git("rev-parse", f"refs/runs/MyFlow/2:{lost}")
    for run in (1, 2):
        bob.git("update-ref", "-d", f"refs/runs/MyFlow/{run}")
    path = objects_dir(bob) / hole[:2] / hole[2:]
    path.unlink()
    checked = bob.call("fsck")
    assert (checked.code, "`git runs doctor --fix`" in checked.err) == (1, True)
    assert outcomes(get(bob))[:2] == [Outcome.NEW, Outcome.NEW]
    assert ids(bob) == ids(ada)
    assert bob.call("fsck").code == 0
    bob.git("gc", "-q")
    bob.fsck()


@pytest.mark.parametrize("command", [("purge", "--force", "1"), ("rm", "--force", "1")])
@pytest.mark.sample(1)
def test_a_run_that_is_removed_beside_a_fetch_keeps_its_number(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A colleague's run of that number, which is just coming, gets another."""
    theirs = make_run(bob)
    send(bob)
    make_run(ada)
    fetch_copies = _Fetch.fetch_copies

    def remove(*args: Any) -> Any:
        if ids(ada):
            assert ada.runs(*command).code == 0
        return fetch_copies(*args)

    monkeypatch.setattr(_Fetch, "fetch_copies", remove)
    get(ada)
    assert ids(ada) == {f"MyFlow/1-{theirs.uid.short}": theirs.uid.short}


def test_a_run_that_is_whole_is_never_replaced(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that could only not be read for a moment is no damage: our later state stays."""
    with start_run(ada) as writer:
        send(ada)
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.DONE)
    before = refs(ada)
    monkeypatch.setattr("gitflowrun.git.refs._is_whole", lambda *_: False)
    repository = open_repo(ada)
    repository.refs.damaged.add("refs/runs/MyFlow/1")
    fetch(repository, "origin")
    assert refs(ada) == before


def test_damage_keeps_no_push_from_the_others(ada: GitRepo) -> None:
    """A push sends what is whole, and says what it left out."""
    for _ in range(3):
        make_run(ada)
    (ada.path / ".git/refs/runs/MyFlow/1").write_text("")
    (ada.path / ".git/refs/runs/MyFlow/2").write_text("1" * 40 + "\n")
    report = send(ada)
    assert outcomes(report) == [Outcome.NEW]
    notice, again = report.notices
    assert notice.startswith("MyFlow/1, MyFlow/2 are damaged and not sent; ")
    assert (report.failed, "`git runs push origin` sends what" in again) == (2, True)


def test_runs_of_two_flows_with_one_number(ada: GitRepo, bob: GitRepo, server: GitRepo) -> None:
    """A clone has a number once: of runs that a fetch brings together, the later flow's gets another name."""
    uids = [str(make_run(repo, flow).uid) for repo, flow in ((ada, "A"), (bob, "B"))]
    for repo, ref in ((ada, "refs/runs/A/1"), (bob, "refs/runs/B/1")):
        repo.git("push", "-q", "origin", f"{ref}:{ref}")
    carol = clone(server, "carol")
    get(carol)
    assert ids(carol) == {"A/1": uids[0][:7], f"B/1-{uids[1][:7]}": uids[1][:7]}


def test_a_state_that_was_made_here_and_lost_comes_back(ada: GitRepo, bob: GitRepo) -> None:
    """Where a backup was put back, a fetch brings what the clone's own runs did since; not what others added."""
    with start_run(ada) as writer:
        ref = f"refs/runs/{writer.identity.pathspec}"
        older = ada.git("rev-parse", ref)
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"1"})], status=Status.DONE)
    send(ada)
    newer = ada.git("rev-parse", ref)
    ada.git("update-ref", ref, older)
    assert outcomes(get(ada)) == [Outcome.UPDATED]
    assert ada.git("rev-parse", ref) == newer
    get(bob)
    message = bob.git("log", "-1", "--format=%B", newer).replace("Status: done", "Status: failed")
    added = bob.git("commit-tree", f"{newer}^{{tree}}", "-p", newer, "-m", message)
    bob.git("push", "-q", "origin", f"{added}:{ref}")
    ada.git("update-ref", ref, older)
    assert outcomes(get(ada)) == [Outcome.KEPT]
    assert ada.git("rev-parse", ref) == older


@pytest.mark.parametrize("left_out", ["blob:none", "tree:0"])
@pytest.mark.sample(1)
def test_runs_of_another_remote_in_a_partial_clone(tmp_path: Path, left_out: str) -> None:
    """It leaves out what this clone takes for here, and was only promised; whole runs come, or are not called lost."""
    first = make_repo(tmp_path / "first")
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        first.git("config", name, "true")
    first.write("f.py", linear_flow("pass"))
    first.write("data/x.txt", "of then")
    first.commit()
    assert first.flow("f.py", "run").code == 0
    first.write("data/x.txt", "of now")
    first.commit()
    GitRepo(tmp_path).git("clone", "-q", "--mirror", str(first.path), "second")
    GitRepo(tmp_path).git(
        "clone", "-q", "--no-local", f"--filter={left_out}", f"file://{first.path}", "partial"
    )
    partial = GitRepo(tmp_path / "partial")
    partial.git("remote", "add", "two", f"file://{tmp_path / 'second'}")
    done = partial.call("fetch", "two")
    assert (done.code, "update-ref -d" in done.out + done.err) == (0, False), done
    assert partial.call("fsck", "F/1").code == 0


def test_a_line_that_breaks_makes_no_run_of_others(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many names hold one commit, whose run that is is asked first: who can't be told says so, and fails."""
    monkeypatch.setattr(sync, "MAX_NAMESAKES", 2)
    run = make_run(ada)
    send(ada)
    for number in (7, 8):
        server.git("update-ref", f"refs/runs/MyFlow/{number}", "refs/runs/MyFlow/1")
    break_line(bob, server, 2)
    done = bob.call("fetch", "origin")
    assert (done.code, ids(bob)) == (1, {})
    assert "which is not their run" not in done.err
    assert bob.call("fetch", "origin").code == 0
    assert ids(bob) == {"MyFlow/1": run.uid.short}


@pytest.mark.parametrize("lost", ["HEAD^{tree}", "HEAD:f.py"])
@pytest.mark.sample(1)
def test_runs_come_though_objects_of_the_users_are_lost(tmp_path: Path, lost: str) -> None:
    """The remote leaves out what it takes for here; asked for all, it sends it, and is never at fault."""
    ada = make_repo(tmp_path / "ada", files={"f.py": linear_flow("self.x = 1")})
    assert ada.flow("f.py", "run").code == 0
    GitRepo(tmp_path).git("clone", "-q", str(ada.path), "bob")
    bob = GitRepo(tmp_path / "bob")
    for pack in [*objects_dir(bob).glob("pack/*.pack")]:
        data = pack.read_bytes()
        for path in [*pack.parent.glob(f"{pack.stem}.*")]:
            path.unlink()
        bob.git("unpack-objects", "-q", stdin=data)
    oid = bob.git("rev-parse", lost)
    (objects_dir(bob) / oid[:2] / oid[2:]).unlink(missing_ok=True)
    for _ in range(2):
        done = bob.call("fetch", "origin")
        assert done.code == 0, done.err + done.out
    assert bob.call("fsck", "F/1").code == 0


def test_a_run_that_the_user_has_fetched_without_its_beginning(ada: GitRepo, bob: GitRepo) -> None:
    """It is no other run for that: it is refused, with what brings the rest."""
    make_run(ada)
    send(ada)
    bob.git("remote", "set-url", "origin", f"file://{bob.git('remote', 'get-url', 'origin')}")
    bob.git("fetch", "-q", "--depth=1", "origin", "refs/runs/MyFlow/1:refs/x/1")
    said = bob.call("fetch", "origin")
    assert said.code == 1
    assert "! [refused]   MyFlow/1" in said.out
    assert "can be had" not in said.err
    bob.git("fetch", "-q", "--depth=2147483647", "origin", "refs/runs/MyFlow/1")
    assert bob.call("fetch", "origin").code == 0
    assert ids(bob) == ids(ada)
