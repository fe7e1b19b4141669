"""What a push searches for secrets, what it does when it finds some, and how people go on."""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.limits import SCAN_NUMBERS
from gitflowrun.porcelain.hooks import install
from gitflowrun.porcelain.secrets.secret_rules import find_secrets
from gitflowrun.porcelain.secrets.secret_scan import SecretSearch
from gitflowrun.porcelain.transfer.push import push
from gitflowrun.porcelain.transfer.sync import Outcome, RunTip, SyncReport
from gitflowrun.runs.create import create_run
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.clones import add_tag, outcomes, refs, send
from tests.helpers.credentials import CREDENTIALS, made_up
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import draft, finished_task, make_run, open_repo, start_run, store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gitflowrun.porcelain.secrets.secret_rules import Found
    from gitflowrun.runs.records import RunIdentity

TOKEN = CREDENTIALS["github"]
_KEYS = ("pem", "pem in json", "putty", "age")  # snapshots leave them out by themselves


def run_with(
    repo: GitRepo,
    values: Mapping[str, bytes] | None = None,
    *,
    stdout: str = "",
    stderr: str = "",
    parameters: Mapping[str, str] | None = None,
    task: str = "start/1",
) -> RunIdentity:
    """A run of one task with these values and this output."""
    repository = open_repo(repo)
    info = replace(draft(), parameters=parameters or {})
    with create_run(repository, info, take_snapshot(repository)) as writer:
        made = finished_task(writer.identity, task, values, stdout=stdout, stderr=stderr)
        writer.commit([made], status=Status.DONE)
        return writer.identity


def told(report: SyncReport) -> str:
    """Everything that a report says about secrets."""
    return "\n".join([*(run.reason for run in report.runs), *report.notices])


def found_in(repo: GitRepo) -> Counter[str]:
    """How many secrets are found in which file of the first run."""
    repository = open_repo(repo)
    run = store_of(repo).find("MyFlow/1")
    tip = RunTip(run.flow, run.id, run.commit)
    return Counter(it.path for it in SecretSearch(repository, {}).findings(tip, [], None))


def holds(server: GitRepo, secret: str) -> bool:
    """Whether any object of a repository has a text in it."""
    out = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        cwd=server.path,
        capture_output=True,
        check=True,
    )
    return secret.encode() in out.stdout


