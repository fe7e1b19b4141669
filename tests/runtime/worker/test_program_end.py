"""The end of a task's process: as a Python program's for what the step began; what the module began ends once."""

from __future__ import annotations

import gzip

import pytest

from tests.helpers.flows import eventually, latest, linear_flow, one_task
from tests.helpers.repos import GitRepo

each_kind = pytest.mark.parametrize(
    "kind", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow)]
)

BEGUN = """
global KEPT, OTHER, LOOSE, ZIP, PACKED
import atexit, gzip, logging, tempfile, threading, weakref, zipfile
atexit.register(note, 'atexit')
weakref.finalize(THING, note, 'finalize')
KEPT = tempfile.TemporaryDirectory(dir='.', prefix='dir-')
OTHER = tempfile.NamedTemporaryFile(dir='.', prefix='file-')
PACKED = gzip.open('packed.gz', 'wt'); PACKED.write('packed')
ZIP = zipfile.ZipFile('some.zip', 'w'); ZIP.writestr('member', 'text')
LOOSE = Deleted()
REPORT.write('row\\n')
logging.getLogger('mine').warning('a record')
threading.Thread(target=lambda: (time.sleep(0.1), note('thread'))).start()
"""
HEAD = """
import logging.handlers
REPORT = open('report.txt', 'a')
REPORT.write('head\\n')
log = logging.getLogger('mine')
log.addHandler(logging.handlers.MemoryHandler(100, target=logging.FileHandler('my.log')))
log.warning('from the module')

class Thing:
    pass

class Deleted:
    def __del__(self):
        note('del')

def note(name):
    with open('notes.txt', 'a') as file:
        file.write(name + '\\n')

THING = Thing()
"""


@each_kind
@pytest.mark.parametrize("failure", ["", "raise ValueError('no luck')"])
@pytest.mark.sample(2)
def test_what_a_step_began_ends_with_its_process(repo: GitRepo, kind: str, failure: str) -> None:
    """Threads, handlers, finalizers, temporary files, buffers: as in a program, after success and after failure."""
    repo.write("f.py", linear_flow(BEGUN + failure, head=HEAD))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == (1 if failure else 0), done.out
    notes = (repo.path / "notes.txt").read_text().split()
    assert sorted(notes) == ["atexit", "del", "finalize", "thread"]
    assert notes[0] == "thread"  # before the handlers
    assert "row\n" in (repo.path / "report.txt").read_text()
    assert "a record\n" in (repo.path / "my.log").read_text()
    assert [*repo.path.glob("dir-*"), *repo.path.glob("file-*")] == []
    assert repo.python("-m", "gzip", "-d", "packed.gz").code == 0
    assert "member" in repo.python("-m", "zipfile", "-l", "some.zip").out
    if kind != "fresh":  # a fresh interpreter imports the module itself
        assert (repo.path / "report.txt").read_text().count("head") == 1
        assert (repo.path / "my.log").read_text().count("from the module") == 1


FORKED = """
import os
self.who = 'parent'
if not (child := os.fork()):
    self.who = 'child'
else:
    os.waitpid(child, 0)
if {raises}:
    raise ValueError(self.who)
"""


@each_kind
@pytest.mark.sample("fork")
def test_a_process_that_a_step_forked_is_not_the_task(repo: GitRepo, kind: str) -> None:
    """It ends where it comes back from the step, well or badly; what counts is what the task's own process did."""
    env = {"GITFLOWRUN_ISOLATION": kind}
    repo.write("f.py", linear_flow(FORKED.format(raises="False"), end="print('who', self.who)"))
    done = repo.flow("f.py", "run", env=env)
    assert (done.code, "who parent" in done.out) == (0, True), done.out
    assert "was forked by the step" in done.out
    repo.write("f.py", linear_flow(FORKED.format(raises="self.who == 'child'")))
    assert repo.flow("f.py", "run", env=env).code == 0


TIMED = """
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
self.slow = Slow()
"""
TIMED_HEAD = """
import signal, time

def late(*_):
    raise TimeoutError('of the step')

class Slow:
    def __reduce__(self):
        time.sleep(0.5)
        return Slow, ()
"""


@each_kind
@pytest.mark.sample("fork")
def test_a_time_limit_of_a_step_ends_with_it(repo: GitRepo, kind: str) -> None:
    """It interrupts the step, not the storing of what that has made."""
    repo.write("f.py", linear_flow(TIMED, head=TIMED_HEAD))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.err
    repo.write("f.py", linear_flow(f"{TIMED}time.sleep(30)", head=TIMED_HEAD))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 1
    assert "TimeoutError: of the step" in done.out + done.err


@each_kind
def test_what_the_module_registered_is_left_to_its_process(repo: GitRepo, kind: str) -> None:
    """It runs once in each process that imported the module: a task does not delete its parent's directory."""
    head = (
        "import atexit, shutil, tempfile, weakref\n"
        "KEPT = tempfile.TemporaryDirectory(dir='.', prefix='dir-')\n"
        "OWN = tempfile.mkdtemp(dir='.', prefix='dir-')\n"
        "def note(name):\n"
        "    with open('notes.txt', 'a') as file: file.write(f'{name} {os.getpid()}\\n')\n"
        "class Thing: pass\n"
        "THING = Thing()\n"
        "atexit.register(note, 'atexit')\n"
        "atexit.register(shutil.rmtree, OWN)\n"
        "weakref.finalize(THING, note, 'finalize')\n"
    )
    seen = "global KEPT, THING; KEPT = THING = None; assert os.path.isdir(OWN)"
    repo.write("f.py", linear_flow(seen, "assert os.path.isdir(KEPT.name)", head=head))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.out
    notes = (repo.path / "notes.txt").read_text().splitlines()
    processes = 3 if kind == "fresh" else 1
    assert len(set(notes)) == len(notes) == 2 * processes
    assert list(repo.path.glob("dir-*")) == []


