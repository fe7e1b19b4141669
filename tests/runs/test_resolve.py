from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.errors import InvalidPathspec, NotFound, RepositoryError
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import make_run, open_repo, start_run, store_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with A/1 (best), B/2 (best, deadbeef), A/3 (2, 77, release/1.0)."""
    repo = make_repo(tmp_path_factory.mktemp("resolve") / "made")
    make_run(repo, "A", tags=["best"])
    make_run(repo, "B", tags=["best", "deadbeef"])
    make_run(repo, "A", tags=["2", "77", "release/1.0"])
    return repo


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "a repo")


@pytest.fixture
def store(repo: GitRepo) -> RunStore:
    """The runs."""
    return store_of(repo)


@pytest.fixture
def runs(store: RunStore) -> list[RunIdentity]:
    """What they are."""
    return [store.get(*name).identity for name in (("A", "1"), ("B", "2"), ("A", "3"))]


@pytest.mark.parametrize(
    ("address", "flow", "found"),
    [
        ("1", None, "A/1"),
        ("A/1", None, "A/1"),
        ("1", "A", "A/1"),
        ("A/1", "A", "A/1"),
        ("2", None, "B/2"),
        ("@latest", None, "A/3"),
        ("B/@latest", None, "B/2"),
        ("@latest", "B", "B/2"),
        ("@{-1}", None, "B/2"),
        ("@{-2}", None, "A/1"),
        ("A/@{-1}", None, "A/1"),
        ("@{1}", None, "B/2"),
        ("@{0}", None, "A/3"),
        ("A/@{1}", None, "A/1"),
        ("@{1}:A", None, "A/1"),
        ("@latest:B", None, "B/2"),
        ("@latest:B", "B", "B/2"),
        ("tag:deadbeef", None, "B/2"),
        ("tag:77", None, "A/3"),
        ("A/tag:best", None, "A/1"),
        ("tag:best", "B", "B/2"),
        ("tag:release/1.0", None, "A/3"),
        ("A/best", None, "A/1"),
        ("best", "B", "B/2"),
        ("deadbeef", None, "B/2"),
        ("release/1.0", None, "A/3"),
        ("A/release/1.0", None, "A/3"),
        ("A/best", "A", "A/1"),
        ("A/@latest", "A", "A/3"),
        ("A/release/1.0", "A", "A/3"),
        ("runs/A/1", None, "A/1"),
        ("refs/runs/A/1", None, "A/1"),
        ("runs/A/1", "A", "A/1"),
        ("runs/A/best", None, "A/1"),
    ],
)
def test_addresses(store: RunStore, address: str, flow: str | None, found: str) -> None:
    """Every form of address finds the run it describes."""
    assert store.find(address, flow).pathspec == found


@pytest.mark.parametrize(("address", "flow"), [("A/1", None), ("1", "A"), ("A/1/train/1", "A")])
def test_a_run_that_is_said_whole_is_found_without_a_look_at_others(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, address: str, flow: str | None
) -> None:
    """There may be 100,000."""
    monkeypatch.setattr("gitflowrun.runs.lookup.resolve._Catalog", None)
    assert store.find(address.removesuffix("/train/1"), flow).pathspec == "A/1"
    assert store.resolve(address, flow).run.pathspec == "A/1"


def test_hashes(store: RunStore, runs: list[RunIdentity]) -> None:
    """A run is found by the beginning of its first commit or of its newest commit."""
    newest = store.get("B", "2").commit
    for prefix in (str(runs[1].uid), str(runs[1].uid)[:12], str(newest)[:12]):
        assert store.find(prefix).pathspec == "B/2"
    assert store.find(f"B/{str(newest)[:12]}").pathspec == "B/2"
    with pytest.raises(NotFound):
        store.find(f"A/{str(newest)[:12]}")
    with pytest.raises(NotFound):
        store.find("fff")


def test_no_tag_or_number_stands_for_the_hash_of_another_run(
    repo: GitRepo, store: RunStore, runs: list[RunIdentity]
) -> None:
    """Somebody who tags a run with the hash of yours, or gives it that number, is not taken for it."""
    uid, commit = str(runs[1].uid), str(store.get("B", "2").commit)
    made_up = "12345678" + "0" * 32
    short, newest = (
        next(it[:n] for n in range(7, 40) if not it[:n].isdecimal()) for it in (uid, commit)
    )
    Tags(open_repo(repo)).change(store.get("A", "3"), add=[uid, short, commit, newest])
    for whole in (uid, commit):
        assert store.find(whole).pathspec == "B/2"
    for part in (short, newest, f"{short}/train/1"):
        with pytest.raises(InvalidPathspec, match="ambiguous"):
            store.resolve(part)
    assert store.find(f"A/{short}").pathspec == "A/3"
    Tags(open_repo(repo)).change(store.get("A", "3"), add=[made_up])
    assert store.find(made_up).pathspec == "A/3"


def test_parts_of_runs(store: RunStore) -> None:
    """What follows the run names step, task and artifact."""
    found = store.resolve("A/1/train/2/y")
    assert (found.run.pathspec, found.step, found.task, found.artifact) == (
        "A/1",
        "train",
        "2",
        "y",
    )
    found = store.resolve("@latest/start")
    assert (found.run.pathspec, found.step, found.task, found.artifact) == (
        "A/3",
        "start",
        None,
        None,
    )
    for address in (
        "deadbeef/start/1",
        "tag:deadbeef/start/1",
        "@latest:B/start/1",
        "@{1}/start/1",
    ):
        found = store.resolve(address)
        assert (found.run.pathspec, found.step, found.task) == ("B/2", "start", "1")


def test_a_run_of_another_clone(store: RunStore, repo: GitRepo, runs: list[RunIdentity]) -> None:
    """`12-3fa29c1` is the imported run; alone, it also answers to its number."""
    short = runs[1].uid.short
    repo.git("update-ref", f"refs/runs/B/2-{short}", str(store.get("B", "2").commit))
    assert store.find(f"2-{short}").pathspec == f"B/2-{short}"
    assert store.find("2").pathspec == "B/2"
    repo.git("update-ref", "-d", "refs/runs/B/2")
    assert store.find("2").pathspec == f"B/2-{short}"


def test_the_name_that_other_clones_use(store: RunStore, runs: list[RunIdentity]) -> None:
    """A run of this clone is found by the name under which it was published elsewhere."""
    assert store.find(f"1-{runs[0].uid.short}").pathspec == "A/1"
    with pytest.raises(NotFound):
        store.find(f"1-{runs[1].uid.short}")


def test_an_ambiguous_address_lists_the_candidates(
    store: RunStore, runs: list[RunIdentity]
) -> None:
    """As git does for short hashes: which runs could be meant, newest first."""
    with pytest.raises(InvalidPathspec, match="'best' is ambiguous") as caught:
        store.find("best")
    lines = (caught.value.hint or "").splitlines()
    assert lines[0] == "the candidates are:"
    assert lines[1].startswith(f"  {runs[1].uid.short} B/2: done, 4 tasks in ")
    assert lines[2].startswith(f"  {runs[0].uid.short} A/1: done, 4 tasks in ")
    assert len(lines) == 3


@pytest.mark.parametrize("address", ["A/best", "A/best/start", "A/tag:best"])
def test_a_tag_that_several_runs_of_a_flow_have(
    store: RunStore, repo: GitRepo, runs: list[RunIdentity], address: str
) -> None:
    """None of them is meant more than another; the error lists them and says how the tag comes to name one."""
    newer = make_run(repo, "A", tags=["best"])
    with pytest.raises(InvalidPathspec, match="is ambiguous") as caught:
        store.resolve(address)
    lines = (caught.value.hint or "").splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [newer.uid.short, runs[0].uid.short]
    assert lines[3:] == ["`git runs tag --move best RUN` makes it name one run of a flow"]


def test_very_many_candidates_are_counted(
    store: RunStore, runs: list[RunIdentity], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand runs may have a tag."""
    monkeypatch.setattr("gitflowrun.runs.lookup.resolve.CANDIDATES", 1)
    with pytest.raises(InvalidPathspec, match="is ambiguous") as caught:
        store.find("best")
    assert (caught.value.hint or "").splitlines()[1:] == [
        f"  {runs[1].uid.short} {store.summaries('B')[0].subject}",
        "  and 1 more",
    ]


