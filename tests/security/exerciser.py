"""A program that does commands in processes forked from one that has imported everything, and looks at each.

Input: a JSON document with the commands and the directories to watch. Output: a JSON list of what each command did:
exit code, seconds of CPU, peak memory, and what it must not have done. Started with the flow's repository as the
current directory.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import pickle
import pty
import re
import runpy
import select
import shutil
import signal
import sys
import tempfile
import termios
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

PATIENCE = 60.0
"""Seconds after which a command is killed; how long it may work is counted in seconds of CPU."""
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_COMMANDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_CODES = {"runs": {0, 1, 128, 129}, "flow": {0, 1, 2}, "client": {0}}
_TAGS = {"table", "tr", "td", "th", "pre", "p", "b", "img"}
_READING = 1 << 20
_TOGETHER = 8
"""Commands that one process does, one after the other, unless something is wrong with them."""
_SUSPECT_CPU, _SUSPECT_MEMORY = 3.0, 125 << 20
"""What they take together, from which on it is looked which of them it is."""
_DEEPEST = 3
_OWN = "MyFlow/1"
_MOST_CHILDREN = 12
_OF_ONE_NAME = 2
"""Artifacts of one name that are looked at: most tasks inherit the same ones."""


@dataclass
class Command:
    """Something to be done.

    Attributes:
        kind: `runs`, `flow` or `client`.
        words: Its arguments.
        verb: What its costs are compared by.
        tty: Whether it talks to a terminal.
        label: Of which forgery.
    """

    kind: str
    words: list[str]
    verb: str
    tty: bool = False
    label: str = ""


@dataclass
class Done:
    """What a command did: `bad` is what it must not."""

    command: Command
    code: int
    cpu: float
    rss: int
    bad: list[str] = field(default_factory=list)
    output: str = ""


def main() -> None:
    """Do what standard input says."""
    job = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _import_everything()
    watched = [Path(it) for it in job["watched"]]
    state = dict(_files(watched))
    commands = sorted([Command(**row) for row in job["commands"]], key=_likeness)
    for _, alike in groupby(commands, key=_likeness):
        rows = list(alike)
        for start in range(0, len(rows), _TOGETHER):
            group = rows[start : start + _TOGETHER]
            done = _do(group)
            changed = _changes(state, state := dict(_files(watched)))
            if done.bad or changed or done.cpu > _SUSPECT_CPU or done.rss > _SUSPECT_MEMORY:
                for command in group:  # to know which of them it was
                    done = _do([command])
                    changed = changed or _changes(state, state := dict(_files(watched)))
                    done.bad += [f"wrote {changed[:4]}"] * bool(changed)
                    changed = []
                    _tell(answers, done)
            else:
                for command in group:
                    _tell(answers, Done(command, done.code, done.cpu / len(group), done.rss))


def _likeness(command: Command) -> tuple[str, bool]:
    return command.kind, command.tty


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted({path for path, _ in before.items() ^ after.items()})


def _tell(answers: TextIO, done: Done) -> None:
    answers.write(json.dumps(asdict(done)) + "\n")
    answers.flush()


def _import_everything() -> None:
    import importlib
    import pkgutil

    import numpy  # noqa: F401, ICN001  (readers import it when they need it)
    import pandas  # noqa: F401, ICN001
    import pygit2  # noqa: F401

    import gitflowrun.cli
    import gitflowrun.client
    import gitflowrun.porcelain

    for package in (gitflowrun.cli, gitflowrun.porcelain):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(
                ".wheel_pages"
            ):  # which builds wheels, and needs what does that
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _files(watched: Iterable[Path]) -> Iterator[tuple[str, tuple[int, int]]]:
    """All files below, and directly in, the watched directories, but those in git's."""
    for top in watched:
        for where, inner, files in os.walk(top):
            inner[:] = [name for name in inner if name != ".git"]
            for name in files:
                path = f"{where}/{name}"
                with suppress(OSError):
                    state = os.lstat(path)
                    yield path, (state.st_mtime_ns, state.st_size)


