"""Nobody moves a run that is not theirs, and nobody's refs on a remote keep other people's runs and tags out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest

from gitflowrun.cli.git_runs.main import main
from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.transport.remote import Remote
from gitflowrun.limits import MAX_NAMED, MAX_NOTICES
from gitflowrun.names import RunId
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.push import push
from gitflowrun.porcelain.transfer.sync import Outcome, RemoteView, RunTip, Transfer
from gitflowrun.runs.runs import Status
from tests.helpers.clones import get, ids, outcomes, refs, send, tags
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

EVE = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
RUN = "refs/runs/MyFlow/1"


def go_on(server: GitRepo, ref: str, status: str, *parents: str) -> str:
    """A state that a stranger adds to a run on the server."""
    tip = server.git("rev-parse", ref)
    uid = server.git("rev-list", "--max-parents=0", tip)
    run = ref.removeprefix("refs/runs/")
    message = f"{run}: {status}\n\nRun: {run}\nUid: {uid}\nStatus: {status}\nStarted: 2025-11-23T19:30:00.123Z\n"
    words = [word for parent in parents or [tip] for word in ("-p", parent)]
    commit = server.git(*EVE, "commit-tree", f"{tip}^{{tree}}", *words, stdin=message.encode())
    server.git("update-ref", ref, commit)
    return commit


def blob(server: GitRepo) -> str:
    """An object that is no commit."""
    return server.git("hash-object", "-w", "--stdin", stdin=b"junk")


def squat(server: GitRepo, *names: str) -> None:
    """Refs of a stranger's."""
    for name in names:
        server.git("update-ref", name, blob(server))


def test_no_fetch_moves_my_run(
    server: GitRepo,
    ada: GitRepo,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that was made here stays as it is, running or ended; what the remote has is told, with what to do."""
    make_run(ada)
    with start_run(ada) as writer:
        send(ada)
        before = refs(ada)
        go_on(server, RUN, "failed")
        go_on(server, "refs/runs/MyFlow/2", "running")
        report = get(ada)
        assert outcomes(report) == [Outcome.KEPT, Outcome.KEPT]
        assert "made here" in report.runs[0].reason
        assert refs(ada) == before
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)
    report = send(ada)
    assert outcomes(report) == [Outcome.KEPT, Outcome.NEW]
    assert "not made here" in report.runs[0].reason
    monkeypatch.chdir(ada.path)
    assert main(["fetch", "origin"]) == 0
    shown = capsys.readouterr()
    assert "[kept]      MyFlow/1 (the remote has it as" in shown.out
    words = shown.err.split("`")
    assert "failed" in ada.git(*words[1].split()[1:])
    ada.git(*words[3].split()[1:])
    assert refs(server)[RUN] == before[RUN]


def test_my_run_goes_on_under_another_name(server: GitRepo, ada: GitRepo) -> None:
    """Where somebody else went on with a run of mine, it is published under another name, and stays there."""
    with start_run(ada) as writer:
        uid = str(writer.identity.uid)[:7]
        send(ada)
        forged = go_on(server, RUN, "failed")
        writer.commit([finished_task(writer.identity, "end/1")])
        report = send(ada)
        assert (report.runs[0].outcome, report.runs[0].target) == (Outcome.NEW, f"1-{uid}")
        assert "another continuation" in report.runs[0].reason
        writer.commit([finished_task(writer.identity, "end/2")], status=Status.DONE)
    report = send(ada)
    assert (report.runs[0].outcome, report.runs[0].target) == (Outcome.UPDATED, f"1-{uid}")
    assert outcomes(send(ada)) == [Outcome.CURRENT]
    assert refs(server) == {RUN: forged, f"{RUN}-{uid}": refs(ada)[RUN]}


def test_nobody_moves_what_has_ended(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A run of somebody else's moves forward while it runs, and no more when it has ended here."""
    with start_run(ada) as writer:
        send(ada)
        get(bob)
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)
    send(ada)
    assert outcomes(get(bob)) == [Outcome.UPDATED]
    before = refs(bob)
    go_on(server, RUN, "done")
    report = get(bob)
    assert outcomes(report) == [Outcome.KEPT]
    assert "has ended here" in report.runs[0].reason
    assert refs(bob) == before


