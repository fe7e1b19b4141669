"""Code that is edited while a run goes on: what ran otherwise than the snapshot has it is told and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.names import TaskName
from gitflowrun.runtime.scheduler.code_check import ANOTHER, UNKNOWN, CodeCheck
from tests.helpers.flows import latest
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo

FLOW = """
from pathlib import Path
from gitflowrun import FlowSpec, step
import early

class F(FlowSpec):
    @step
    def start(self):
        %s
        self.next(self.middle)

    @step
    def middle(self):
        import pkg.late
        self.seen = [early.N, pkg.late.N, "first"]
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    F()
"""
EDIT = (
    "[Path(name).write_text('N = 22') for name in ('early.py', 'pkg/late.py')];"
    " Path('f.py').write_text(Path('f.py').read_text().replace('first', 'second'))"
)


def run_edited(repo: GitRepo, edit: str, kind: str = "fork") -> str:
    """Run a flow whose first step changes files, and return what the terminal showed."""
    repo.write("early.py", "N = 1")
    repo.write("pkg/late.py", "N = 1")
    repo.write("f.py", FLOW % edit)
    repo.commit()
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.err
    return done.err


def told(repo: GitRepo, step: str, task: str) -> dict[str, str]:
    """What a task's record says of its code."""
    return dict(latest(repo).task(TaskName(step, task)).record.other_code)


