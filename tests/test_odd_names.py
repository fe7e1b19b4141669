"""Names of artifacts and tags that are anything: stored so that they come back, or refused."""

from __future__ import annotations

import re

import pytest

from gitflowrun.errors import FlowError, TaggingError
from gitflowrun.names import check_artifact_name
from gitflowrun.runs.tags import Tags
from tests.helpers.flows import linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, store_of

# What paths, refs, options, shells, formats, pages and file systems of several systems stumble over.
ODD = (
    "..", ".", "a..b", "x.lock", "a.", ".a", "-n", "--help", "--", "@", "@{", "a@{1}", "a~1", "a^", "a:b", "a?", "a*",
    "[a]", "a\\b", "a b", " ", "\t", "a\nb", "\x01", "\x7f", "\x1b[2J", "$(id)", "`id`", ";", "'", '"', "|", "&", "<b>",
    "&amp;", "%2e%2e", "%", "%s", "{0}", "CON", "nul", "aux.txt", ".git", ".GIT", "git~1", "a" * 200, "é", "e\u0301",
    "\u202e", "\u200d", "\ufeff", "🙂", "漢" * 20, "A", "a", "refs/heads/main", "/etc/passwd", "a/b", "\0", "\ud800",
    "", "a" * 501,
)  # fmt: skip
_REFUSED = {"refs/heads/main", "/etc/passwd", "a/b", "\0", "\ud800", "", "a" * 501}
_SAFE_PATH = re.compile(r"[\w\u0301%/.-]+")


def test_artifacts_of_any_name(repo: GitRepo) -> None:
    """They are stored under paths that are harmless everywhere, and read by their names; some are refused."""
    names = [name for name in ODD if name not in _REFUSED]
    for name in _REFUSED:
        with pytest.raises(FlowError, match="can't name an artifact"):
            check_artifact_name(name)
    repo.write("f.py", linear_flow(f"for name in {names!a}: setattr(self, name, name)"))
    done = repo.flow("f.py", "run")
    assert done.code == 0, done.err
    task = one_task(store_of(repo).find("1"), "start")
    assert {name: value_of(task, name) for name in names} == {name: name for name in names}
    paths = repo.git("ls-tree", "-rz", "--name-only", "runs/F/1").split("\0")[:-1]
    assert [path for path in paths if not _SAFE_PATH.fullmatch(path)] == []
    assert [path for path in paths if {"..", ".", ".git"} & {*path.lower().split("/")}] == []
    shown = repo.call("show", "1/start")
    assert (shown.code, "\x1b[2J" in shown.out, "\u202e" in shown.out) == (0, False, False)
    repo.fsck()


def test_tags_of_any_name(repo: GitRepo) -> None:
    """They are refs below ours, which git takes, and come back; some are refused, and nothing is left of these."""
    runs = [make_run(repo) for _ in range(2)]
    tags, store = Tags(open_repo(repo)), store_of(repo)
    tagged: dict[str, set[str]] = {"1": set(), "2": set()}
    for position, name in enumerate(ODD):
        run = "1" if position % 2 else "2"
        try:
            tags.change(store.find(run), add=[name])
            tagged[run].add(name)
        except TaggingError:
            assert name in {"\ud800", "", "a" * 501}
    found = Tags(open_repo(repo)).all()
    assert {str(run.id): {*found["MyFlow", run.id]} for run in runs} == tagged
    names = repo.git("for-each-ref", "--format=%(refname)").split("\n")
    ours = ("refs/runs/MyFlow/", "refs/runs/@tags/MyFlow/", "refs/tags/runs/MyFlow/")
    assert [name for name in names if not name.startswith(ours)] == ["refs/heads/main"]
    repo.git("pack-refs", "--all")
    repo.fsck()


def test_a_flow_and_steps_of_other_letters(repo: GitRepo) -> None:
    """A class may be called as Python allows: its runs are made, listed, tagged, resumed and removed as others are."""
    flow = "Größe漢"
    repo.write("flöw.py", linear_flow("self.größe = 1\nassert 'FAIL' not in os.environ", name=flow))
    assert repo.flow("flöw.py", "run", env={"FAIL": "1"}).code == 1
    assert repo.flow("flöw.py", "resume", "--tag", "größer").code == 0
    done = repo.flow("flöw.py", "run")  # whose code the run before has
    assert done.code == 0, done.err
    assert [line.split()[0] for line in repo.runs("list").out.splitlines()[1:]] == [
        f"{flow}/3", f"{flow}/2", f"{flow}/1",
    ]  # fmt: skip
    assert f"run {flow}/2" in repo.runs("show", "größer").out + repo.runs("show", "2").out
    code = "from gitflowrun import Flow; import sys; print(Flow(sys.argv[1]).latest_run.data.größe)"
    assert repo.python("-c", code, flow).out == "1\n"
    repo.git("pack-refs", "--all")
    assert repo.flow("flöw.py", "run").code == 0
    assert repo.runs("rm", "3").code == 0
    repo.fsck()
