"""Draws small faults by seed, puts each into a copy of the package, and tells whether the tests that guard it fail.

    python tests/mutants.py --seed 7 --count 150 --workers 2
    python tests/mutants.py --count 20 gitflowrun/runs/ids.py gitflowrun/git/pack

A mutant is one place of a module changed: a comparison, `and`, `or` and `not`, a number; an option, a call, a `raise`,
a `with` or an argument left out; another result, an error that is not caught. What guards a module stands in
`guards.toml` beside this file: its mirror (`tests/runs/test_ids.py` guards `runs/ids.py`) and what is listed there;
only that is run, so a mutant costs seconds. A test that takes longer than `--hang` fails: on a busy machine that has to
be more than the slowest of them needs. A mutant whose tests merely take longer than `--limit` is *slow*: nothing is
known of it. Survivors are printed with their diffs: each is *equivalent* (nobody could tell), *harmless* (speed, or the
wording of a message), or a hole in the tests.

Each worker has a copy of its own in memory, with an environment whose path leads there, and ends all that a mutant
has started. Signals that are sent are left alone: a mutant may not hit somebody else's process.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
GUARDS = ROOT / "tests" / "guards.toml"

_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis")
_OPERATORS = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">",
    "is": "is not", "is not": "is", "in": "not in", "not in": "in",
}  # fmt: skip
_SLOW = "all together take too long"
_WORDS = {"hint", "encoding", "errors", "strict", "daemon", "name"}
"""Arguments whose loss is a matter of wording, or seen by nobody."""


@dataclass(frozen=True)
class Mutant:
    """One fault: a piece of a module's text and what takes its place.

    Attributes:
        module: Path below the repository.
        function: The function it is in, with its classes.
        kind: What was done.
        line: Where, from 1; it may move while the module changes.
        old: The text that is replaced.
        new: What replaces it.
        nth: How many equal ones stand before it in the function.
    """

    module: str
    function: str
    kind: str
    line: int
    old: str
    new: str
    nth: int = 0

    @property
    def place(self) -> tuple[object, ...]:
        """What finds it again when other lines have changed."""
        return self.module, self.function, self.kind, self.old, self.new, self.nth


class _Finder(ast.NodeVisitor):
    """Collects the mutants of a module, with the byte at which each begins."""

    def __init__(self, module: str, source: bytes) -> None:
        self.found: list[tuple[int, Mutant]] = []
        self._module = module
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._scope: list[str] = []
        self._seen: dict[tuple[object, ...], int] = {}

    def _span(self, node: Any) -> tuple[int, int]:
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _add(self, kind: str, start: int, end: int, new: str) -> None:
        old = self._source[start:end].decode()
        line = self._source.count(b"\n", 0, start) + 1
        mutant = Mutant(self._module, ".".join(self._scope), kind, line, old, new)
        nth = self._seen[mutant.place] = self._seen.get(mutant.place, -1) + 1
        self.found.append((start, Mutant(**{**asdict(mutant), "nth": nth})))

    def _replace(self, kind: str, node: ast.AST, new: str) -> None:
        self._add(kind, *self._span(node), new)

    def _between(self, kind: str, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        start, end = self._span(left)[1], self._span(right)[0]
        gap = self._source[start:end].decode()
        if gap.count(old) == 1:
            self._add(kind, start, end, gap.replace(old, new))

    def _visit_scope(self, node: Any) -> None:
        self._scope.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._scope.pop()

    visit_FunctionDef = visit_ClassDef = _visit_scope  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        """Nothing of what only a type checker sees; else the other way round."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)):
            self._replace("negate", node.test, f"not {self._text(node.test)}")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Each operator becomes its neighbour."""
        sides = [node.left, *node.comparators]
        for left, right in pairwise(sides):
            start, end = self._span(left)[1], self._span(right)[0]
            operator = self._source[start:end].decode().strip("() \n")
            if operator in _OPERATORS:
                self._between("compare", left, right, operator, _OPERATORS[operator])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`and` becomes `or`, and the other way round."""
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            self._between("and/or", left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """`not` is left out."""
        if isinstance(node.op, ast.Not):
            self._replace("not", node, f"bool({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number becomes the next one, an option another, true false."""
        if isinstance(node.value, bool):
            self._replace("constant", node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace("constant", node, str(node.value + 1))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Words are left as they are."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call whose result nobody takes is left out."""
        if isinstance(node.value, ast.Call):
            self._replace("drop call", node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """An error is not raised; its words are left as they are."""
        self._replace("drop raise", node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        """Nothing is returned, or the other of two."""
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._replace("return", node.value, "None")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """An error that is dealt with goes on."""
        first, last = node.body[0], node.body[-1]
        if not (len(node.body) == 1 and isinstance(first, ast.Raise)):
            self._add("except", self._span(first)[0], self._span(last)[1], "raise")
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        """A context whose result nobody takes, a lock as a rule, is not entered."""
        if len(node.items) == 1 and node.items[0].optional_vars is None:
            start = self._span(node)[0]
            self._add("with", start, self._span(node.items[0].context_expr)[1], "if True")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """An option or an argument is left out."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"kill", "killpg", "signal"}:
            return
        pieces = [*node.args, *node.keywords]
        self._options(node.args)
        for before, piece in pairwise(pieces):
            if isinstance(piece, ast.keyword) and piece.arg and piece.arg not in _WORDS:
                self._add("argument", self._span(before)[1], self._span(piece)[1], "")
        self.generic_visit(node)

    def _options(self, items: Sequence[ast.expr]) -> None:
        for item in items:
            if isinstance(item, ast.Constant) and str(item.value).startswith(("-", "core.")):
                self._replace("option", item, "*()")

    def _visit_items(self, node: Any) -> None:
        self._options(node.elts)
        self.generic_visit(node)

    visit_Tuple = visit_List = _visit_items  # noqa: N815


def mutants_of(module: str, source: bytes) -> list[tuple[int, Mutant]]:
    """All mutants of a module, each with the byte at which it begins; a few may be no Python.

    Args:
        module: Path below the repository.
        source: Its text.
    """
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    return finder.found


def _mutated(source: bytes, start: int, mutant: Mutant) -> bytes:
    return source[:start] + mutant.new.encode() + source[start + len(mutant.old.encode()) :]


def _is_python(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def apply(mutant: Mutant, source: bytes) -> bytes | None:
    """A module's text with a mutant in it; None when its place is gone."""
    for start, found in mutants_of(mutant.module, source):
        if found.place == mutant.place:
            return _mutated(source, start, mutant)
    return None


def modules_in(paths: Sequence[str]) -> list[str]:
    """The modules at or below some paths, which are below the repository."""
    found: set[Path] = set()
    for path in paths:
        place = ROOT / path
        found |= {place} if place.is_file() else {*place.rglob("*.py")}
    return sorted(str(it.relative_to(ROOT)) for it in found if it.name != "__init__.py")


def guards_of(module: str) -> list[str]:
    """The test files that guard a module, its mirror first."""
    path = Path(module).relative_to("gitflowrun")
    place = ROOT / "tests" / path.parent
    mirror = [place / f"test_{path.name}", *sorted((place / path.stem).glob("test_*.py"))]
    table: dict[str, list[str]] = tomllib.loads(GUARDS.read_text("utf-8"))["guards"]
    listed = [f"tests/{it}" for it in table.get(str(path), [])]
    return list(dict.fromkeys([str(it.relative_to(ROOT)) for it in mirror if it.exists()] + listed))


class Worker:
    """A copy of the repository in memory, with an environment that imports the package from there.

    Args:
        folder: Where; it must not exist.
        limit: Seconds a mutant may take.
        hang: Seconds a test may take.
    """

    def __init__(self, folder: Path, limit: float, hang: float = 45) -> None:
        self._copy = folder / "repository"
        self._scratch = folder / "scratch"
        self._limit = limit
        self._hang = hang
        self._stamp = 1_000_000_000
        shutil.copytree(ROOT, self._copy, ignore=_LEFT_OUT, symlinks=True)
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self._python = venv / "bin" / "python"
        ours, theirs = sysconfig.get_path("purelib"), sysconfig.get_path("scripts")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        place = venv / "lib" / version / "site-packages" / "mutants.pth"
        place.write_text(f"{self._copy}\n{ours}\n", "utf-8")
        program = Path(theirs, "git-runs")
        if program.exists():
            rest = program.read_text("utf-8").partition("\n")[2]
            copy = venv / "bin" / program.name
            copy.write_text(f"#!{self._python}\n{rest}", "utf-8")
            copy.chmod(0o755)

    def fate(self, mutant: Mutant, tests: Sequence[str]) -> tuple[str, str]:
        """What becomes of a mutant, and by what.

        Returns:
            `killed` and by which test; `slow` when its tests took too long together; `survived`; `gone`, where its
            place is no more; or `unguarded`, where the copy has none of its tests.
        """
        # pytest fails at a file that was not there yet when the copy was made, and no mutant is killed by that.
        tests = [it for it in tests if (self._copy / it).exists()]
        if not tests:
            return "unguarded", ""
        path = self._copy / mutant.module
        source = path.read_bytes()
        text = apply(mutant, source)
        if text is None:
            return "gone", ""
        try:
            self._write(path, text)
            failed = self.failures(tests, "-x", limit=self._limit)
            if not failed:
                return "survived", ""
            return ("slow" if failed == [_SLOW] else "killed"), failed[0]
        finally:
            self._write(path, source)

    def _write(self, path: Path, text: bytes) -> None:
        # A time of its own, or bytecode of the last mutant, which may be as long, would be taken for this one's.
        self._stamp += 10
        path.write_bytes(text)
        os.utime(path, (self._stamp, self._stamp))

    def failures(self, tests: Sequence[str], *options: str, limit: float | None) -> list[str]:
        """The tests that fail; one named otherwise when one hangs, they take too long together, or pytest fails."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        pytest = [str(self._python), "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"]
        hang = [f"faulthandler_timeout={self._hang}", "faulthandler_exit_on_timeout=true"]
        options = (*options, *(word for it in hang for word in ("-o", it)))
        process = subprocess.Popen(
            [*_apart(), *pytest, *options, f"--basetemp={self._scratch / 'tests'}", *tests],
            cwd=self._copy,
            env={**os.environ, "TMPDIR": str(self._scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return [_SLOW]
        lines = [it.split(" - ")[0] for it in out.splitlines()]
        failed = [
            it.split(" ", 1)[1].strip() for it in lines if it.startswith(("FAILED ", "ERROR "))
        ]
        if not failed and process.returncode:
            return ["a test hangs" if "Timeout (" in out else "pytest fails"]
        return failed


def _apart() -> list[str]:
    """What keeps the processes of tests among themselves, and ends them all with the first, where that is allowed."""
    # A shell is the first: whose parent is process 1 is taken for an orphan.
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *shell]
    with contextlib.suppress(OSError):
        if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            return command
    return []


def run(
    mutants: Sequence[Mutant],
    workers: Sequence[Worker],
    report: Callable[[Mutant, str, str, float], None],
) -> None:
    """Try all mutants, each by one of the workers.

    Args:
        mutants: The mutants.
        workers: The workers.
        report: Gets each with what became of it, or "unguarded", by which test, and the seconds it took.
    """
    left: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        left.put(mutant)
    lock = threading.Lock()

    def work(worker: Worker) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                mutant = left.get_nowait()
                start = time.monotonic()
                word, test = worker.fate(mutant, guards_of(mutant.module))
                with lock:
                    report(mutant, word, test, time.monotonic() - start)

    threads = [threading.Thread(target=work, args=(it,)) for it in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def difference(mutant: Mutant) -> Iterator[str]:
    """The lines in which a mutant differs from its module."""
    source = (ROOT / mutant.module).read_bytes()
    before = source.decode().splitlines()
    after = (apply(mutant, source) or b"").decode().splitlines()
    lines = difflib.unified_diff(before, after, lineterm="", n=1)
    return (it for it in lines if not it.startswith(("---", "+++")))


def draw(paths: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Some of all mutants of the modules at some paths, chosen by a seed."""
    sources = {path: (ROOT / path).read_bytes() for path in modules_in(paths)}
    found = [it for path, source in sources.items() for it in mutants_of(path, source)]
    random.Random(seed).shuffle(found)
    drawn = (
        mutant
        for start, mutant in found
        if _is_python(_mutated(sources[mutant.module], start, mutant))
    )
    return list(islice(drawn, count))


def main() -> int:
    """Run as a program; 1 when a mutant survives, 2 when a guard fails without one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    promises: list[str] = tomllib.loads(GUARDS.read_text("utf-8"))["promises"]
    parser.add_argument("paths", nargs="*", default=promises, help="default: where promises are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50, help="how many mutants are drawn")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=float, default=180, help="seconds for one mutant")
    parser.add_argument("--hang", type=float, default=45, help="seconds after which a test hangs")
    parser.add_argument(
        "--results",
        type=Path,
        help="a file that gets a JSON line for each; what it has is not tried",
    )
    parser.add_argument("--again", type=Path, help="such a file, whose survivors are tried again")
    parser.add_argument("--checked", action="store_true", help="the guards are known to pass")
    options = parser.parse_args()
    if options.again:
        rows = [json.loads(line) for line in options.again.read_text("utf-8").splitlines()]
        mutants = [Mutant(**row["mutant"]) for row in rows if row["word"] != "killed"]
    else:
        mutants = draw(options.paths, options.count, options.seed)
    if options.results and options.results.exists():
        rows = [json.loads(line) for line in options.results.read_text("utf-8").splitlines()]
        done = {Mutant(**row["mutant"]) for row in rows}
        mutants = [it for it in mutants if it not in done]
    words: list[str] = []

    def report(mutant: Mutant, word: str, test: str, seconds: float) -> None:
        words.append(word)
        place = f"{mutant.module}:{mutant.line}"
        print(
            f"{len(words):4} {word:9} {seconds:5.1f} s  {mutant.kind:10} {place}  {test}",
            flush=True,
        )
        if word != "killed":
            print(*difference(mutant), sep="\n", flush=True)
        if options.results:
            with options.results.open("a", encoding="utf-8") as file:
                row = {"word": word, "by": test, "mutant": asdict(mutant)}
                print(json.dumps(row), file=file)

    shared = Path("/dev/shm")
    memory = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=memory) as folder:
        workers = [
            Worker(Path(folder, str(n)), options.limit, options.hang)
            for n in range(options.workers)
        ]
        guards = sorted({test for it in mutants for test in guards_of(it.module)})
        if not options.checked and guards and (failed := workers[0].failures(guards, limit=None)):
            print("these fail without a mutant:", *failed, sep="\n  ")
            return 2
        run(mutants, workers, report)
    killed = words.count("killed")
    print(f"{killed} of {len(mutants)} killed")
    return killed != len(mutants)


if __name__ == "__main__":
    sys.exit(main())