def test_a_flow_called_like_a_tag(store: RunStore, repo: GitRepo) -> None:
    """What may be a tag of one run as well as a step of another, tagged one is ambiguous; what is no step is not."""
    make_run(repo, "A", tags=["prod", "prod/start"])
    meant = store.resolve("4/start")
    make_run(repo, "prod")
    assert store.resolve("prod/start").step == "start"
    assert store.resolve("prod/start").run.pathspec == "A/4"
    assert store.find("prod/@latest").pathspec == store.find("prod/5").pathspec == "prod/5"
    make_run(repo, "prod", tags=["start"])
    for address in ("prod/start", "prod/start/1/x"):
        with pytest.raises(InvalidPathspec, match="ambiguous") as caught:
            store.resolve(address)
        assert meant.run.identity.uid.short in str(caught.value.hint)
    assert store.resolve("A/prod/start/1").run.pathspec == "A/4"


def test_a_flow_called_like_the_place_of_runs(store: RunStore, repo: GitRepo) -> None:
    """`runs/4` is a run of the flow `runs`; only a whole name of git's begins with what is no flow."""
    make_run(repo, "runs", tags=["tagged"])
    for address in ("runs/4", "runs/@latest", "runs/tagged", "runs/runs/4", "refs/runs/runs/4"):
        assert store.find(address).pathspec == "runs/4"
    with pytest.raises(NotFound, match="there is no run 'refs/runs/1'"):
        store.find("refs/runs/1")


