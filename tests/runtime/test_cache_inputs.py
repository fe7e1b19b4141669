"""What a task can depend on without saying so in its code: the step cache notices it."""

from __future__ import annotations

import os
import sqlite3

from gitflowrun.porcelain.overview import run_overview
from gitflowrun.runtime.scheduler.mentions import Mentions
from tests.helpers.flows import latest, linear_flow, one_task, value_of
from tests.helpers.repos import GitRepo, Output

READS = {
    "absent": "self.x = os.path.lexists('zz') or attempt('lo' + 'cal.opt')",
    "follows": "self.x = open('d/zz' + 'link').read()",
    "updates": "self.x = open(OUT + '/counter', 'r+').read()",
    "moves": "self.x = []\nfor n in 'ab':\n    os.chdir(n); self.x.append(open('t' + 'ab').read()); os.chdir('..')",
    "queries": "self.x = sqlite3.connect(OUT + '/ba' + 'se').execute('SELECT * FROM t').fetchall()",
    "lists": "self.x = sorted(it for it in os.listdir('i' + 'gn') if it[-1] == 'x')",
    "forks": "self.x = in_child('o' + 'pened')",
    "loads": (
        "spec = util.spec_from_file_location('anything', 'hid' + 'den.py')\n"
        "module = util.module_from_spec(spec); spec.loader.exec_module(module); self.x = module.X"
    ),
    "untouched": "self.x = open('a/t' + 'ab').read()",
}
HEAD = """
import os, sqlite3
from importlib import util
from gitflowrun import FlowSpec, step
OUT = {out!r}

def attempt(path):
    try:
        return open(path).read()
    except OSError:
        return None

def in_child(path):
    there, back = os.pipe()
    if os.fork() == 0:
        os.write(back, open(path, "rb").read())
        os._exit(0)
    os.wait()
    return os.read(there, 9)

class F(FlowSpec):
    @step
    def start(self):
        self.next({names})
"""
STEP = """
    @step
    def {name}(self):
        {body}
        self.next(self.join)
"""
TAIL = """
    @step
    def join(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass

if __name__ == "__main__":
    F()
"""


def run(repo: GitRepo, script: str = "f.py", env: dict[str, str] | None = None) -> Output:
    """Run a flow with the cache."""
    done = repo.flow(script, "run", "--cache", env=env)
    assert done.code == 0, done.err
    return done


def reasons(repo: GitRepo) -> dict[str, str]:
    """Why the newest run has executed a step, by its name; of a step that it has taken nothing."""
    steps = run_overview(latest(repo), ()).steps
    return {it.name: next(iter(it.executed)) for it in steps if it.executed}


def test_whatever_is_read_counts(repo: GitRepo) -> None:
    """Also what is not there, links, files that are updated, databases, ignored names, what forked processes read."""
    out = repo.path.parent / "out"
    out.mkdir()
    base = sqlite3.connect(out / "base")
    base.execute("CREATE TABLE t (x)")
    base.commit()
    for name in ("a/tab", "b/tab", "d/one", "d/two", "ign/first.x", "opened", "../out/counter"):
        repo.write(name, name)
    repo.write(".gitignore", "*.x\n*.opt\n__pycache__\n")
    repo.write("hidden.py", "X = 1\n")
    (repo.path / "d/zzlink").symlink_to("one")
    steps = "".join(
        STEP.format(name=name, body=body.replace("\n", f"\n{' ' * 8}"))
        for name, body in READS.items()
    )
    names = ", ".join(f"self.{name}" for name in READS)
    repo.write("f.py", HEAD.format(out=str(out), names=names) + steps + TAIL)
    repo.commit()
    assert repo.flow("f.py", "run").code == 0  # which leaves compiled code
    for _ in range(2):
        run(repo)
    assert reasons(repo) == {}
    (repo.path / "d/zzlink").unlink()
    (repo.path / "d/zzlink").symlink_to("two")
    base.execute("INSERT INTO t VALUES (1)")
    base.commit()
    base.close()
    for name in ("local.opt", "../out/counter", "b/tab", "ign/second.x", "opened"):
        repo.write(name, "another")
    repo.write("hidden.py", "X = 2\n")
    run(repo)
    what = {
        "absent": "local.opt", "follows": "d/zzlink", "updates": f"{out}/counter", "moves": "b/tab",
        "queries": f"{out}/base", "lists": "ign/", "forks": "opened", "loads": "code of hidden.py",
    }  # fmt: skip
    found = reasons(repo)
    assert found.pop("join").startswith("inputs ") or "join" not in found
    assert found == {step: f"{name} changed since F/3" for step, name in what.items()}
    assert value_of(one_task(latest(repo), "loads"), "x") == 2


def test_names_that_hold_secrets_are_not_noted(repo: GitRepo) -> None:
    """Of a file, or of what a link leads to: such a task serves nobody, and nothing of it is recorded."""
    opened = "try:\n    open({})\nexcept OSError:\n    pass"
    text = linear_flow(opened.format("'way.x'"), opened.format("self.token + '.csv'"))
    token = "    token = Parameter('token', secret=True)\n    @step"
    repo.write("f.py", text.replace("    @step", token, 1))
    repo.write(".gitignore", "*.x\n")
    (repo.path / "way.x").symlink_to("hush-hush-hush")
    run(repo, env={"GITFLOWRUN_RUN_TOKEN": "hush-hush-hush"})
    for step in ("start", "end"):
        reuse = one_task(latest(repo), step).record.reuse
        assert reuse is not None
        assert reuse.unfit == "it opens a file whose name holds a secret"
        assert not reuse.files
        assert not reuse.others