def test_two_states_of_one_run_under_two_names(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """The first that ends is taken; nothing follows it."""
    uid = make_run(ada).uid
    send(ada)
    done = refs(server)[RUN]
    server.git("update-ref", f"{RUN}-{str(uid)[:7]}", done)
    go_on(server, f"{RUN}-{str(uid)[:7]}", "failed")
    get(bob)
    assert refs(bob)[RUN] == done


@pytest.mark.parametrize(
    "names",
    [
        ["refs/runs/MyFlow/1/x"],
        ["refs/runs/MyFlow/1"],
        ["refs/runs/MyFlow/1/x", "refs/runs/MyFlow/1-{uid}/x/y"],
        ["refs/runs/MyFlow/1", "refs/runs/MyFlow/1-{uid}", "refs/runs/MyFlow/1-{uid}0000000"],
        ["refs/runs/Other/1", "refs/runs/MyFlow/1-{uid}/@/z"],
    ],
)  # fmt: skip
@pytest.mark.sample(1)
def test_squatted_names(server: GitRepo, ada: GitRepo, bob: GitRepo, names: list[str]) -> None:
    """A run whose name is taken, or has something beside or below it, is published under another, and goes on there."""
    with start_run(ada) as writer:
        uid = str(writer.identity.uid)
        squat(server, *(name.format(uid=uid[:7]) for name in names))
        make_run(ada, tags=["a"])
        report = send(ada)
        assert outcomes(report) == [Outcome.NEW, Outcome.NEW]
        target = report.runs[0].target
        digits = 7 if len(names) == 1 else 8
        assert target == f"1-{uid[:digits]}"
        writer.commit([finished_task(writer.identity, "end/1")], status=Status.DONE)
    report = send(ada)
    assert [(run.outcome, run.target) for run in report.runs] == [(Outcome.UPDATED, target)]
    report = get(bob)
    assert {f"MyFlow/{target}", "MyFlow/2"} <= {*ids(bob)}
    assert tags(bob) == {"MyFlow/2": ("a",)}


def test_a_squatted_flow(server: GitRepo, ada: GitRepo) -> None:
    """A ref called as a flow keeps the runs of this flow out, which is said with what to do; others go."""
    squat(server, "refs/runs/MyFlow")
    make_run(ada)
    make_run(ada, flow="Other")
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED, Outcome.NEW]
    assert report.runs[0].reason == (
        "the remote has refs/runs/MyFlow in its place; `git push origin :refs/runs/MyFlow` removes that"
    )
    ada.git("push", "-q", "origin", ":refs/runs/MyFlow")
    assert outcomes(send(ada)) == [Outcome.NEW, Outcome.CURRENT]


def test_what_the_remote_hides(server: GitRepo, ada: GitRepo) -> None:
    """A name that is taken by what the remote does not show is given up, and another taken."""
    squat(server, "refs/runs/MyFlow/1/x", "refs/runs/@tags/MyFlow/b")
    server.git("config", "uploadpack.hideRefs", "refs/runs/MyFlow/1/")
    server.git("config", "--add", "uploadpack.hideRefs", "refs/runs/@tags/MyFlow/b")
    uid = make_run(ada, tags=["a", "b"]).uid
    report = send(ada)
    assert [(run.outcome, run.target) for run in report.runs] == [
        (Outcome.NEW, f"1-{str(uid)[:7]}")
    ]
    assert f"refs/runs/@tags/MyFlow/a/1-{str(uid)[:7]}" in refs(server)
    assert "refs/runs/@tags/MyFlow/b" in report.notices[0]


@pytest.mark.parametrize(
    "name",
    ["refs/runs/@tags/MyFlow/b", "refs/runs/@tags/MyFlow/b/1/x", "refs/runs/@tags/MyFlow/b/1"],
)
@pytest.mark.sample(1)
def test_a_squatted_tag(server: GitRepo, ada: GitRepo, bob: GitRepo, name: str) -> None:
    """What stands where a tag belongs costs that tag alone, and is named with the command that removes it."""
    squat(server, name)
    make_run(ada, tags=["a", "b"])
    report = send(ada)
    assert (outcomes(report), report.tags_added) == ([Outcome.NEW], 1)
    assert name in report.notices[0]
    get(bob)
    assert tags(bob) == {"MyFlow/1": ("a",)}
    ada.git(*report.notices[0].split("`")[1].split()[1:])
    assert send(ada).tags_added == 1


def test_a_squatted_directory_of_tags(server: GitRepo, ada: GitRepo) -> None:
    """A ref called as the directory of all tags of a flow keeps tags out, not runs."""
    squat(server, "refs/runs/@tags/MyFlow")
    make_run(ada, tags=["a", "b"])
    report = send(ada)
    assert (outcomes(report), report.tags_added, report.failed) == ([Outcome.NEW], 0, 2)


