"""Objects that are small in a pack and large in memory: refused by name, and what is beside them is shown."""

from __future__ import annotations

import os
import re
import sys
import zlib
from hashlib import sha1
from pathlib import Path

import pytest

from gitflowrun.errors import TooLarge
from gitflowrun.git.diff import diff_trees
from gitflowrun.git.objects import Oid
from gitflowrun.names import TaskName
from gitflowrun.porcelain.comparison.compare import code_diff
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo, start_run, store_of
from tests.security.forge import Forge, ForgedTask, Forgery, info, record, task

SIZE = 12 << 20
"""More than any record, and than output of a task, may have."""
MOST = 64 << 20
"""Bytes of memory that each process may take: 20 MB are Python's own."""

_PEAK = """
import resource, subprocess, sys
out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10, len(out))
sys.stdout.write(out[-4000:].decode(errors="replace"))
"""


def measured(repo: GitRepo, *words: str) -> tuple[int, str]:
    """How many bytes `git runs WORDS` prints, and the last of them; fails if a process takes too much memory."""
    command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *words]
    done = repo.python("-c", _PEAK, *command)
    head, _, text = done.out.partition("\n")
    peak, count = map(int, head.split())
    assert peak < MOST, f"{words} took {peak >> 20} MiB"
    return count, text


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with bombs in every place of a run, each in a run of its own, and a run without."""
    repo = make_repo(tmp_path_factory.mktemp("bombs") / "stranger")
    forge = Forge(repo)
    loud = ForgedTask(record("start/1"), files={"stdout": bytes(SIZE)})
    large = ForgedTask(record("start/2", something="x" * SIZE))
    many = forge.put("tree", (b"40000 a\0" + bytes(20)) * 160_000)
    for number, run in enumerate(
        (
            Forgery(tasks=[task("start/1")]),
            Forgery(raw_info=bytes(SIZE)),
            Forgery(tasks=[task("start/1"), large]),
            Forgery(tasks=[loud]),
            Forgery(trailers={"Note": "x" * SIZE}),
            Forgery(tree=[("40000", "steps", forge.tree([("40000", "start", many)]))]),
        ),
        1,
    ):
        run.info = info(number=str(number))
        forge.write(run)
    return repo


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list",), "MyFlow/5 is damaged; "),
        (("show", "2"), "  INFO of MyFlow/2: object"),
        (("show", "3"), "Unreadable: start/2"),
        (("show", "3/start/2"), "fatal: MyFlow/3/start/2: object"),
        (("show", "4"), "Status:"),
        (("show", "5"), "fatal: MyFlow/5: object"),
        (("show", "6"), "Unreadable: start"),
        (("diff", "1", "6"), "error: MyFlow/6/start: object"),
    ],
)  # fmt: skip
@pytest.mark.sample(4)
def test_what_is_too_large_is_named(stranger: GitRepo, words: tuple[str, ...], told: str) -> None:
    """By what it is, with its size and the limit; in a list or a run the others are shown. Little memory is used."""
    _, text = measured(stranger, *words)
    assert told in text
    if "object" in told:
        assert "bytes, and no more than" in text


def test_the_list_has_the_others(stranger: GitRepo) -> None:
    """One message of megabytes hides no other run."""
    text = stranger.runs("list").out
    assert [number for number in range(1, 7) if f"MyFlow/{number} " in text] == [1, 2, 3, 4, 5, 6]
    assert text.count("damaged") == 1


def test_long_output_is_printed_in_pieces(stranger: GitRepo) -> None:
    """Into a pipe goes all of it; the client, which would have to hold it, says how much there is."""
    assert measured(stranger, "logs", "4")[0] == SIZE
    assert measured(stranger, "logs", "--timestamps", "4")[0] > SIZE
    stored = store_of(stranger).get("MyFlow", "4").task(TaskName("start", "1"))
    assert stored.output_size("stdout") == SIZE
    with pytest.raises(TooLarge, match=r"stdout of MyFlow/4/start/1 has 12,582,912 bytes"):
        stored.output("stdout")


def test_a_fetch_leaves_out_what_nothing_can_read(stranger: GitRepo, tmp_path: Path) -> None:
    """It says why; the others come. Git itself refuses the sixth, whose rows are all the same."""
    here = make_repo(tmp_path / "here")
    text = measured(here, "fetch", str(stranger.path))[1]
    (line,) = (line for line in text.split("\n") if "no run that can be had" in line)
    assert re.search(
        r"MyFlow/2 \(object \w+ can't be read: it has 12,582,912 bytes, and no more", line
    )
    assert re.search(
        r"MyFlow/5 \(object \w+ can't be read: it has [0-9,]+ bytes, and no more", line
    )
    assert here.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/runs/MyFlow").split() == [
        f"MyFlow/{number}" for number in (1, 3, 4)
    ]


@pytest.mark.slow
def test_100_000_tasks_of_a_step_are_shown(tmp_path: Path) -> None:
    """A directory of a run may have so many: one of them, and what can be said of all, takes little memory."""
    repo = make_repo(tmp_path / "many")
    forge = Forge(repo)
    run = Forgery(tasks=[task("start/77")], info=info(number="1"))
    (_, _, tree), count = (
        forge.task(run.tasks[0], {"flow": "MyFlow", "id": "1", "uid": bytes(20)}),
        100_000,
    )
    many = forge.tree([("40000", f"{number}", tree) for number in range(1, count + 1)])
    run.tasks, run.tree = (), [("40000", "steps", forge.tree([("40000", "start", many)]))]
    forge.write(run)
    assert "MyFlow/1/start/77" in measured(repo, "show", "1/start/77")[1]
    text = measured(repo, "show", "1")[1]
    assert "100000" in text.replace(",", "")
    tasks = store_of(repo).get("MyFlow", "1").tasks("start")
    assert tasks == [f"{number}" for number in range(1, count + 1)]


def test_code_that_doubles_is_not_compared(stranger: GitRepo) -> None:
    """Thirty trees name 10^9 files; which differ is counted before anything is compared."""
    forge = Forge(stranger)
    plain = tree = forge.files({"f.py": b"print(1)\n"})
    for _ in range(30):
        tree = forge.tree([("40000", "a", tree), ("40000", "b", tree)])
    repo = open_repo(stranger)
    one, two = map(Oid.from_hex, (plain, tree))
    for compare in (diff_trees, code_diff):
        with pytest.raises(TooLarge, match="more than 200,000 files differ"):
            compare(repo, one, two)


def test_the_runs_that_changed_a_file_beside_code_that_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other runs are found; what changed in the code of that one is not shown, and said to be too much."""
    repo = make_repo(tmp_path / "doubling")
    for text in ("1", "2", "3", "4"):
        repo.write("f.py", text)
        start_run(repo).close()
    forge = Forge(repo)
    bomb = forge.files({"f.py": b"print(1)\n"})
    for _ in range(30):
        bomb = forge.tree([("40000", "a", bomb), ("40000", "b", bomb)])
    info_ = repo.git("rev-parse", "runs/MyFlow/2:INFO")
    tree = forge.tree([("100644", "INFO", info_), ("40000", "code", bomb)])
    text = repo.git("log", "-1", "--format=%B", "runs/MyFlow/2")
    tip = forge.commit(tree, [repo.git("rev-parse", "runs/MyFlow/2^")], text)
    repo.git("update-ref", "refs/runs/MyFlow/2", tip)
    # git's memory, which it fills.
    monkeypatch.setattr("gitflowrun.git.command.LISTED", 2 << 20)
    monkeypatch.setattr("gitflowrun.porcelain.comparison.code_history._NAMES", 1 << 20)
    out = repo.call("log", "--oneline", "--", "*.py").out
    assert [line.split()[1] for line in out.splitlines()] == ["MyFlow/4:"]
    _, out = measured(repo, "log", "--oneline", "-p", "3")
    assert "error: more than 200,000 files differ" in out
    assert "MyFlow/1: " in out