def test_planted_secrets_of_all_kinds(ada: GitRepo, server: GitRepo) -> None:
    """Each of more than sixty, planted in code, output, values and parameters, refuses the run."""
    kinds = list(CREDENTIALS)
    parts = [kinds[start::6] for start in range(6)]
    ada.write("README", "a project\n" + "\n".join(CREDENTIALS[kind] for kind in parts[0]))
    texts = ["\n".join(f"{CREDENTIALS[kind]}\n" for kind in part) for part in parts]
    values = {f"v{n}": CREDENTIALS[kind].encode() for n, kind in enumerate(parts[1])}
    values |= {f"w{n}": CREDENTIALS[kind].encode("utf-32-le") for n, kind in enumerate(parts[2])}
    parameters = {f"p{n}": CREDENTIALS[kind] for n, kind in enumerate(parts[3])}
    for number, kind in enumerate(kinds):
        ada.write(f"new/{number}.txt", f"line one\n{CREDENTIALS[kind]}\n")
    run_with(ada, values, stdout=texts[4], stderr=texts[5], parameters=parameters)
    places = found_in(ada)
    left_out = {f"code/new/{kinds.index(kind)}.txt" for kind in _KEYS}
    expected = {f"code/new/{number}.txt" for number in range(len(kinds))} - left_out
    expected |= {f"steps/start/1/{name}" for name in values}
    expected |= {"code/README", "steps/start/1/stdout", "steps/start/1/stderr", "INFO"}
    assert expected <= places.keys()
    assert places["INFO"] >= len(parts[3]) - 2  # some need a line of their own
    assert places["code/README"] >= len(parts[0])
    assert places["steps/start/1/stdout"] >= len(parts[4])
    assert outcomes(send(ada)) == [Outcome.REFUSED]
    assert refs(server) == {}
    assert not any(holds(server, text) for text in CREDENTIALS.values())


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.slow
def test_each_kind_by_itself(ada: GitRepo, server: GitRepo, kind: str) -> None:
    """One secret in the output is enough, and its line is named."""
    run_with(ada, stdout=f"one\ntwo\n{CREDENTIALS[kind]}\n")
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "steps/start/1/stdout line " in told(report)
    assert refs(server) == {}


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("untracked", "code/a.py line 2: github"),
        ("tracked", "code/README line 1: github"),
        ("staged", "code/b.py line 1: github"),
        ("stdout", "steps/start/1/stdout line 2: github"),
        ("stderr", "steps/start/1/stderr line 1: github"),
        ("text", "steps/start/1/note line 1: github"),
        ("wide text", "steps/start/1/note line 1: github"),
        ("named value", "steps/start/1/password line 1: password"),
        ("parameter", "INFO: github"),
        ("named parameter", "INFO: password"),
    ],
)
def test_where_secrets_are_found(ada: GitRepo, server: GitRepo, where: str, place: str) -> None:
    """In code that is not committed, output, values and parameters; told are run, file, line, rule, and no secret."""
    values: dict[str, bytes] = {}
    parameters: dict[str, str] = {}
    stdout = stderr = ""
    secret = TOKEN
    if where == "untracked":
        ada.write("a.py", f"import os\nTOKEN = '{TOKEN}'\n")
    elif where == "tracked":
        ada.write("README", f"{TOKEN}\n")
    elif where == "staged":
        ada.write("b.py", f"{TOKEN}\n")
        ada.git("add", "b.py")
    elif where == "stdout":
        stdout = f"begin\nusing {TOKEN}\n"
    elif where == "stderr":
        stderr = f"{TOKEN}\n"
    elif where == "text":
        values = {"note": f"see {TOKEN}".encode()}
    elif where == "wide text":
        values = {"note": f"see {TOKEN}".encode("utf-32-le")}
    elif where == "parameter":
        parameters = {"note": TOKEN}
    else:
        secret = "hunter" + "2-" + made_up(5)
        values = {"password": secret.encode()} if where == "named value" else {}
        parameters = {} if values else {"password": secret}
    run_with(ada, values, stdout=stdout, stderr=stderr, parameters=parameters)
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert f"MyFlow/1: {place}" in told(report)
    assert secret[5:] not in told(report)
    assert refs(server) == {}


def test_secrets_of_an_attempt_that_failed_are_found(ada: GitRepo) -> None:
    """In its output and its values, which are told with it."""
    secret = "hunter" + "2-" + made_up(5)
    repository = open_repo(ada)
    with create_run(repository, draft(), take_snapshot(repository)) as writer:
        values = {"note": f"see {TOKEN}".encode(), "password": secret.encode()}
        first = finished_task(
            writer.identity, "start/1", values, stdout=f"{TOKEN}\n", ok=False, again=True
        )
        writer.commit([first])
        writer.commit([finished_task(writer.identity, "start/1", attempt=1)], status=Status.DONE)
    where = "steps/start/1/attempts/0"
    assert found_in(ada) == {f"{where}/stdout": 1, f"{where}/note": 1, f"{where}/password": 1}


def test_other_runs_go_and_the_refused_one_when_allowed(ada: GitRepo, server: GitRepo) -> None:
    """Only the run with the secret stays; the option, the setting and the fingerprint each let it go."""
    run_with(ada, stdout=f"{TOKEN}\n")
    make_run(ada)
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED, Outcome.NEW]
    assert list(refs(server)) == ["refs/runs/MyFlow/2"]
    mark = report.notices[0].rpartition("[")[2].rstrip("]")
    ada.git("config", "runs.push.allow", f"other {mark}")
    assert outcomes(send(ada)) == [Outcome.NEW, Outcome.CURRENT]
    run_with(ada, stdout=f"x\n{TOKEN}\n")
    (report,) = push(open_repo(ada), "origin", allow_secrets=True)
    assert outcomes(report)[0] is Outcome.NEW
    run_with(ada, stdout=f"y\n{TOKEN}\n")
    assert Outcome.REFUSED in outcomes(send(ada))
    ada.git("config", "runs.push.scan", "false")
    assert Outcome.REFUSED not in outcomes(send(ada))