def test_names_that_are_nobodys(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A fetch takes all the good runs, and says in few lines what it left."""
    make_run(ada, tags=["good"])
    make_run(ada)
    send(ada)
    tip, other = refs(server)[RUN], refs(server)["refs/runs/MyFlow/2"]
    first = server.git("rev-list", "--max-parents=0", RUN)
    names = {
        "refs/runs/HEAD": tip, "refs/runs/MyFlow/3": tip, "refs/runs/MyFlow/03": tip, "refs/runs/myflow/1": tip,
        "refs/runs/MyFlow/1-0000000": tip, "refs/runs/MyFlow/4": blob(server), "refs/runs/@index/x": tip,
        "refs/runs/MyFlow/5": server.git("rev-parse", "HEAD"), "refs/runs/MyFlow/6/x": tip,
        "refs/runs/\x9bm/1": tip, "refs/runs/@tags/MyFlow/x/2": first, "refs/runs/@tags/MyFlow/y/1": blob(server),
        "refs/runs/@tags/MyFlow/z": other,
        "refs/runs/MyFlow/7": go_on(server, "refs/runs/MyFlow/2", "done", other, tip),
    }  # fmt: skip
    names["refs/runs/MyFlow/2"] = other
    for name, oid in names.items():
        server.git("update-ref", name, oid)
    for number in range(50):
        server.git("update-ref", f"refs/runs/junk{number}/x", tip)
    report = get(bob)
    assert {*ids(bob)} == {"MyFlow/1", "MyFlow/2"}
    left = {f"{run.flow}/{run.source}": run.reason for run in report.with_outcome(Outcome.LEFT_OUT)}
    assert left.keys() == {
        "MyFlow/3", "myflow/1", "MyFlow/1-0000000", "MyFlow/4", "MyFlow/5", "MyFlow/7",
    }  # fmt: skip
    assert "holds run MyFlow/1" in left["MyFlow/3"]
    told, *others = report.notices
    assert sum(name in told for name in left) == MAX_NAMED
    assert "and 1 more" in told
    assert len(others) == MAX_NOTICES + 1
    assert tags(bob)["MyFlow/1"][0] == "good"
    assert outcomes(get(bob)).count(Outcome.CURRENT) == 2


def test_our_own_bytes_under_another_number(server: GitRepo, ada: GitRepo) -> None:
    """A remote's run 2 that is our run 1 is no run 2: not to a fetch, and not to a push of our own run 2."""
    make_run(ada)
    send(ada)
    server.git("update-ref", "refs/runs/MyFlow/2", refs(server)[RUN])
    uid = make_run(ada).uid
    (found,) = get(ada).with_outcome(Outcome.LEFT_OUT)
    assert found.reason == "refs/runs/MyFlow/2 holds run MyFlow/1"
    assert [run.target for run in send(ada).runs] == [f"2-{str(uid)[:7]}"]


def test_a_merge_in_a_run(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A run has one line of commits: one with a merge in it is left."""
    with start_run(ada):
        send(ada)
        get(bob)
        before = refs(bob)
        tip = refs(server)[RUN]
        go_on(server, RUN, "running", tip, server.git("rev-parse", "HEAD"))
        report = get(bob)
    assert "merge" in report.runs[0].reason
    assert refs(bob) == before


def test_what_a_hook_refuses_costs_itself_alone(server: GitRepo, ada: GitRepo) -> None:
    """A shared repository's hook takes all or nothing; what it names is left out, and the rest is sent again."""
    make_run(ada, tags=["a"])
    send(ada)
    shutil.copy(ROOT / "hooks" / "pre-receive", server.path / "hooks" / "pre-receive")
    odd = go_on(server, RUN, "running")
    server.git("update-ref", RUN, refs(ada)[RUN])
    ada.git("fetch", "-q", str(server.path), odd, check=False)
    ada.git("fetch", "-q", "origin", "refs/runs/*:refs/x/*")
    ada.git("update-ref", RUN, go_on(ada, RUN, "failed"))
    make_run(ada, tags=["a"])
    (report,) = push(open_repo(ada), "origin", of_all=True)
    assert outcomes(report) == [Outcome.REFUSED, Outcome.NEW]
    assert report.runs[0].reason == f"{RUN}: this run has ended (done), and stays as it is"
    assert report.tags_added == 1


def test_a_hook_that_refuses_one_run_after_the_other_is_not_asked_for_each(
    server: GitRepo, ada: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push is sent a few times without what a hook names, not once for each run; all are told as refused."""
    for _ in range(4):
        make_run(ada)
    monkeypatch.setattr("gitflowrun.git.transport.remote.MAX_REFUSALS", 2)
    script = server.path / "hooks" / "pre-receive"
    script.write_text(
        '#!/bin/sh\nread -r old new ref\necho "$ref" >> pushes\necho "refused: $ref: no" >&2\nexit 1\n'
    )
    script.chmod(0o755)
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED] * 4
    reasons = [run.reason for run in report.runs]
    assert sum(reason.endswith(": no") for reason in reasons) == 2
    assert len((server.path / "pushes").read_text().splitlines()) == 2


def test_words_of_a_remote_are_shown_as_they_are(
    server: GitRepo,
    ada: GitRepo,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What hooks print commands no terminal, and is cut where it is too much."""
    make_run(ada)
    script = server.path / "hooks" / "pre-receive"
    script.write_text(
        "#!/bin/sh\nexec >&2\nprintf '\\033]0;title\\007\\033[2J\\n'\n"
        "head -c 100000 /dev/zero | tr '\\0' x\necho\nseq 200000\n"
    )
    script.chmod(0o755)
    monkeypatch.chdir(ada.path)
    for end, code in (("exit 0", 0), ("exit 1", 1)):
        script.write_text(f"{script.read_text()}{end}\n")
        assert main(["push", "origin"]) == code
        shown = capsys.readouterr()
        assert "\x1b" not in shown.err + shown.out
        assert "\x07" not in shown.err + shown.out
        assert len(shown.err) < 3_000
        assert len(shown.err.splitlines()) <= MAX_NOTICES + 1
        server.git("update-ref", "-d", RUN, check=False)
        script.write_text(script.read_text().removesuffix(f"{end}\n"))


def test_very_many_names_are_looked_at_in_no_time() -> None:
    """Of a hundred thousand names few are asked about for one run."""
    uid = Oid.from_hex("3fa29c1" + "0" * 33)
    oid = "1" * 40
    names = {f"refs/runs/MyFlow/12-{number:07x}": oid for number in range(100_000)}
    names["refs/runs/MyFlow/12-3fa29c1"] = oid
    view = RemoteView(names)
    run = RunTip("MyFlow", RunId("12"), uid)
    assert [it.id for it in view.namesakes(run, uid)] == ["12-3fa29c1"]
    assert view.give_id(run, uid) == "12"


def test_malformed_runs_do_not_keep_others_out(
    server: GitRepo, ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: those that could not be had come last, so that the others have their turn."""
    make_run(ada)
    make_run(ada)
    send(ada)
    for number in range(6):
        text = f"tree {number:040x}\nauthor e <e> 1 +0000\ncommitter e e> 1 +0000\n\n{number}\n"
        odd = server.git(
            "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=text.encode()
        )
        server.git("update-ref", f"refs/runs/MyFlow/1-{number:07}", odd)
    monkeypatch.setattr("gitflowrun.porcelain.transfer.sync.LOST_A_FETCH", 3)
    monkeypatch.setattr("gitflowrun.porcelain.transfer.sync.LOST_AGAIN", 2)
    assert outcomes(get(bob)).count(Outcome.REFUSED) == 4 + 3
    assert {*ids(bob)} == {"MyFlow/1"}
    get(bob)
    asked = []
    for _ in range(3):
        report = get(bob)
        left = report.with_outcome(Outcome.REFUSED)  # the server fails at them: it may do better
        assert len(left) == 6
        asked += [run.source for run in left if "was not asked for again" not in run.reason]
    assert len(asked) == len({*asked}) == 6
    assert report.with_outcome(Outcome.LEFT_OUT) == ()
    assert {*ids(bob)} == {"MyFlow/1", "MyFlow/2"}
    named = fetch(open_repo(bob), "origin", [f"MyFlow/{asked[-1]}"])
    (refused,) = (run for run in named.runs if run.source == asked[-1])
    assert refused.outcome is Outcome.REFUSED
    assert "was not asked" not in refused.reason
    (bob.path / ".git/gitflowrun/lost").write_bytes(b"\xff\0x\n")  # a cache like others
    get(bob)
    assert {*ids(bob)} == {"MyFlow/1", "MyFlow/2"}


def test_too_many_that_cannot_be_had(
    server: GitRepo, ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch does not ask for each of very many runs that can't be had."""
    make_run(ada)
    send(ada)
    for number in range(2, 12):
        text = f"tree {number:040x}\nauthor e <e> 1 +0000\ncommitter e <e> 1 +0000\n\n{number}\n"
        odd = server.git(
            "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=text.encode()
        )
        server.git("update-ref", f"refs/runs/MyFlow/{number}", odd)
    monkeypatch.setattr("gitflowrun.porcelain.transfer.sync.LOST_A_FETCH", 3)
    report = get(bob)
    assert {*ids(bob)} == {"MyFlow/1"}
    reasons = [run.reason for run in report.with_outcome(Outcome.REFUSED)]
    assert len(reasons) == 10
    assert sum("not tried" in reason for reason in reasons) == 7


@pytest.mark.parametrize(
    ("bad", "most"), [(range(1, 101), 115), (range(5, 1_001, 10), 740), (range(7, 1_001, 500), 40)]
)
def test_runs_that_cannot_be_had_cost_few_fetches(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch, bad: range, most: int
) -> None:
    """Hardly more than one for each where there is nothing else; and each of the others comes."""
    runs = [RunTip("MyFlow", RunId(str(it)), Oid(it.to_bytes(20, "big"))) for it in range(1, 1_001)]
    runs = runs[: bad.stop]
    asked, looks = 0, 0
    came: set[RunTip] = set()

    def copy(_: Transfer, some: Sequence[RunTip]) -> None:
        nonlocal asked
        asked += 1
        if any(run.id.number in bad for run in some):
            raise RepositoryError("can't read from 'origin': fsck error in packed object")
        came.update(some)

    def refs(_: Remote, *patterns: str) -> dict[str, str]:
        nonlocal looks
        looks += len(patterns)
        return {}

    monkeypatch.setattr("gitflowrun.porcelain.transfer.sync.LOST_A_FETCH", 1_000)
    monkeypatch.setattr(Transfer, "_copy", copy)
    monkeypatch.setattr(Remote, "refs", refs)
    repo = open_repo(ada)
    lost = Transfer(repo, Remote(repo, "origin")).fetch_copies(runs)
    assert {run.id.number for run in lost} == {*bad}
    assert came == {*runs} - lost.keys()
    assert asked <= most
    assert looks == 1


def test_trouble_of_ours_is_blamed_on_no_run(
    ada: GitRepo, bob: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full, each fetch says that it did not get what it was asked for."""
    make_run(ada)
    send(ada)

    def no_space(*_: object) -> None:
        raise RepositoryError("can't read from 'origin': write error: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Remote, "fetch", no_space)
        for _ in range(2):
            assert outcomes(get(bob)) == [Outcome.REFUSED]
    assert outcomes(get(bob)) == [Outcome.NEW]


@pytest.mark.slow
def test_very_many_refs_of_one_commit_cost_little(
    server: GitRepo, ada: GitRepo, bob: GitRepo
) -> None:
    """They are counted, not fetched one by one, also if the commit is a run's: that comes under its own name."""
    make_run(ada)
    send(ada)
    code, run = (server.git("rev-parse", name) for name in (f"{RUN}^{{commit}}:code", RUN))
    junk = server.git(*EVE, "commit-tree", code, stdin=b"junk")
    table = {f"refs/runs/MyFlow/{number}": junk for number in range(10, 30_000)}
    table |= {f"refs/runs/Mine/{number}": run for number in range(10, 200)}
    table |= {f"refs/runs/Mine{number}/x/y": run for number in range(30_000)}
    lines = [f"{oid} {name}\n" for name, oid in sorted(table.items())]
    (server.path / "packed-refs").write_text("# pack-refs with: sorted\n" + "".join(lines))
    child = (
        "import re, resource, sys\n"
        "from pathlib import Path\n"
        "from gitflowrun.cli.git_runs.main import main\n"
        "code = main(['fetch', sys.argv[1]])\n"
        "own = re.search('VmHWM:([ 0-9]+)', Path('/proc/self/status').read_text().replace('\\t', ' '))\n"
        "print(code, int(own[1]) << 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)\n"
    )
    for told in ("1 run new", "1 up to date"):
        done = bob.python("-c", child, str(server.path))
        status, *peaks = map(int, done.out.splitlines()[-1].split())
        assert status == 0
        assert max(peaks) < 64 << 20
        assert told in done.out
        assert f"29,990 refs hold {junk[:7]}, which is not their run" in done.err
        assert f"190 refs hold {run[:7]}, which is not their run" in done.err
        assert f"{30_000 - MAX_NOTICES} more refs are not of runs" in done.err
    assert [*ids(bob)] == ["MyFlow/1"]
    assert bob.git("for-each-ref", "--format=%(objectname)", "refs/runs-remotes").count(junk) == 1