def test_code_that_lies_deep_is_not_compared(stranger: GitRepo) -> None:
    """However many directories lie within one another, also more than Python may call functions."""
    forge = Forge(stranger)
    plain = tree = forge.files({"f.py": b"print(1)\n"})
    for _ in range(1_200):
        tree = forge.tree([("40000", "a", tree)])
    with pytest.raises(TooLarge, match="or they lie too deep"):
        diff_trees(open_repo(stranger), Oid.from_hex(plain), Oid.from_hex(tree))


def test_a_large_file_is_named_and_not_compared_line_by_line(
    stranger: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it differs is said; git, which would hold it, is not asked; the error says how to see it all the same."""
    for module in ("git.diff.DIFFED_FILE", "porcelain.comparison.compare.DIFFED_IN_ALL"):
        monkeypatch.setattr(f"gitflowrun.{module}", 1 << 20)
    monkeypatch.setattr("gitflowrun.git.diff.DIFFED_FILES", 1)  # old and new are one file
    forge, repo = Forge(stranger), open_repo(stranger)
    one, two = (Oid.from_hex(forge.files({"f.py": data})) for data in (b"1\n", b"1\n" * SIZE))
    (file,) = diff_trees(repo, one, two).files
    assert (file.new_path, file.binary, file.hunks) == ("f.py", True, ())
    with pytest.raises(TooLarge, match="files of 25,165,826 bytes differ"):
        code_diff(repo, one, two)


def test_a_file_that_has_many_names_counts_as_often(stranger: GitRepo) -> None:
    """One blob in two hundred places is neither compared nor printed two hundred times: a pack has it once."""
    forge, repo = Forge(stranger), open_repo(stranger)
    lines = b"".join(b"%d\n" % number for number in range(70_000))
    names = {f"f{number}.txt": lines for number in range(200)}
    one, two = (Oid.from_hex(forge.files(files)) for files in ({"f.py": b""}, names))
    found = diff_trees(repo, one, two)
    assert len(found.files) == 201
    assert found.insertions == 0
    with pytest.raises(TooLarge, match="files of 81,778,000 bytes differ"):
        code_diff(repo, one, two)
    assert code_diff(repo, one, two, form="name-only").count(b"\n") == 201
    some = dict.fromkeys(names, lines[:10_000])
    (_, *rest) = diff_trees(repo, one, Oid.from_hex(forge.files(some))).files
    assert sum(bool(file.hunks) for file in rest) < len(rest)


@pytest.mark.slow
def test_a_gigabyte_of_zeros(tmp_path: Path) -> None:
    """A megabyte of a pack, as INFO and as output: fetched, listed, shown and printed within the same memory."""
    stranger = make_repo(tmp_path / "stranger")
    bomb = _zeros(stranger, 1 << 30)
    forge = Forge(stranger)
    written = forge.write(Forgery(info=info(number="1"), tasks=[task("start/1")]))
    rows = [("100644", "INFO", bomb), ("40000", "code", forge.files({"f.py": b""}))]
    head = stranger.git("log", "-1", "--format=%B", written.first)
    first = forge.commit(forge.tree(rows), (), head)
    text = stranger.git("log", "-1", "--format=%B", written.tip).replace(written.first, first)
    stranger.git("update-ref", "refs/runs/MyFlow/2", forge.commit(forge.tree(rows), [first], text))
    here = make_repo(tmp_path / "here")
    assert "1,073,741,824 bytes" in measured(here, "fetch", str(stranger.path))[1]
    here.git("fetch", "-q", str(stranger.path), "refs/runs/*:refs/runs/*")
    for words in (("list",), ("show", "MyFlow/2"), ("show", "MyFlow/1"), ("logs", "MyFlow/1")):
        measured(here, *words)


def _zeros(repo: GitRepo, size: int) -> str:
    """Write a loose blob of zeros without holding it."""
    head, piece = b"blob %d\0" % size, bytes(1 << 20)
    digest, deflate = sha1(head), zlib.compressobj(1)
    parts = [deflate.compress(head)]
    for _ in range(size >> 20):
        digest.update(piece)
        parts.append(deflate.compress(piece))
    path = repo.path / ".git" / "objects" / digest.hexdigest()[:2] / digest.hexdigest()[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join([*parts, deflate.flush()]))
    return digest.hexdigest()


@pytest.mark.parametrize("kind", ["device", "sparse", "pipe"])
@pytest.mark.sample(2)
def test_packed_refs_without_end(repo: GitRepo, kind: str) -> None:
    """They are no file, or none that anybody has made: what reads refs says so at once."""
    make_run(repo)
    path = repo.path / ".git/packed-refs"
    path.unlink(missing_ok=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(20 << 30)
    for words in (("show", "2"), ("cat", "2/start/1/x"), ("list",)):
        _, text = measured(repo, *words)
        assert re.search(r"fatal: can't read .*packed-refs: it is no regular file", text), text


@pytest.mark.parametrize(
    "words", [("list",), ("log",), ("show", "1"), ("rm", "--force", "1"), ("tag", "1", "best")]
)
@pytest.mark.sample(2)
def test_a_list_of_alternates_without_end(repo: GitRepo, words: tuple[str, ...]) -> None:
    """An unpacked repository may have one: git, which reads it whole, takes no memory for more than a real one."""
    make_run(repo)
    with (repo.path / ".git/objects/info/alternates").open("wb") as file:
        file.truncate(20 << 30)
    _, text = measured(repo, *words)
    assert "fatal: " in text or "MyFlow/1" in text