def _do(group: Sequence[Command]) -> Done:
    """Do commands that are alike, one after the other, in one process; what they cost together."""
    command = group[0]
    ours, theirs = pty.openpty() if command.tty else os.pipe()
    codes, tell = os.pipe()
    if command.tty:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x28\0\x78\0\0\0\0\0")
    child = os.fork()
    if not child:
        os.close(ours)
        _be(group, theirs, tell)
    os.close(theirs)
    os.close(tell)
    output = _read(ours, child)
    os.close(ours)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    with os.fdopen(codes) as told:
        returned = [int(word) for word in told.read().split()]
    cpu = usage.ru_utime + usage.ru_stime
    done = Done(command, returned[-1] if returned else -1, cpu, usage.ru_maxrss * 1024)
    done.output = output[-4000:].decode(errors="replace")
    done.bad += _faults(command, output)
    if len(returned) < len(group):
        done.bad.append(f"ended with {os.waitstatus_to_exitcode(status)}: {output[-500:]!r}")
    wrong = set(returned) - _CODES[command.kind]
    done.bad += [f"exit code {code}: {output[-500:]!r}" for code in wrong]
    return done


def _be(group: Sequence[Command], out: int, tell: int) -> None:
    """Be the commands, in a process of their own, and tell their exit codes."""
    os.setsid()
    if group[0].tty:
        fcntl.ioctl(out, termios.TIOCSCTTY, 0)
        os.dup2(out, 0)
    else:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    for command in group:
        for name, number in (("stdout", 1), ("stderr", 2)):
            raw = io.FileIO(number, "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(raw, encoding="utf-8", line_buffering=True))
        os.write(tell, b"%d " % _code_of(command))
    os._exit(0)


def _code_of(command: Command) -> int:
    code = 99
    try:
        code = _KINDS[command.kind](command.words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # noqa: BLE001  (what escapes is what we look for)
        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
    return code


def _read(ours: int, child: int) -> bytes:
    """All output of a command, at most a few megabytes of which are kept."""
    kept, deadline = bytearray(), time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([ours], [], [], left)[0]:
            break
        try:
            piece = os.read(ours, _READING)
        except OSError:  # a terminal whose last user has gone
            return bytes(kept)
        if not piece:
            return bytes(kept)
        if len(kept) < 8 * _READING:
            kept += piece
    os.killpg(child, signal.SIGKILL)
    return bytes(kept) + b"\nTraceback: killed, it went on for too long"


def _faults(command: Command, output: bytes) -> Iterator[str]:
    if b"Traceback" in output:
        where = output.index(b"Traceback")
        yield f"traceback: ...{output[where:][-900:].decode(errors='replace')}"
    if command.tty:
        try:
            shown = _COLOUR.sub(b"", output).decode()
        except UnicodeDecodeError as error:
            yield f"bytes that are no text on a terminal: {output[max(error.start - 30, 0) : error.start + 30]!r}"
            return
        if found := _COMMANDING.search(shown.replace("\r\n", "\n")):
            yield f"commands the terminal: {shown[max(found.start() - 60, 0) : found.start() + 40]!a}"


# ---- The kinds of commands ----


def _runs(words: list[str]) -> int:
    from gitflowrun.cli.git_runs.main import main as git_runs

    return git_runs(words)


def _flow(words: list[str]) -> int:
    sys.argv = ["flow.py", *words]
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_path("flow.py", run_name="__main__")
    return 0


def _client(words: list[str]) -> int:
    """Everything that the client says of a run, of its parts, and of lists that it is in."""
    scratch = tempfile.mkdtemp()  # archives of code are meant to be written
    tempfile.tempdir = scratch
    try:
        return _read_all(words[0])
    finally:
        shutil.rmtree(scratch)


def _read_all(address: str) -> int:
    from gitflowrun.client import Flow, Run, namespace
    from gitflowrun.errors import GitflowrunError

    namespace(None)
    seen: list[str] = []
    try:
        run = Run(address)
    except GitflowrunError:
        return 0
    flow = Flow(run.pathspec.partition("/")[0])
    _look(run, seen, Counter(), depth=0)
    seen += filter(None, [_tried(flow._repr_html_)])
    _tried(lambda: repr(list(flow.runs())))
    bad = [it for text in seen if (it := _bad_markup(text))]
    for text in bad[:3]:
        sys.stdout.write(f"Traceback: markup {text!a}\n")
    return 0


def _look(thing: Any, seen: list[str], known: Counter[str], depth: int) -> None:
    """Ask an object of the client for everything that it has, and its children."""
    for name in _properties(thing):
        found = _tried(partial(getattr, thing, name))
        _tried(partial(repr, found))
        if name == "code" and found is not None and depth == 0:  # tasks have the same
            _look_at_code(found)
    for method in ("_repr_html_", "to_pandas", "is_in_namespace"):
        if hasattr(thing, method):
            found = _tried(getattr(thing, method))
            if method == "_repr_html_" and isinstance(found, str):
                seen.append(found)
    if hasattr(thing, "loglines"):
        _tried(lambda: sum(1 for _ in thing.loglines("stdout")))
        _look_at_cards(thing)
    _tried(lambda: repr(pickle.loads(pickle.dumps(thing))))
    if depth < _DEEPEST:
        for child in (*_attempts(thing), *_children(thing)):
            known[child.id] += depth == _DEEPEST - 1
            if known[child.id] <= _OF_ONE_NAME:
                _look(child, seen, known, depth + (type(child) is not type(thing)))


def _attempts(thing: Any) -> list[Any]:
    """A task as its first two attempts have left it."""
    if not hasattr(type(thing), "current_attempt") or "attempt=" in repr(thing):
        return []
    made = [_tried(partial(thing.__class__, thing.pathspec, attempt=it)) for it in range(2)]
    return [it for it in made if it is not None]


def _children(thing: Any) -> Iterator[Any]:
    children = _tried(lambda: iter(thing)) or iter(())
    for _ in range(_MOST_CHILDREN):
        child = _tried(partial(next, children, None))
        if child is None:
            return
        yield child


def _properties(thing: Any) -> list[str]:
    kind = type(thing)
    return [it for it in dir(kind) if it[0] != "_" and not callable(getattr(kind, it, None))]


def _look_at_cards(task: Any) -> None:
    """Ask the cards of a task for all that they have; whether nothing in a page runs, browsers' tests say."""
    from gitflowrun.cards import get_cards

    found = _tried(lambda: list(get_cards(task))) or []
    for card in found[:3]:
        for part in ("type", "id", "hash", "path", "from_resumed"):
            _tried(partial(getattr, card, part))
        for method in ("get", "get_data", "_repr_html_", "__repr__"):
            _tried(getattr(card, method))


def _look_at_code(code: Any) -> None:
    from gitflowrun.client import Run

    for name in _properties(code):
        _tried(lambda name=name: repr(getattr(code, name)))  # type: ignore[misc]
    _tried(lambda: code.extract().cleanup())
    _tried(lambda: repr(code.diff(Run(_OWN).code)))


def _tried(what: Callable[[], Any]) -> Any:
    """What `what` gives; None when it says that it can't, in the words of the client's own errors."""
    from gitflowrun.errors import GitflowrunError

    try:
        return what()
    except (GitflowrunError, StopIteration):
        return None
    except BaseException as error:  # noqa: BLE001  (polars' panics are no Exceptions)
        allowed = isinstance(error, KeyError | AttributeError) and type(
            error
        ).__module__.startswith("gitflowrun")
        if not allowed:
            traceback.print_exc()
        return None


class _Markup(HTMLParser):
    """Collects elements and attributes that we never write."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        names = [name for name, _ in attrs]
        source = dict(attrs).get("src") or ""
        is_picture = (
            tag == "img" and names == ["src"] and source.startswith("data:image/png;base64,")
        )
        if tag not in _TAGS or (attrs and not is_picture):
            self.bad.append(f"<{tag} {attrs}>"[:200])


def _bad_markup(text: str) -> str:
    parser = _Markup()
    parser.feed(text)
    parser.close()
    if parser.bad:
        return parser.bad[0]
    found = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    return f"control {text[max(found.start() - 40, 0) : found.start() + 10]}" if found else ""


_KINDS = {"runs": _runs, "flow": _flow, "client": _client}

if __name__ == "__main__":
    main()