def test_nobody_takes_what_is_in_a_pipe(repo: GitRepo) -> None:
    """A named pipe is read by the step alone."""
    repo.write(".gitignore", "*.x\n")
    step = "os.mkfifo('p.x'); os.popen('echo 1 > p.x'); self.x = open('p.x').read()"
    repo.write("f.py", linear_flow(step))
    run(repo)
    assert value_of(one_task(latest(repo), "start"), "x") == "1\n"


def test_the_same_text_in_another_place_is_another_flow(repo: GitRepo) -> None:
    """What it opens and imports depends on where it is and is started; times that were set back hide nothing."""
    for name in ("one", "two"):
        repo.write(f"{name}/f.py", linear_flow("import helper; self.x = helper.X"))
        repo.write(f"../{name}/helper.py", f"X = {name!r}\n")
    env: dict[str, str] = {}
    for script, path in (("one/f.py", "one"), ("one/f.py", "two"), ("two/f.py", "one")):
        env["PYTHONPATH"] = str(repo.path.parent / path)
        run(repo, script, env)
        assert value_of(one_task(latest(repo), "start"), "x") == path
        assert "start" in reasons(repo)
    place = "the interpreter, a package, or the directories of the program changed since F/2"
    assert reasons(repo)["start"] in {place, place.replace("/2", "/1")}
    helper = repo.path.parent / "one/helper.py"
    times = helper.stat()
    helper.write_text("X = 'two'\n")
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    run(repo, "two/f.py", env)
    assert reasons(repo)["start"] == f"code of {helper} changed since F/3"


def test_a_linked_worktree_has_its_own_ignored_files(repo: GitRepo) -> None:
    """Those of the worktree in which the earlier run was say nothing of them."""
    repo.write(".gitignore", "*.x\n")
    repo.write("f.py", linear_flow("self.x = open('settings.x').read()"))
    repo.commit()
    repo.write("settings.x", "1")
    run(repo)
    repo.git("worktree", "add", "-q", "../linked")
    linked = GitRepo(repo.path.parent / "linked")
    linked.write("settings.x", "23")
    run(linked)
    assert reasons(linked)["start"] == "settings.x changed since F/1"


def test_the_cache_is_off_where_nobody_knows_what_ran(repo: GitRepo) -> None:
    """A file of code was changed since the program began; or tasks share a process."""
    repo.write("helper.py", "X = 1\n")
    edits = "import helper\nif 'run' in sys.argv: open('helper.py', 'a').write('#\\n')\n"
    repo.write("f.py", linear_flow("self.x = helper.X", head=edits))
    done = repo.python("f.py", "run", "--cache")  # a fork is faster than the clock of processes
    assert (
        "The step cache is off: the source of the flow can't be read as it was imported."
        in done.err
    )
    repo.write("f.py", linear_flow())
    repo.git("config", "runs.isolation", "inline")
    assert "The step cache is off: tasks of one process see what others" in run(repo).err
    assert one_task(latest(repo), "start").record.reuse is None


SPEAKS = {
    "its name": ("open('early.json')", "conf/early.json", False, True),
    "a longer name": ("open('very_early.json')", "early.json", False, False),
    "another name": ("open('conf/late.json')", "conf/early.json", False, False),
    "an end": ("open(f'conf/{name}.json')", "conf/early.json", False, True),
    "an end with a percent": ("open('%s.json' % name)", "conf/early.json", False, True),
    "an attribute": ("x = ().json", "conf/early.json", False, False),
    "a beginning": ("open(f'parts/part-{n}')", "else/part-3", False, True),
    "a directory": ("Path('conf') / name", "conf/deep/early", False, True),
    "a pattern": ("glob('conf/*')", "conf/early", False, True),
    "a new module": ("import fast", "fast.py", True, True),
    "a new package": ("import fast", "lib/fast/__init__.py", True, True),
    "another module": ("import faster", "fast.py", True, False),
    "an old module": ("import fast", "fast.py", False, False),
    "one of Python's": ("import numpy", "random.py", True, True),
    "a list of modules": ("iter_modules(__path__)", "plugins/new.py", True, True),
    "a module elsewhere": ("iter_modules(__path__)", "others/new.py", True, False),
}  # fmt: skip


def test_code_speaks_of_what_it_may_have_read_when_it_was_imported() -> None:
    """By name, by the end or the beginning of a name, or by a directory; of modules that it may import."""
    for what, (text, path, is_new, speaks) in SPEAKS.items():
        mentions = Mentions({"plugins/__init__.py": text.encode()}.__getitem__)
        found = mentions.first({path: is_new}, ["plugins/__init__.py"], [])
        assert found == (path if speaks else None), what
        assert (mentions.first({path: is_new}, [], [text.encode()]) is not None) is (
            speaks and "list" not in what
        ), what
