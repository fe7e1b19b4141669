"""The code of each step as the step cache compares it: what a changed step changes, and what any other line does.

A step's own code is its function with all decorators. What the files of the flow have outside of its steps, helper
functions, constants and imports, belongs to every step. A step that another one calls like a function (`self.clean()`)
belongs to whoever calls it. Comments and line ends count: nothing is parsed here that the graph has not parsed.

Files that hold no step are no part of it: which of them a task has loaded is known once it has run.

Where a module's file was changed since the program began, nobody knows which text of it was imported.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.flow.graph import FlowGraph
from gitflowrun.runtime.ipc.messages import AROUND
from gitflowrun.runtime.worker.loaded_code import is_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitflowrun.flow import FlowSpec

_NEXT = re.compile(r"\bself\s*\.\s*next\s*\([^()]*(?:\([^()]*\)[^()]*)*\)")
_NAMED = re.compile(r"""(?<!\binputs)\.\s*(\w+)\b|["'](\w+)["']""")
_TICK = 0.01  # seconds in which Linux counts when processes began


def step_code(flow_cls: type[FlowSpec]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The code of each step and, under `AROUND`, what all steps have in common; and the files that it is from.

    Nothing where the program has no file, or one that it has loaded was changed since: nobody can tell then what it
    was made of.
    """
    graph = FlowGraph.of(flow_cls)
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    files = dict.fromkeys([program, *(node.source_file for node in graph)])
    texts = {file: linecache.getlines(file) for file in files if file}
    if None in files or not all(texts.values()) or _is_edited():
        return {}, ()
    places = {node.name: (node.source_file, *node.lines) for node in graph}
    own = {
        name: "".join(texts[file][first - 1 : last]) for name, (file, first, last) in places.items()
    }
    around = "\0".join(
        _outside(lines, [(first, last) for where, first, last in places.values() if where == file])
        for file, lines in texts.items()
    )
    found = {name: _with_called(name, own) for name in own}
    found[AROUND] = "\0".join([around, *(own[name] for name in _called(around, own))])
    code = {name: text.encode(errors="surrogatepass") for name, text in found.items()}
    return code, tuple(texts)


def _outside(lines: list[str], steps: Iterable[tuple[int, int]]) -> str:
    """The lines of a file that belong to none of its steps, without the empty ones beside steps."""
    within: set[int] = set()
    for first, last in steps:
        while first > 1 and not lines[first - 2].strip():
            first -= 1  # noqa: PLW2901
        while last < len(lines) and not lines[last].strip():
            last += 1  # noqa: PLW2901
        within.update(range(first, last + 1))
    return "".join(line for number, line in enumerate(lines, start=1) if number not in within)


def _with_called(name: str, own: Mapping[str, str]) -> str:
    """The code of a step, and of those that it calls."""
    found = {name: own[name]}
    waiting = [name]
    while waiting:
        for other in _called(found[waiting.pop()], own):
            if other not in found:
                found[other] = own[other]
                waiting.append(other)
    return "\0".join(found.values())


def _called(text: str, steps: Mapping[str, str]) -> list[str]:
    """The steps that code names otherwise than to go on with them: it may call them, or look at them."""
    names = {name for found in _NAMED.findall(_NEXT.sub("", text)) for name in found}
    return [name for name in steps if name in names]


def surroundings() -> tuple[str, ...]:
    """What a program runs with: flags of the interpreter, its directory, and where the user's modules are found."""
    try:
        directory = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        directory = ""
    places = (os.path.abspath(place) + "/" for place in sys.path)  # noqa: PTH100
    found = dict.fromkeys(
        place
        for place in places
        if not is_known(place) and os.path.exists(place)  # noqa: PTH110
    )
    return str(sys.flags), directory + "/", *found


def _is_edited() -> bool:
    """Whether a file of the user's code was changed since this program began."""
    began = _began()
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")  # no `getattr`: it may be lazy
        if isinstance(file, str) and not is_known(file):
            with suppress(OSError, ValueError):
                if os.stat(file).st_ctime > began:  # noqa: PTH116
                    return True
    return False


def _began() -> float:
    """When this process began, in seconds since 1970, or a little later: nothing of the user's was loaded then."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            ticks = int(file.read().rpartition(")")[2].split()[19])
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return boot + ticks / os.sysconf("SC_CLK_TCK") + 1.5 * _TICK
    except (OSError, ValueError, IndexError, AttributeError):
        return float("inf")