@each_kind
@pytest.mark.sample("fork")
def test_pools_that_nobody_closed_end(repo: GitRepo, kind: str) -> None:
    """The handlers of Python's own pools and managers stay."""
    start = (
        "global LEFT\n"
        "import concurrent.futures, multiprocessing\n"
        "context = multiprocessing.get_context('fork')\n"
        "LEFT = [concurrent.futures.ThreadPoolExecutor(2), multiprocessing.Pool(1),\n"
        "        concurrent.futures.ProcessPoolExecutor(1, mp_context=context), context.Manager()]\n"
        "self.x = [LEFT[0].submit(int, '1').result(), LEFT[1].apply(int, '2'),\n"
        "          LEFT[2].submit(int, '3').result(), len(LEFT[3].list([1]))]"
    )
    head = "import concurrent.futures, logging, multiprocessing.pool"
    repo.write("f.py", linear_flow(start, "print(self.x)", head=head))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.out
    assert "[1, 2, 3, 1]" in done.out
    assert "left behind" not in done.out


@each_kind
def test_a_handler_that_hangs_is_ended_and_named(repo: GitRepo, kind: str) -> None:
    """The task has done its work; its log says what did not end."""
    head = (
        "from gitflowrun import limits\n"
        "limits.EXIT_PATIENCE = limits.THREAD_PATIENCE = 0.2\n"
        "def forever(): time.sleep(3600)\n"
        "import threading; from gitflowrun.runtime.ipc import process\n"
        "tell, told = process.tell, threading.Event()\n"
        "def noted(text): tell(text); told.set()\n"
        "process.tell = noted"
    )
    start = (
        "import atexit\n"
        "atexit.register(forever)\n"
        "threading.Thread(target=told.wait, name='slow one').start()"
    )
    repo.write("f.py", linear_flow(start, head=head))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.out
    log = one_task(latest(repo), "start").output("stderr").decode()
    assert "waits for threads: slow one" in log
    assert "forever" in log
    assert "interrupted after 0.2 s" in log


@each_kind
def test_a_handler_that_ends_the_process_badly_fails_the_task(repo: GitRepo, kind: str) -> None:
    """The exit status counts, also after the step has returned."""
    repo.write("f.py", linear_flow("import atexit\natexit.register(os._exit, 3)"))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 1
    assert "exit status 3 after its step" in done.out


@each_kind
@pytest.mark.sample("fork")
def test_processes_that_a_step_leaves_behind_are_ended_and_named(repo: GitRepo, kind: str) -> None:
    """But not one that has a session of its own, and nobody hears of one that ends by itself soon."""
    start = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '0.2'])\n"
        "subprocess.Popen(['sleep', '3600.25'])\n"
        "subprocess.Popen('sleep 2; echo on > lives', shell=True, start_new_session=True)"
    )
    repo.write("f.py", linear_flow(start))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.out
    log = one_task(latest(repo), "start").output("stderr").decode()
    assert "left behind were ended" in log
    assert "(sleep 3600.25)" in log
    assert "sleep 0.2" not in log
    assert eventually((repo.path / "lives").exists)


@pytest.mark.parametrize("failure", ["", "raise ValueError('no luck')"])
@pytest.mark.sample(1)
def test_an_inline_run_ends_like_a_program(repo: GitRepo, failure: str) -> None:
    """What its steps left open in the process of the run is written out and deleted."""
    start = (
        "global KEPT, PACKED, OTHER\n"
        "import gzip, tempfile\n"
        "KEPT = open('report.txt', 'w'); KEPT.write('row')\n"
        "LIST.append(open('list.txt', 'w')); LIST[0].write('row')\n"
        "PACKED = gzip.open('packed.gz', 'wt'); PACKED.write('packed')\n"
        "OTHER = tempfile.NamedTemporaryFile(dir='.', prefix='file-')\n"
    )
    repo.write("f.py", linear_flow(start + failure, head="LIST = []"))
    done = repo.python("f.py", "run", env={"GITFLOWRUN_ISOLATION": "inline"})
    assert done.code == (1 if failure else 0), done.out
    assert (repo.path / "report.txt").read_text() == "row"
    assert (repo.path / "list.txt").read_text() == "row"
    assert gzip.decompress((repo.path / "packed.gz").read_bytes()) == b"packed"
    assert list(repo.path.glob("file-*")) == []


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_process_of_the_command_ends_like_a_program(repo: GitRepo, command: str) -> None:
    """What the module made is deleted and written out by the process that was started for it, once."""
    head = (
        "import tempfile\n"
        "class Thing:\n"
        "    def __del__(self, write=os.write): write(1, b'gone %d.' % PID)\n"
        "PID = os.getpid()\n"
        "OTHER = tempfile.NamedTemporaryFile(dir='.', prefix='file-')\n"
        "THINGS = {'a': Thing()}\n"
    )
    repo.write("f.py", linear_flow("assert os.path.exists(OTHER.name)", head=head))
    done = repo.python("f.py", command)
    assert done.code == 0, done.err
    assert done.out.count("gone") == 1
    assert list(repo.path.glob("file-*")) == []