def test_a_tag_of_a_namesake(store: RunStore, repo: GitRepo, runs: list[RunIdentity]) -> None:
    """A tag whose ref holds another run's first commit, as a plain `git fetch` brings it, is no tag of the run."""
    refs = {"good": runs[1].uid, "best": runs[1].uid, "own": runs[2].uid}
    for tag, uid in refs.items():
        repo.git("update-ref", f"refs/runs/@tags/A/{tag}/3", str(uid))
    with pytest.raises(NotFound):
        store.find("good")
    assert store.find("A/best").pathspec == "A/1"
    assert store.find("own").pathspec == "A/3"
    tags = ("2", "77", "own", "release/1.0")
    (newest, *_) = store.summaries(flow="A")
    repository = open_repo(repo)
    assert newest.tags == Tags(repository).of(store.find("3")) == tags
    assert Tags(repository).all("A") == {("A", "1"): ("best",), ("A", "3"): tags}
    assert Tags(repository).change(store.find("3"), add=["good"]) == ("2", "77", "good", *tags[2:])
    assert repo.call("rm", "--force", "3").code == 0


@pytest.mark.parametrize(
    "address", ["", "/", "1/", "/1", "A//1", "1/start/1/x/y", "A/1/start/1/x/y"]
)
def test_what_is_no_address(store: RunStore, address: str) -> None:
    """Malformed addresses are refused."""
    with pytest.raises(InvalidPathspec):
        store.resolve(address)


@pytest.mark.parametrize(
    ("address", "flow", "message", "hint"),
    [
        ("9", None, "there is no run '9'", "the newest is A/3"),
        ("bets", None, "there is no run 'bets'", "did you mean best? the newest is A/3"),
        ("9", "A", "there is no run '9' of flow A", "the newest is A/3"),
        (
            "2",
            "A",
            "there is no run '2' of flow A: 2 is B/2",
            "`git runs show B/2` shows it; the newest of flow A is 3",
        ),
        (
            "77",
            None,
            "there is no run '77': 77 is a tag of A/3",
            "`git runs show tag:77` shows it; digits alone are the id of a run",
        ),
        ("A/9/start", None, "there is no run 'A/9/start' of flow A", "the newest is A/3"),
        ("A", None, "A is a flow, not a run", "try A/@latest; `git runs list A` lists its runs"),
        ("A", "A", "there is no run 'A' of flow A", "the newest is A/3"),
        ("A/9", "A", "there is no run 'A/9' of flow A", "the newest is A/3"),
        (
            "A/2",
            "A",
            "there is no run 'A/2' of flow A: 2 is B/2",
            "`git runs show B/2` shows it; the newest of flow A is 3",
        ),
        ("1", "C", "there are no runs of flow 'C' in this repository", "flows with runs: A, B"),
        ("@{-3}", None, "there is no run '@{-3}'", "the newest is A/3"),
        ("@{3}", None, "there is no run '@{3}'", "the newest is A/3"),
        ("1..3", None, "'1..3' would be several runs, and one is meant here", "name one of them"),
        ("tag:bets", None, "there is no run 'tag:bets'", "did you mean best? the newest is A/3"),
        ("tag:3", None, "there is no run 'tag:3'", "did you mean 3? the newest is A/3"),
        (
            "@latest:C",
            None,
            "there are no runs of flow 'C' in this repository",
            "flows with runs: A, B",
        ),
        ("@latest:B", "A", "there is no run '@latest:B' of flow A", "the newest is A/3"),
    ],
)
def test_unknown_runs_say_what_is_near(
    store: RunStore, address: str, flow: str | None, message: str, hint: str
) -> None:
    """An address of nothing names the nearest thing there is."""
    with pytest.raises(NotFound) as caught:
        store.find(address, flow)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_repository_without_runs_says_so(tmp_path: Path) -> None:
    """The first look at an empty list is an explanation."""
    repo = make_repo(tmp_path / "empty")
    with pytest.raises(NotFound, match="no runs in this repository"):
        store_of(repo).find("@latest")


