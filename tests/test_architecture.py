"""The layout as docs/architecture.md draws it: layers, circles, folders, file names, libraries, printing."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "gitflowrun"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the bottom up. A module imports from its own part and from rows below it, never from a neighbour.
LAYERS = (
    "_version entry_point errors limits values",
    "printing failpoints unseen utilities",
    "names",
    "settings masking msgpack schema",
    "git.environment git.objects git.owner git.permissions",
    "git.pack",
    "git",
    "artifacts",
    "runs",
    "client version",
    "cards",
    "meta_files",
    "flow porcelain runner",
    "decorators",
    "runtime.ipc",
    "runtime.worker",
    "runtime.executors",
    "runtime.scheduler",
    "runtime.remote",
    "runtime.launch",
    "web",
    "cli",
    "cmd exception metaflow_version unbounded_foreach",
    "compat",
    "__main__",
)
# The facade ties the layers together; packages without code of their own belong to no layer.
FACADE = {"gitflowrun", "gitflowrun.runtime"}

LIBRARIES = {
    "pygit2": ("git/",),
    "msgpack": ("msgpack.py",),
    "blake3": ("artifacts/",),
    "click": ("cli/", "cmd/"),
}
# A name that occurs more than once stands for the same thing in another layer.
SAME_THING = {
    "base", "checkout", "commands", "compare", "diff", "doctor", "environment", "errors", "fsck", "hooks", "logs",
    "main", "maintenance", "registry", "removal", "repository", "rerun", "resume", "run", "spin", "sync", "tag", "task",
    "textconv", "trust", "verify",
}  # fmt: skip
# What the message for a value that can't be stored points to.
# Of pickles: what makes them canonical, what they leave out, and when two hold one value.
# Two for previews: what makes one runs in tasks alone, what reads one everywhere.
# Three for reading: parameters of many runs, what values differ in, and values as files.
# What git says of a work tree is read apart from what a snapshot does about it.
# Who may read and write what we make beside git's files is decided once.
# How the program of a flow was started, for hints, and which repository its file is in.
# Tasks need no more of git than to know what a hook has left in their environment.
# Help that breaks no words, for both command lines.
# What is known of a task while it runs, for whoever looks.
# How exceptions are rebuilt, and when two plain payloads are one value.
# Values that only loading tells apart are compared by a program of its own.
# A tree with some files changed is made of another tree, not of an index.
# What reading leaves in a value.
# The pictures of figures, which tasks draw in a fork.
# What of a ctypes value's memory is its own.
# Declarations of the commands of git runs, so that help loads nothing else.
# Which code tasks have loaded, and whether the snapshot has it.
# Values that refer to a repository belong to the one that they are loaded from.
# Where one object lies is read, up to a limit, apart from the directories in which it is looked for.
# What the user vouched for is a sealed file, and the key that seals it is read in one place.
# Secrets: what hides them in text, which names they have, what of them travels, is asked for and kept out of results.
# Whatever shows values writes them by one printer, which ends.
# Which untracked files look like secrets, by names and content, apart from how a snapshot is taken.
# Who signs a run, or checks who has, pays for that, and nobody else.
# The grammar of numpy headers, which are anybody's.
# git config, and which programs in it are not started, is read apart from how git is.
# What secrets look like is a table, apart from which objects of a push are searched for them.
# Whether runs are whole, apart from how objects are looked at once.
# Runs are removed by verbs, over the trash and over the space that objects take.
# What crashes leave is looked for, and mended, apart from what it is.
# Whether what a resumed run takes over is whole.
# Where tests let protocols fail is a leaf that all of them name.
# What of a text is not seen, terminals and notebooks ask alike.
# How a run has ended whose scheduler can't say it: only a launcher that has lost it pays for that.
# What a commit relies on and did not write.
# All that commands write goes through streams that write whole, whatever standard output is.
# Threads are started in one place, which goes on with fewer where there are no more.
# Locks of refs, which are read by those who move none, and signatures in a folder of their own.
MOST_FILES = 480
MOST_FILES_IN_A_FOLDER = 20
MOST_LINES = 700


@dataclass(frozen=True)
class Facts:
    """What one look at a module's syntax tells."""

    docstring: bool
    lines: int
    imported: tuple[str, ...]
    """Modules that it names: lazily, for types alone."""
    named: tuple[str, ...]
    """Modules of the package in its strings."""
    classes: tuple[str, ...]
    prints: tuple[int, ...]
    """The lines that call `print`."""


@functools.cache
def _facts(module: str) -> Facts:
    text = MODULES[module].read_text()
    tree = ast.parse(text)
    imported: list[str] = []
    named: list[str] = []
    classes: list[str] = []
    prints: list[int] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported += [alias.name for alias in names]
            case ast.ImportFrom(module=str(source), names=names, level=0):
                full = [f"{source}.{alias.name}" for alias in names]
                imported += [name if name in MODULES else source for name in full]
            case ast.Constant(value=str(string)):
                named += re.findall(r"\Agitflowrun(?:\.\w+)+\Z", string)
            case ast.ClassDef(name=name):
                classes.append(name)
            case ast.Call(func=ast.Name(id="print"), lineno=line):
                prints.append(line)
    return Facts(
        bool(ast.get_docstring(tree)), text.count("\n"),
        tuple(imported), tuple(named), tuple(classes), tuple(prints),
    )  # fmt: skip


