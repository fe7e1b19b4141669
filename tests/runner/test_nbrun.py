"""`NBRunner`: flows of cells, whose source Python knows as it knows that of a notebook's cells."""

from __future__ import annotations

import asyncio
import itertools
import linecache
from collections.abc import Iterator
from typing import Any

import pytest

from gitflowrun import FlowSpec, NBRunner
from gitflowrun.errors import FlowError, UsageError
from gitflowrun.runner import nbrun
from tests.helpers.repos import GitRepo
from tests.helpers.runs import store_of

CELL = """from gitflowrun import FlowSpec, NBRunner, Parameter, step

def helper(n):
    return n * 2

class NB(FlowSpec):
    alpha = Parameter("alpha", default=1)

    @step
    def start(self):
        self.x = helper(self.alpha)
        self.next(self.end)

    @step
    def end(self):
        print("x is", self.x)
"""
_numbers = itertools.count()


@pytest.fixture
def cells() -> Iterator[Any]:
    """Executes cells one after the other, as a notebook does."""
    names: dict[str, Any] = {"__name__": "__main__"}
    known = []

    def execute(cell: str) -> dict[str, Any]:
        name = f"<ipython-input-{next(_numbers)}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        known.append(name)
        exec(compile(cell, name, "exec"), names)
        return names

    yield execute
    for name in known:
        del linecache.cache[name]


def test_a_run_of_a_cell(here: GitRepo, cells: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs with what the cell defines; the run has recorded the cell, and nothing of it stays behind."""
    run = NBRunner(cells(CELL)["NB"]).nbrun(alpha=4)
    assert run.successful
    assert run.data is not None
    assert run.data.x == 8
    assert "x is 8" in capsys.readouterr().out
    text = here.git("show", f"{store_of(here).get('NB', run.id).commit}:code/NB_notebook.py")
    assert CELL in text + "\n"
    assert here.git("status", "--porcelain") == ""


def test_a_cell_that_starts_itself(here: GitRepo, cells: Any) -> None:
    """What starts the flow, looks at the run, or speaks to IPython stays out; helpers that follow do not."""
    more = (
        'get_ipython().run_line_magic("matplotlib", "inline")\n'
        "runner = NBRunner(NB, show_output=False)\nrun = runner.nbrun()\nprint(run.data.x)\nFACTOR = 1\n"
        "def helper(n):\n    return n * 3\n"
    )
    names = cells(
        "def get_ipython():\n    class Shell:\n        run_line_magic = print\n    return Shell()\n"
    )
    names = cells(CELL + more)
    assert names["run"].data.x == 3, "the last definition counts, as in a notebook"
    text = here.git("show", f"{store_of(here).get('NB', '1').commit}:code/NB_notebook.py")
    assert "FACTOR" not in text
    assert "matplotlib" not in text
    assert text.endswith('if __name__ == "__main__":\n    NB()')


@pytest.mark.usefixtures("here")
def test_base_classes_of_other_cells(cells: Any) -> None:
    """Cells of classes that a flow derives from are taken along, each once, in their order."""
    cells(CELL)
    made = cells("class Derived(NB):\n    beta = 2\n")["Derived"]
    run = NBRunner(made, show_output=False).nbrun(alpha=2)
    assert run.data is not None
    assert (run.pathspec, run.data.x, run.data.beta) == ("Derived/1", 4, 2)


def test_resume_with_a_mended_cell(here: GitRepo, cells: Any) -> None:
    """A failed run goes on with the cell as it is now, which lies under the same name."""
    broken = CELL.replace('print("x is", self.x)', 'raise ValueError("no luck")')
    with NBRunner(cells(broken)["NB"], show_output=False) as runner:
        failed = runner.run(alpha=3)
        assert failed.status == "failed"
    assert here.git("status", "--porcelain") == ""
    run = NBRunner(cells(CELL)["NB"], show_output=False).nbresume(origin_run_id=failed.run.id)
    assert run.successful
    assert run.data is not None
    assert run.data.x == 6
    assert "NB_notebook.py" in here.runs("diff", failed.run.id, run.id).out


def test_two_at_a_time_and_what_a_crash_has_left(here: GitRepo, cells: Any) -> None:
    """Each has a file of its own; a file that nobody uses is taken over, and no other is touched."""
    flow = cells(CELL)["NB"]
    here.write("NB_notebook.py", "# mine\n")
    here.write(
        "sub/NB_notebook.py",
        "# Written by NBRunner from a cell of a notebook, and removed by it.\nold",
    )

    async def main() -> None:
        runners = [NBRunner(flow, show_output=False) for _ in range(2)]
        running = [await runner.async_run(alpha=n) for n, runner in enumerate(runners)]
        for runner, one in zip(runners, running, strict=True):
            assert (await one.wait()).status == "successful"
            runner.cleanup()

    asyncio.run(main())
    NBRunner(flow, base_dir="sub", show_output=False).nbrun()
    left = sorted(path.name for path in here.path.rglob("NB_notebook*"))
    assert left == ["NB_notebook.py"]
    assert (here.path / "NB_notebook.py").read_text() == "# mine\n"


def test_a_file_that_is_removed_when_it_is_opened(
    here: GitRepo, cells: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another runner may end between the two calls that open and lock its file: a new one is made then."""
    take, file = nbrun._take, here.path / "NB_notebook.py"

    def taken(fd: int) -> bool:
        monkeypatch.setattr(nbrun, "_take", take)
        file.unlink()
        return take(fd)

    monkeypatch.setattr(nbrun, "_take", taken)
    runner = NBRunner(cells(CELL)["NB"], show_output=False)
    assert file.read_text().startswith("# Written by NBRunner")
    runner.cleanup()
    assert not file.exists()


def test_ends_of_lines_within_texts(cells: Any) -> None:
    """What starts the flow is taken out of the cell, and nothing else, whatever ends of lines a text holds."""
    cell = f"{CELL}\nTEXT = 'a\x0c\u2028b'\nrun = 3 if False else NBRunner\nLAST = 5\n\nclass Other: ...\n"
    source = nbrun.source_of(cells(cell)["NB"])
    assert "TEXT = 'a\x0c\u2028b'" in source
    assert "class Other: ..." in source
    assert "NBRunner\n" not in source.partition("class NB")[2]


def test_what_is_no_flow_of_a_notebook(here: GitRepo, cells: Any) -> None:
    """A class of a module, and one whose cell nobody knows any more."""

    class Elsewhere(FlowSpec):
        pass

    with pytest.raises(UsageError, match="Elsewhere is not defined in a cell"):
        NBRunner(Elsewhere)
    flow = cells(CELL)["NB"]
    kept = dict(linecache.cache)
    linecache.cache.clear()
    try:
        with pytest.raises(FlowError, match="can't be found"):
            NBRunner(flow)
    finally:
        linecache.cache.update(kept)
    assert here.git("status", "--porcelain") == ""