def test_a_tag_of_a_deleted_run_finds_nothing(tmp_path: Path) -> None:
    """A tag that outlived its run leads nowhere."""
    repo = make_repo(tmp_path / "other")
    start_run(repo, "A", tags=["old"]).close()
    make_run(repo, "A")
    repo.git("update-ref", "-d", "refs/runs/A/1")
    with pytest.raises(NotFound):
        store_of(repo).find("old")


def test_a_run_is_found_by_its_uid_alone(
    store: RunStore, runs: list[RunIdentity], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its flow; not one whose message only claims it."""
    for run in runs:
        found = store.of_uid(run.flow, run.uid)
        assert found is not None
        assert (found.flow, found.id, found.identity) == (run.flow, run.id, run)
    assert store.of_uid("B", runs[0].uid) is None
    monkeypatch.setattr(StoredRun, "identity", runs[1])
    assert store.of_uid("A", runs[0].uid) is None


def test_whether_a_flow_has_runs(repo: GitRepo, store: RunStore) -> None:
    """Loose or packed; tags alone are none."""
    for _ in range(2):
        assert [store.has_flow(flow) for flow in ("A", "B", "C")] == [True, True, False]
        repo.git("pack-refs", "--all")


def test_a_damaged_run_is_told_where_it_is_asked_for(repo: GitRepo, store: RunStore) -> None:
    """By its number or whole id, of its flow or any; others are not found as ever."""
    (repo.path / ".git/refs/runs/A/3").write_text("")
    for words in (("3",), ("A/3",), ("3", "A")):
        with pytest.raises(RepositoryError, match="refs/runs/A/3"):
            store.resolve(*words)
    repo.write(".git/refs/runs/A/7-3fa29c1", "")
    for words in (("7",), ("A/7",), ("7", "A")):
        with pytest.raises(RepositoryError, match="refs/runs/A/7-3fa29c1"):
            store.resolve(*words)
    for words in (("B/3",), ("9",), ("3", "B"), ("7", "B")):
        with pytest.raises(NotFound):
            store.resolve(*words)


def test_a_number_is_found_without_the_names_of_all(
    repo: GitRepo, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed or not, and where its ref was moved since; of two runs with one number all is said as before."""
    older = repo.git("rev-parse", "runs/B/2~1")
    with monkeypatch.context() as patched:
        patched.setattr("gitflowrun.runs.lookup.resolve._Catalog", None)
        assert store.find("2").pathspec == "B/2"
        repo.git("pack-refs", "--all")
        assert store.find("2").pathspec == "B/2"
        repo.git("update-ref", "refs/runs/B/2", older)
        assert str(store.find("2").commit) == older
        repo.git("update-ref", "refs/runs/B/2-3fa29c1", older)
        assert store.find("2").pathspec == "B/2"
    repo.git("update-ref", "refs/runs/C/2", older)
    with pytest.raises(InvalidPathspec, match="ambiguous"):
        store.find("2")
    (repo.path / ".git/refs/runs/C/2").write_text("garbage\n")
    (repo.path / ".git/refs/runs/C/4").write_text("garbage\n")
    assert store.find("2").pathspec == "B/2"
    with pytest.raises(RepositoryError, match="damaged"):
        store.find("4")
