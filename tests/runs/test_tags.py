from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitflowrun.errors import NotFound, RefConflict, TaggingError
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.tags import Tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, start_run, store_of

NUMBERED = [f"t{n}" for n in range(50)]


@pytest.fixture
def run(repo: GitRepo) -> StoredRun:
    """Run MyFlow/1, which has no user tags."""
    make_run(repo)
    return store_of(repo).get("MyFlow", "1")


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    """The repository, open."""
    return open_repo(repo)


@pytest.fixture
def tags(opened: Repository) -> Tags:
    """Its tags."""
    return Tags(opened)


def test_tags_are_added_and_removed(tags: Tags, run: StoredRun) -> None:
    """A run has the tags that were added and not removed; adding twice changes nothing."""
    assert tags.change(run, add=["best", "a b/ü", "best"]) == ("a b/ü", "best")
    assert tags.change(run, add=["best"]) == ("a b/ü", "best")
    assert tags.of(run) == ("a b/ü", "best")
    assert tags.change(run, remove=["best", "never there"]) == ("a b/ü",)
    assert tags.of(run) == ("a b/ü",)


def test_a_git_tag_of_somebody_elses_costs_no_tag(
    repo: GitRepo, tags: Tags, run: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody makes a git tag at the same moment, again and again, the run has its tag all the same."""
    real = Refs.transaction

    def transaction(self: Refs, updates: Sequence[RefUpdate]) -> None:
        if any(update.name.startswith("refs/tags/") for update in updates):
            raise RefConflict("it was made by somebody else at the same moment")
        real(self, updates)

    monkeypatch.setattr(Refs, "transaction", transaction)
    assert tags.change(run, add=["best"]) == ("best",)
    assert tags.of(run) == ("best",)
    assert repo.git("tag") == ""


def test_tags_are_git_tags(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """A tag shows in `git tag`, at the first commit, and goes when it is removed."""
    tags.change(run, add=["best", "x y"])
    uid = run.identity.uid
    names = [f"runs/MyFlow/best/1-{uid.short}", f"runs/MyFlow/x%20y/1-{uid.short}"]
    assert repo.git("tag", "-l", "runs/*").split() == names
    assert repo.git("rev-parse", f"{names[0]}^{{commit}}") == str(uid)
    tags.change(run, remove=["best", "x y"])
    assert repo.git("tag", "-l") == ""
    assert repo.git("for-each-ref", "refs/runs/@tags") == ""


def test_tagging_changes_neither_run_nor_time(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """The run's ref, and when it was made, stay."""
    before = repo.git("rev-parse", "runs/MyFlow/1")
    tags.change(run, add=["best"])
    assert repo.git("rev-parse", "runs/MyFlow/1") == before
    again = store_of(repo).get("MyFlow", "1")
    assert again.state.started == run.state.started


def test_system_tags_are_fixed(tags: Tags, run: StoredRun) -> None:
    """Adding a system tag is ignored; removing one refuses the whole operation."""
    tags.change(run, add=["best"])
    assert tags.change(run, add=["user:ada"]) == ("best",)
    with pytest.raises(TaggingError, match="'runtime:dev' of MyFlow/1 describes the run"):
        tags.change(run, remove=["best", "runtime:dev"], add=["new"])
    assert tags.of(run) == ("best",)


def test_a_replacement_removes_first(tags: Tags, run: StoredRun) -> None:
    """With 50 tags one can be replaced by another; what is removed and added stays."""
    tags.change(run, add=NUMBERED)
    replaced = tags.change(run, remove=["t0"], add=["new"])
    assert "new" in replaced
    assert "t0" not in replaced
    assert len(replaced) == 50
    assert tags.change(run, remove=["new"], add=["new"]) == replaced


def test_a_run_has_at_most_50_user_tags(tags: Tags, run: StoredRun) -> None:
    """Only growing beyond 50 fails, and then nothing is added."""
    tags.change(run, add=NUMBERED)
    with pytest.raises(TaggingError, match="would have 52 user tags"):
        tags.change(run, add=["one", "more"])
    assert len(tags.of(run)) == 50
    assert len(tags.change(run, add=["t1", "user:ada"])) == 50


@pytest.mark.parametrize(
    "bad", ["", "x" * 501, 7, b"\xff", "\ud800", "\N{PILE OF POO}" * 500], ids=repr
)
def test_a_bad_tag_changes_nothing(tags: Tags, run: StoredRun, bad: object) -> None:
    """One tag that can't be refuses the whole operation."""
    with pytest.raises(TaggingError):
        tags.change(run, add=["good", bad])
    assert tags.of(run) == ()


def test_the_longest_tags_work(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """500 characters are a tag, whatever their encoding, up to what a path holds."""
    long = ["x" * 500, "ü" * 300, "." * 500]
    assert tags.change(run, add=long) == tuple(sorted(long))
    assert tags.of(run) == tuple(sorted(long))
    repo.fsck()
    assert tags.change(run, remove=long) == ()


def test_bytes_are_taken_as_utf8(tags: Tags, run: StoredRun) -> None:
    """A tag may be given as bytes."""
    assert tags.change(run, add=["ü".encode()]) == ("ü",)


def test_all_tags_come_at_once(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """Every tagged run with its tags, of one flow or of all."""
    make_run(repo, "Other", tags=["b", "a"])
    tags.change(run, add=["best"])
    assert {f"{flow}/{number}": found for (flow, number), found in tags.all().items()} == {
        "MyFlow/1": ("best",),
        "Other/2": ("a", "b"),
    }
    assert list(tags.all("Other").values()) == [("a", "b")]


def test_a_lost_mirror_is_rebuilt(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """`git tag -d` and `fetch --prune-tags` lose no tag: the mirror comes back from the truth."""
    tags.change(run, add=["best", "good"])
    name = f"1-{run.identity.uid.short}"
    repo.git("tag", "-d", f"runs/MyFlow/best/{name}")
    repo.git("update-ref", f"refs/tags/runs/MyFlow/good/{name}", "HEAD")
    assert tags.of(run) == ("best", "good")
    assert tags.mirror() == 2
    for tag in ("best", "good"):
        assert repo.git("rev-parse", f"runs/MyFlow/{tag}/{name}") == str(run.identity.uid)
    assert tags.mirror() == 0


def test_a_stale_mirror_goes_and_a_users_tag_stays(
    repo: GitRepo, tags: Tags, run: StoredRun
) -> None:
    """Only git tags that we made are removed when no run has the tag any more."""
    tags.change(run, add=["best", "kept"])
    repo.git("update-ref", "-d", "refs/runs/@tags/MyFlow/best/1")
    own = ["runs/MyFlow/mine/1", "runs/notes"]
    for name in own:
        repo.git("tag", name, "HEAD")
    for name in ("runs/best", "runs/MyFlow/first", "runs/MyFlow/it/1-0123456"):
        own.append(name)
        repo.git("tag", name, str(run.identity.uid))
    assert tags.mirror() == 1
    kept = f"runs/MyFlow/kept/1-{run.identity.uid.short}"
    assert repo.git("tag", "-l").split() == sorted([kept, *own])


def test_removing_works_without_the_mirror(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """A tag whose mirror is gone can be removed and added again."""
    tags.change(run, add=["best"])
    name = f"runs/MyFlow/best/1-{run.identity.uid.short}"
    repo.git("tag", "-d", name)
    assert tags.change(run, remove=["best"]) == ()
    assert tags.change(run, add=["best"]) == ("best",)
    assert repo.git("tag", "-l") == name


@pytest.mark.parametrize(
    "name", ["runs", "runs/MyFlow", "runs/MyFlow/best", "runs/MyFlow/best/1-x"]
)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_users_own_tag_is_no_obstacle(repo: GitRepo, name: str, *, packed: bool) -> None:
    """Runs are made with tags and get more; the user's tag stays what it is."""
    repo.git("tag", name)
    repo.git("branch", "runs")
    if packed:
        repo.git("pack-refs", "--all")
    with start_run(repo, tags=["best"]) as writer:
        assert str(writer.identity.id) == "1"
    tags = Tags(open_repo(repo))
    run = store_of(repo).get("MyFlow", "1")
    assert tags.change(run, add=["x"]) == ("best", "x")
    tags.mirror()
    assert tags.of(run) == ("best", "x")
    assert tags.change(run, remove=["best"]) == ("x",)
    assert repo.git("rev-parse", f"refs/tags/{name}") == repo.git("rev-parse", "HEAD")
    repo.git("tag", "-d", name)
    tags.mirror()
    assert len(repo.git("tag", "-l", "runs/*").split()) == 1


def test_without_git_tags(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """With `runs.gitTags=false` no git tag is made, those that are there go with their tags, and true makes all."""
    tags.change(run, add=["old", "older"])
    repo.git("config", "runs.gitTags", "false")
    quiet = Tags(open_repo(repo))
    assert quiet.change(run, add=["new"], remove=["old"]) == ("new", "older")
    make_run(repo, tags=["begun"])
    repo.git("update-ref", "-d", "refs/runs/@tags/MyFlow/older/1")
    repo.git("tag", "runs/mine")
    assert quiet.mirror() == 1
    assert repo.git("tag", "-l") == "runs/mine"
    assert quiet.all() == {("MyFlow", "1"): ("new",), ("MyFlow", "2"): ("begun",)}
    repo.git("config", "runs.gitTags", "true")
    assert Tags(open_repo(repo)).mirror() == 2
    assert [name.rpartition("/")[0] for name in repo.git("tag", "-l", "runs/*/*").split()] == [
        "runs/MyFlow/begun",
        "runs/MyFlow/new",
    ]


def test_a_tag_that_is_moved_names_one_run(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """It is taken from all others of the flow, its git tags too; runs of other flows keep it."""
    for flow in ("MyFlow", "MyFlow", "Other"):
        make_run(repo, flow, tags=["prod"])
    tags.change(run, add=["own"])
    assert tags.move(run, "prod") == ("MyFlow/2", "MyFlow/3")
    uid, other = run.identity.uid.short, store_of(repo).find("4").identity.uid.short
    assert repo.git("tag", "-l", "*/prod/*").split() == [
        f"runs/MyFlow/prod/1-{uid}",
        f"runs/Other/prod/4-{other}",
    ]
    assert tags.all() == {("MyFlow", "1"): ("own", "prod"), ("Other", "4"): ("prod",)}
    assert store_of(repo).find("MyFlow/prod").pathspec == "MyFlow/1"
    assert tags.move(run, "prod") == ()
    assert tags.of(run) == ("own", "prod")


def test_a_move_that_cannot_be_takes_nothing(repo: GitRepo, tags: Tags, run: StoredRun) -> None:
    """Nor one of a tag that the system gives."""
    make_run(repo, tags=["prod", "user:ada"])
    tags.change(run, add=NUMBERED)
    for tag in ("prod", "user:ada", ""):
        with pytest.raises(TaggingError):
            tags.move(run, tag)
    assert "prod" in tags.of(store_of(repo).find("2"))
    assert tags.of(run) == tuple(sorted(NUMBERED))


def test_a_run_that_was_just_removed_gets_no_tags(
    repo: GitRepo, tags: Tags, run: StoredRun
) -> None:
    """Whoever has found it may wait for the lock while `git runs rm` moves it away."""
    repo.git("update-ref", "-d", "refs/runs/MyFlow/1")
    with pytest.raises(NotFound, match="MyFlow/1 has just been removed"):
        tags.change(run, add=["best"])
    with pytest.raises(NotFound, match="MyFlow/1 has just been removed"):
        tags.move(run, "best")
    assert tags.change(run, remove=["best"]) == ()
    assert repo.git("for-each-ref", "refs/runs", "refs/tags") == ""


def test_a_tag_is_moved_away_from_what_cannot_be_read(
    repo: GitRepo, tags: Tags, run: StoredRun
) -> None:
    """From a run that is damaged, or gone, as from any other; both git tags go."""
    for _ in range(2):
        make_run(repo, tags=["prod"])
    repo.git("update-ref", "-d", "refs/runs/MyFlow/2")
    (repo.path / ".git/refs/runs/MyFlow/3").write_text("")
    assert tags.move(run, "prod") == ("MyFlow/2", "MyFlow/3")
    uid = run.identity.uid.short
    assert repo.git("tag", "-l").split() == [f"runs/MyFlow/prod/1-{uid}"]