def test_comments_allow_a_line(ada: GitRepo) -> None:
    """The comments of the common scanners, and our own, hold for their line alone."""
    for number, comment in enumerate(
        ("gitflowrun:allow", "gitleaks:allow", "pragma: allowlist secret")
    ):
        ada.write(f"{number}.py", f"T = '{TOKEN}'  # {comment}\n")
    make_run(ada)
    assert outcomes(send(ada)) == [Outcome.NEW]
    ada.write("0.py", f"T = '{TOKEN}'  # gitflowrun:allow\nU = '{CREDENTIALS['gitlab']}'\n")
    make_run(ada)
    report = send(ada)
    assert Outcome.REFUSED in outcomes(report)
    assert "code/0.py line 2: gitlab" in told(report)


def test_what_the_remote_has_is_not_searched(ada: GitRepo) -> None:
    """Committed code that was pushed is there already; a commit that was not pushed is new."""
    ada.write("old.py", f"T = '{TOKEN}'\n")
    ada.commit("with a token")
    make_run(ada)
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "code/old.py line 1: github" in told(report)
    ada.git("push", "-q", "origin", "HEAD")
    assert outcomes(send(ada)) == [Outcome.NEW]
    ada.write("old.py", "")
    ada.commit("without")
    ada.git("push", "-q", "origin", "HEAD")
    ada.git("checkout", "-q", "HEAD^")  # behind the remote's branch
    make_run(ada)
    assert outcomes(send(ada, "MyFlow/2")) == [Outcome.NEW]


def test_what_another_place_had_under_the_remotes_name_is_searched(
    ada: GitRepo, tmp_path: Path
) -> None:
    """What is known of a remote's branches goes with its URL: not with its name, nor with one that begins like it."""
    ada.write("old.py", f"T = '{TOKEN}'\n")
    ada.commit("with a token")
    public = make_repo(tmp_path / "public")
    ada.git("push", "-q", "origin", "HEAD")
    ada.git("update-ref", "refs/remotes/origin/x/main", "HEAD")  # of a remote `origin/x`
    make_run(ada)
    ada.git("remote", "set-url", "origin", str(public.path))
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "code/old.py line 1: github" in told(report)
    assert not holds(public, TOKEN)


def test_branches_that_are_not_here_are_told(ada: GitRepo, bob: GitRepo) -> None:
    """Code that a colleague's newer commit hides is searched, and the way on is a fetch."""
    ada.write("old.py", f"T = '{TOKEN}'\n")
    ada.commit("with a token")
    ada.git("push", "-q", "origin", "HEAD")
    make_run(ada)
    bob.git("pull", "-q")
    bob.write("new.py", "")
    bob.commit("more")
    bob.git("push", "-q", "origin", "HEAD")
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "`git fetch` it first" in told(report)
    ada.git("fetch", "-q")
    assert outcomes(send(ada)) == [Outcome.NEW]


def test_later_states_are_searched_for_what_is_new(ada: GitRepo, server: GitRepo) -> None:
    """A run that goes on is searched from the state on that the remote has."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1", stdout="fine\n")])
        assert outcomes(send(ada)) == [Outcome.NEW]
        before = refs(server)
        writer.commit(
            [finished_task(writer.identity, "end/2", stdout=f"{TOKEN}\n")], status=Status.DONE
        )
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED]
    assert "steps/end/2/stdout line 1" in told(report)
    assert refs(server) == before


def test_files_that_only_earlier_states_have_are_searched(ada: GitRepo, server: GitRepo) -> None:
    """What a run's last commit has no more would be sent all the same: by whichever way its history leads to it."""
    run = make_run(ada)
    ref = f"refs/runs/MyFlow/{run.id}"
    last = ada.git("rev-parse", ref)
    secret = ada.git("hash-object", "-w", "--stdin", stdin=f"{TOKEN}\n".encode())
    odd = ada.git("mktree", stdin=f"100644 blob {secret}\tnotes\n".encode())
    tree = ada.git("mktree", stdin=f"{ada.git('ls-tree', ref)}\n040000 tree {odd}\todd\n".encode())
    message = ada.git("log", "-1", "--format=%B", last).encode()
    between = ada.git("commit-tree", tree, "-p", last, stdin=message)
    again = ada.git("commit-tree", f"{last}^{{tree}}", "-p", between, stdin=message)
    ada.git("update-ref", ref, again)
    repository = open_repo(ada)
    tip = RunTip("MyFlow", run.id, Oid.from_hex(again))
    for base, count in ((None, 1), (Oid.from_hex(last), 1), (Oid.from_hex(between), 0)):
        search = SecretSearch(repository, {})
        assert search.findings(tip, [], base) == ()
        assert search.is_more_before([(tip.tip, base)]) == bool(count)
        assert [(it.path, it.line) for it in search.findings_before(tip, base)] == [
            ("(earlier state)/odd/notes", 1)
        ] * count
    report = send(ada, "MyFlow/1")
    assert outcomes(report) == [Outcome.REFUSED]
    assert "(earlier state)/odd/notes line 1: github" in told(report)
    ada.write("notes", f"{TOKEN}\n")
    make_run(ada)  # another run that is refused has the same file
    assert outcomes(send(ada, "MyFlow/1", "MyFlow/2")) == [Outcome.REFUSED] * 2
    assert not holds(server, TOKEN)


