"""An agent's copy of the code, and the cache that it comes from."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.runtime.ipc.remote_messages import AgentReady
from gitflowrun.runtime.remote.code_copy import write_code
from tests.helpers.agents import cache_of, launch
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.runtime.remote.conftest import Agents

LOOK = "import helper\nprint(helper.WORD, sorted(os.listdir('.')))"


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with a flow and a module of its own."""
    files = {"flow.py": linear_flow(LOOK), "helper.py": "WORD = 'one'\n"}
    return make_repo(tmp_path / "driver", files=files)


def copy(repo: GitRepo, top: Path, tree: str = "HEAD^{tree}") -> None:
    """Write the code of a commit."""
    oid = Oid.from_hex(repo.git("rev-parse", tree))
    for _ in write_code(PackReader(repo.path / ".git/objects"), oid, top):
        pass


def test_files_as_git_has_them(repo: GitRepo, tmp_path: Path) -> None:
    """Content, directories, what is executable, links; a submodule is an empty directory."""
    repo.write("d/run.sh", "#!/bin/sh\n").chmod(0o755)
    (repo.path / "d/link").symlink_to("../helper.py")
    repo.write(os.fsdecode(b"odd \xff name"), "odd")
    repo.write("large", b"x" * (3 << 20))
    repo.git("add", "-A")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    repo.git("commit", "-q", "-m", "more")
    top = tmp_path / "copy"
    copy(repo, top)
    assert (top / "helper.py").read_text() == "WORD = 'one'\n"
    assert os.access(top / "d/run.sh", os.X_OK)
    assert not os.access(top / "helper.py", os.X_OK)
    assert os.readlink(top / "d/link") == "../helper.py"  # noqa: PTH115
    assert (top / os.fsdecode(b"odd \xff name")).read_text() == "odd"
    assert (top / "large").stat().st_size == 3 << 20
    assert list((top / "sub").iterdir()) == []


@pytest.mark.parametrize("name", [b"..", b".git", b"a/b"])
def test_names_that_lead_elsewhere(repo: GitRepo, tmp_path: Path, name: bytes) -> None:
    """A tree that git would never make is no code."""
    blob = repo.git("rev-parse", "HEAD:helper.py")
    data = b"100644 %s\0" % name + bytes.fromhex(blob)
    tree = repo.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=data)
    with pytest.raises(CorruptRecord, match="no file's name"):
        copy(repo, tmp_path / "copy", tree)
    assert list((tmp_path / "copy").iterdir()) == []


def test_code_is_got_once(agents: Agents, repo: GitRepo) -> None:
    """The second agent of a machine asks for nothing but what a task reads; of other code for what differs."""
    first = agents(repo)
    first.ready()
    assert [want.closure for want in first.served] == [True]
    second = agents(repo)
    second.ready()
    assert second.served == []
    old = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    repo.write("helper.py", "WORD = 'two'\n")
    repo.commit()
    third = agents(repo)
    third.ready()
    (want,) = third.served
    assert (want.closure, want.have) == (True, (old,))
    third.run(launch(1))
    assert third.output(1) == "two ['flow.py', 'helper.py']\n"


def test_agents_that_begin_together(agents: Agents, repo: GitRepo) -> None:
    """One of them gets the code, and the others wait for it."""
    started = [agents(repo) for _ in range(4)]
    deadline = time.monotonic() + 30
    while not all(agent.of(AgentReady) for agent in started) and time.monotonic() < deadline:
        for agent in started:
            agent.turn()
    assert sum(len(agent.served) for agent in started) == 1


def test_what_a_task_writes_is_no_code(agents: Agents, repo: GitRepo) -> None:
    """Files that one leaves, or changes, are in no other agent's copy."""
    repo.write(
        "flow.py", linear_flow("open('helper.py', 'w').write('WORD = 5')\nopen('new', 'w')", LOOK)
    )
    repo.commit()
    first = agents(repo)
    first.ready()
    first.run(launch(1))
    second = agents(repo)
    second.ready()
    second.run(launch(1, "end"))
    assert second.output(1) == "one ['flow.py', 'helper.py']\n"


def test_a_cache_that_was_tampered_with(agents: Agents, repo: GitRepo, tmp_path: Path) -> None:
    """Code that is not what its id says is never run: it is got anew."""
    first = agents(repo)
    first.ready()
    first.close()
    packs = list(cache_of(tmp_path / "cache").glob("shared.git/objects/pack/*.pack"))
    assert packs
    for pack in packs:
        pack.chmod(0o644)
        data = bytearray(pack.read_bytes())
        for place in range(20, len(data) - 20):
            data[place] ^= 0x55
        pack.write_bytes(data)
    second = agents(repo)
    second.ready()
    assert [want.have for want in second.served] == [()]
    second.run(launch(1))
    assert second.output(1) == "one ['flow.py', 'helper.py']\n"
    third = agents(repo)
    third.ready()
    assert third.served == []


def test_a_cache_that_lost_a_pack(agents: Agents, repo: GitRepo, tmp_path: Path) -> None:
    """A mark that says that the code is here is not believed."""
    first = agents(repo)
    first.ready()
    first.close()
    for file in cache_of(tmp_path / "cache").glob("shared.git/objects/pack/*"):
        file.unlink()
    second = agents(repo)
    second.ready()
    second.run(launch(1))
    assert second.output(1) == "one ['flow.py', 'helper.py']\n"


def test_old_code_goes(agents: Agents, repo: GitRepo, tmp_path: Path) -> None:
    """Packs that are too old are removed when no agent lives, and not while one does."""
    first = agents(repo)
    first.ready()
    packs = list(cache_of(tmp_path / "cache").glob("shared.git/objects/pack/*.pack"))
    second = agents(repo)
    second.ready()
    for pack in packs:
        os.utime(pack, (1, 1))
    second.close()
    assert packs
    assert all(pack.exists() for pack in packs)
    first.close()
    assert not any(pack.exists() for pack in packs)


def test_a_program_in_a_directory(agents: Agents, tmp_path: Path) -> None:
    """The flow's program starts where it was started, with the directories that it had in its path."""
    code = linear_flow("import far\nprint(far.WORD, os.path.basename(os.getcwd()))")
    files = {"sub/flow.py": code, "lib/far.py": "WORD = 'far'\n"}
    repo = make_repo(tmp_path / "driver", files=files)
    agent = agents(repo, script="sub/flow.py", directory="sub", path=("lib",))
    agent.ready()
    agent.run(launch(1))
    assert agent.output(1) == "far sub\n"
    other = agents(
        repo, script="sub/flow.py", directory="sub",
        command=("/usr/bin/env", f"PYTHONPATH={repo.path}/lib:/nowhere", "/x/python", "-X", "dev", "flow.py", "run"),
    )  # fmt: skip
    other.ready()
    other.run(launch(1))
    assert other.output(1) == "far sub\n"