def _imports(module: str) -> Iterator[str]:
    """The package's modules that a module names: lazily, for types alone, or in a string."""
    facts = _facts(module)
    names = (*facts.imported, *facts.named)
    yield from (name for name in names if name in MODULES and name != module)


@functools.cache
def _graph() -> dict[str, list[str]]:
    return {module: sorted(set(_imports(module))) for module in MODULES}


def _circles(graph: dict[str, list[str]]) -> list[set[str]]:
    """Strongly connected components of more than one module (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in graph[module]:
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(set(stack[at:]))
            del stack[at:]

    for module in graph:
        if module not in order:
            visit(module)
    return found


def _short(module: str) -> str:
    return module.removeprefix("gitflowrun.")


def _layer(module: str) -> tuple[int, str]:
    """The row of a module, and the part of it that the module belongs to: the longest name that fits."""
    fitting = [
        (len(part), row, part)
        for row, parts in enumerate(LAYERS)
        for part in parts.split()
        if _short(module) == part or _short(module).startswith(f"{part}.")
    ]
    assert fitting, f"{module} belongs to no layer"
    _, row, part = max(fitting)
    return row, part


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_point_downwards() -> None:
    """A module imports only from its own part and from rows below, lazy ones and names in strings included."""
    upward = set()
    for module in MODULES.keys() - FACADE:
        row, part = _layer(module)
        for other in set(_graph()[module]) - FACADE:
            other_row, other_part = _layer(other)
            if other_row > row or (other_row == row and other_part != part):
                upward.add((_short(module), _short(other)))
    assert upward == set()


def test_nothing_but_users_imports_the_facade() -> None:
    """The package's own modules import from where a thing is made."""
    assert [module for module in MODULES if "gitflowrun" in _graph()[module]] == []


def test_no_circles() -> None:
    """No file depends on itself, whatever the way."""
    circles = [{_short(module) for module in circle} for circle in _circles(_graph())]
    assert circles == []


def test_the_test_sees_circles() -> None:
    """A circle of two behind a chain is found, a diamond is none."""
    graph = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["e"], "e": ["d"]}
    assert _circles(graph) == [{"d", "e"}]


def test_folders_can_be_overlooked() -> None:
    """No folder holds more than 20 files, the package not more than 480."""
    folders = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert folders.total() <= MOST_FILES
    assert {_name(folder): n for folder, n in folders.items() if n > MOST_FILES_IN_A_FOLDER} == {}


def test_a_file_name_means_one_thing() -> None:
    """A name that occurs in several folders is that of the same thing in another layer."""
    names = Counter(path.stem for path in MODULES.values() if path.name != "__init__.py")
    assert {name for name, n in names.items() if n > 1} == SAME_THING


def test_a_class_name_means_one_thing() -> None:
    """No two classes of the package have one name, but for private ones, which no other file sees."""
    found = Counter(
        name for module in MODULES for name in _facts(module).classes if not name.startswith("_")
    )
    assert [name for name, n in found.items() if n > 1] == []


def test_each_library_has_its_place() -> None:
    """pygit2, msgpack, blake3 and click are imported only where they belong."""
    misplaced = []
    for module, path in MODULES.items():
        for name in _facts(module).imported:
            places = LIBRARIES.get(name.split(".")[0])
            if places is not None and not _name(path).startswith(places):
                misplaced.append((_name(path), name))
    assert misplaced == []


def test_files_introduce_themselves() -> None:
    """Each file says in its docstring what it is."""
    assert [_name(MODULES[module]) for module in MODULES if not _facts(module).docstring] == []


def test_files_can_be_read() -> None:
    """Each is of a size for that."""
    sizes = {_name(path): _facts(module).lines for module, path in MODULES.items()}
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES} == {}


def test_the_library_never_prints() -> None:
    """Only cli/, cmd/ and the program of the package talk to people."""
    talking = ("cli/", "cmd/", "__main__")
    silent = {
        module: path for module, path in MODULES.items() if not _name(path).startswith(talking)
    }
    assert [
        (_name(path), it) for module, path in silent.items() for it in _facts(module).prints
    ] == []


def test_modules_that_texts_name_exist() -> None:
    """As those that benchmarks and other programs import, which nothing else looks at."""
    root = PACKAGE.parent
    missing = []
    for path in sorted((root / "tests").rglob("*.py")):
        text = path.read_text()
        if "import gitflowrun" not in text:  # as in most, which need no parsing
            continue
        nodes = ast.walk(ast.parse(text))
        texts = [
            it.value for it in nodes if isinstance(it, ast.Constant) and isinstance(it.value, str)
        ]
        lines = re.findall(
            r"(?<![\w.])import (gitflowrun[\w.]*(?:, gitflowrun[\w.]*)*)", "\n".join(texts)
        )
        for name in {it.replace("VERB", "fetch") for line in lines for it in line.split(", ")}:
            place = root / name.rstrip(".").replace(".", "/")
            if not (place.is_dir() or place.with_suffix(".py").exists()):
                missing.append(f"{path}: {name}")
    assert missing == []