def test_a_name_that_only_an_earlier_state_has(ada: GitRepo, server: GitRepo) -> None:
    """A value is searched along with the name that only the record of an earlier state gives it."""
    secret = "hunter" + "2-" + made_up(5)
    run_with(ada, {"password": secret.encode()})
    ref = "refs/runs/MyFlow/1"
    message = ada.git("log", "-1", "--format=%B", ref).encode()
    first = f"{ada.git('rev-list', '--max-parents=0', ref)}^{{tree}}"
    again = ada.git("commit-tree", first, "-p", ref, stdin=message)
    ada.git("update-ref", ref, again)
    report = send(ada, "MyFlow/1")
    assert outcomes(report) == [Outcome.REFUSED]
    assert "(earlier state)/steps/start/1/password line 1: password" in told(report)
    assert refs(server) == {}


def test_tags_that_are_secrets_are_not_sent(ada: GitRepo, server: GitRepo) -> None:
    """A tag's name would travel; its run goes without it."""
    make_run(ada)
    add_tag(ada, "MyFlow/1", TOKEN, "fine")
    report = send(ada)
    assert outcomes(report) == [Outcome.NEW]
    assert (report.tags_added, "a tag of MyFlow was not sent" in told(report)) == (1, True)
    assert not any(TOKEN in name for name in refs(server))