def test_what_is_known_of_each_file(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is asked once of each content, below the top of the work tree; a name is a name and no pattern."""
    repo.write(".gitattributes", "crlf.py text eol=crlf\n")
    for name in ("same.py", "edited.py", "pkg/*.py", "pkg/a.py", "crlf.py", "\xe9 x.py", "-x.py"):
        repo.write(name, "N = 1\n")
    repo.commit()
    opened = open_repo(repo)
    one, other, crlf = (
        hash_object(ObjectType.BLOB, it) for it in (b"N = 1\n", b"N = 2\n", b"N = 1\r\n")
    )
    check = CodeCheck(opened, Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}")))
    loaded = {
        "same.py": one, "edited.py": other, "pkg/*.py": one, "crlf.py": crlf, "\xe9 x.py": one,
        "new.py": one, "-x.py": one,
    }  # fmt: skip
    assert check.differing({}) == {}
    with monkeypatch.context() as patched:
        patched.setattr(opened.git.__class__, "run", _unreadable)
        assert check.differing(loaded) == {}
    assert check.differing(loaded) == {"edited.py": ANOTHER, "new.py": UNKNOWN}
    assert list(check.differing(loaded)) == ["edited.py", "new.py"]
    with monkeypatch.context() as patched:
        patched.setattr(opened.git.__class__, "run", None)
        assert check.differing(loaded) == {"edited.py": ANOTHER, "new.py": UNKNOWN}
    assert check.differing({"same.py": other, "edited.py": one}) == {"same.py": ANOTHER}


def test_what_a_worker_lacks(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is here and not in the snapshot, where the error says that it was not found; nothing else is blamed."""
    for name in ("src/flow.py", "src/there.py", "pkg/__init__.py", "pkg/a.py"):
        repo.write(name, "")
    repo.write(".gitignore", "local*\ndata\n")
    repo.commit()
    for name in ("src/local.py", "pkg/local_b.py", "local_c/__init__.py", "data/it's.csv"):
        repo.write(name, "")
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    check = CodeCheck(open_repo(repo), tree, [repo.path / "src", repo.path])
    module, file = "ModuleNotFoundError: No module named ", "FileNotFoundError: [Errno 2] No such: "
    assert check.lacked(f"{module}'local'") == "src/local.py"
    assert check.lacked(f"{module}'pkg.local_b'") == "pkg/local_b.py"
    assert check.lacked(f"{module}'local_c.d'") == "local_c"
    for data in ("../data", "data", str(repo.path / "data")):
        assert check.lacked(f"{file}'{data}'") == "data"
    blameless = [
        f"{module}'there'", f"{module}'nowhere'", f"{module}'pkg.a'", f"{file}'/etc/hostname'",
        f"{file}'../../{repo.path.name}-other'", f"{file}'data/none.csv'", "ValueError: 'data'", "", f"{module}''",
    ]  # fmt: skip
    assert [it for it in blameless if check.lacked(it)] == []
    assert CodeCheck(open_repo(repo), tree).lacked(f"{module}'local'") is None
    monkeypatch.setattr(Path, "resolve", _gone)
    assert check.lacked(f"{module}'local'") is None


def _gone(_: object) -> Path:
    raise FileNotFoundError


def _unreadable(*_: object) -> bytes:
    raise RepositoryError("git ls-tree failed")


@pytest.mark.parametrize(
    ("kind", "other", "at_the_end"),
    [
        ("fork", ["pkg/late.py"], []),
        ("inline", ["pkg/late.py"], ["pkg/late.py"]),
        ("fresh", ["early.py", "f.py", "pkg/late.py"], ["early.py", "f.py"]),
    ],
)
def test_edited_code_that_runs_is_named(
    repo: GitRepo, kind: str, other: list[str], at_the_end: list[str]
) -> None:
    """Tasks name what they loaded after it was edited, and nothing that they had loaded before."""
    shown = run_edited(repo, EDIT, kind)
    assert told(repo, "start", "1") == {}
    assert list(told(repo, "middle", "2")) == other
    assert list(told(repo, "end", "3")) == at_the_end
    notice = (
        f"Task middle/2: The code that ran differs from the run's snapshot: {', '.join(other)}."
    )
    assert shown.count("differs from the run's snapshot") == 1
    assert notice in shown
    log = latest(repo).task(TaskName("middle", "2")).output("stderr").decode()
    assert log == notice.removeprefix("Task middle/2: ") + "\n"


def test_show_diff_and_the_client_tell_of_edited_code(repo: GitRepo) -> None:
    """What ran otherwise stands with the run, with its task, among what a snapshot lacks, and in differences."""
    run_edited(repo, "pass")
    run_edited(repo, EDIT)
    words = "pkg/late.py: it was edited after the snapshot, and another version of it ran"
    assert f"Differs:  {words} in middle\n" in repo.call("show", "2").out
    assert f"Differs:  {words}\n" in repo.call("show", "2/middle/2").out
    assert "Differs" not in repo.call("show", "1").out + repo.call("show", "2/end").out
    assert "  pkg/late.py: (not left out) -> it was edited" in repo.call("diff", "1", "2").out
    asked = "from gitflowrun import Run; print(Run('F/2').code.left_out)"
    assert "pkg/late.py" in repo.python("-c", asked).out


@pytest.mark.parametrize("kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)])
def test_files_that_are_as_they_were_are_not_named(repo: GitRepo, kind: str) -> None:
    """Files that were only touched, or written again as they were, or are not checked out as stored, are the same."""
    repo.write(".gitattributes", "*.py text eol=crlf")
    touch = (
        "[Path(name).write_bytes(Path(name).read_bytes()) for name in ('early.py', 'pkg/late.py')]"
    )
    repo.write("early.py", "N = 1")
    repo.commit()
    shown = run_edited(repo, touch, kind)
    assert "differs" not in shown
    assert told(repo, "middle", "2") == {}


def test_new_files_and_directories_that_took_a_place_are_named(repo: GitRepo) -> None:
    """A file that the snapshot lacks is named, and so are older files in a directory that was renamed."""
    repo.write("other/late.py", "import added; N = 3")
    edit = (
        "import os; os.rename('pkg', 'gone'); os.rename('other', 'pkg');"
        " Path('added.py').write_text('x = 1')"
    )
    run_edited(repo, edit)
    assert told(repo, "middle", "2") == {
        "added.py": "it is not in the snapshot, and it ran",
        "pkg/late.py": "it was edited after the snapshot, and another version of it ran",
    }