def test_large_files_are_told(ada: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large to be searched goes, and the report says so; arrays of numbers are passed over."""
    monkeypatch.setattr("gitflowrun.porcelain.secrets.secret_scan.SCAN_FILE", 1_000)
    monkeypatch.setattr("gitflowrun.porcelain.secrets.secret_scan.SCAN_NUMBERS", 100)
    ada.write("large.txt", TOKEN + "x" * 2_000)
    run_with(ada, {"numbers": bytes(range(128, 256)) * 4 + TOKEN.encode()})
    report = send(ada)
    assert outcomes(report) == [Outcome.NEW]
    assert (
        "1 file was too large to be searched for secrets, the largest code/large.txt (2.0 KiB)"
        in told(report)
    )


def test_a_file_that_is_larger_than_a_record_is_searched(ada: GitRepo) -> None:
    """Files are read up to their own limit, not to that of records."""
    ada.write("wide.txt", f"T = '{TOKEN}'\n" + "some words\n" * 900_000)
    make_run(ada)
    assert "code/wide.txt line 1: github" in told(send(ada))


def test_the_hook_says_so_and_lets_the_push_go(ada: GitRepo, server: GitRepo) -> None:
    """With runs.autoPush, commits are pushed, the run with a secret is not, and standard error says why."""
    install(open_repo(ada))
    ada.git("config", "runs.autoPush", "true")
    ada.commit("more") if ada.write("more", "1") else None
    run_with(ada, stdout=f"{TOKEN}\n")
    done = subprocess.run(
        ["git", "push", "-q", "origin", "HEAD"],
        cwd=ada.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (
        "MyFlow/1 was refused: it may hold a secret: steps/start/1/stdout line 1, github"
        in done.stderr
    )
    assert refs(server) == {}
    assert ada.git("rev-parse", "HEAD") == server.git("rev-parse", "main")


def test_the_command_line(ada: GitRepo, server: GitRepo) -> None:
    """`git runs push` ends with 1 and says how to go on; with --allow-secrets it sends the run."""
    run_with(ada, stdout=f"{TOKEN}\n")
    done = ada.call("push")
    assert done.code == 1
    assert (
        "[refused]   MyFlow/1 (it may hold a secret: steps/start/1/stdout line 1, github)"
        in done.out
    )
    assert "git config --add runs.push.allow" in done.err
    assert TOKEN not in done.out + done.err
    assert ada.call("push", "--allow-secrets").code == 0
    assert list(refs(server)) == ["refs/runs/MyFlow/1"]


def test_a_secret_of_several_runs_refuses_each(ada: GitRepo, server: GitRepo) -> None:
    """A file that was found in one run is found in all that hold it, at whatever place."""
    ada.write("note.txt", f"x = '{TOKEN}'")
    run_with(ada, {"db_password": b"hunter2xyz"})
    run_with(ada)
    (ada.path / "note.txt").rename(ada.path / "other.txt")
    run_with(ada)
    report = send(ada)
    assert outcomes(report) == [Outcome.REFUSED] * 3
    assert "code/other.txt line 1" in report.runs[-1].reason
    assert refs(server) == {}


def test_a_run_that_can_not_be_searched_costs_itself_alone(
    ada: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that ends with an error, after it has met a value with a telling name, leaves the next run as it is."""

    def find(text: bytes) -> Iterator[Found]:
        if b"damaged" in text:
            raise CorruptRecord("object is damaged")
        return find_secrets(text)

    run_with(ada, {"db_password": b"x", "large": b"damaged" * 500})
    run_with(ada, task="other/1")
    monkeypatch.setattr("gitflowrun.porcelain.secrets.secret_scan.find_secrets", find)
    assert outcomes(send(ada)) == [Outcome.REFUSED, Outcome.NEW]


def test_text_of_any_alphabet_is_searched(ada: GitRepo) -> None:
    """Large text is text, though most of its bytes are beyond ASCII, or each second one is zero."""
    text = "привет, мир: это просто текст\n" * 21_000 + f"{TOKEN}\n"
    ada.write("cyrillic.txt", text)
    wide = ("this is just text\n" * 32_000 + f"{TOKEN}\n").encode("utf-16")
    (ada.path / "wide.txt").write_bytes(wide)
    assert len(text.encode()) > SCAN_NUMBERS
    assert len(wide) > SCAN_NUMBERS
    run_with(ada)
    assert {"code/cyrillic.txt", "code/wide.txt"} <= found_in(ada).keys()


def test_colours_and_byte_orders_hide_none(ada: GitRepo) -> None:
    """A value that a terminal shows in colours is found, and so is one in UTF-16 of either order."""
    ada.write(
        "colours.log",
        "\x1b[1mstart\x1b[0m\n\x1b[1mpassword\x1b[0m: \x1b[38;5;1mS3cr3t\x1b[0mPw9!xQ\n",
    )
    text = f"\ufeff日本語の文章です。{TOKEN}\n".encode("utf-16-be")
    (ada.path / "wide.txt").write_bytes(text)
    run_with(ada)
    assert found_in(ada) == {"code/colours.log": 1, "code/wide.txt": 1}


def test_what_stands_before_a_secret_hides_none(ada: GitRepo) -> None:
    """Neither a longer word that holds it, nor many that are allowed; the name of a file is searched, too."""
    key = "AKIA" + "1Z3Y5X7W9VBTDRFS"
    ada.write("longer.txt", f"zzz{key}zz\nid {key}\n")
    allowed = "".join(f"{TOKEN[:-3]}{n:03} # gitflowrun:allow\n" for n in range(101))
    ada.write("allowed.txt", f"{allowed}{TOKEN}\n")
    ada.write(f"file?token={TOKEN}", "an answer")
    ada.git("add", ".")
    ada.git("commit", "-qm", "all")
    run_with(ada)
    found = found_in(ada)
    assert found == {"code/longer.txt": 1, "code/allowed.txt": 1, "the names of its files": 1}


def test_the_hash_of_a_secret_parameter_is_none() -> None:
    """A run whose parameter is called like a secret can be sent: its record has a keyed hash of it."""
    record = msgpack.pack({"secrets": {"password": f"eb65a1f0-{'0f3a9b1c' * 4}"}})
    assert not [*find_secrets(record)]
    assert [*find_secrets(msgpack.pack({"password": "eb65a1f0-hunter2"}))]
