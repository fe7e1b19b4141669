"""Forged runs by the thousand: every part of a real run replaced by everything that it must not be.

`variants` goes through the parts one by one, in an order that is always the same: fields of records and of what is
packed within them, trailers, names and modes of tree entries, refs, tags, shapes of histories, payloads and bytes.
Fields are found by walking through a real run's records, so that a new one is forged without being named here.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from blake3 import blake3

from tests.security import shapes
from tests.security.card_variants import cards
from tests.security.hostile import (
    TITLE,
    canary_pickle,
    pack,
    paths,
    sequences,
    texts,
    unpack,
    values,
)
from tests.security.parts import (
    DIRECTORY,
    FILE,
    GITLINK,
    LINK,
    Change,
    Content,
    ObjectWriter,
    RunParts,
    Variant,
    set_part,
)
from tests.security.ref_variants import histories, refs, tags

FieldPath = tuple[Any, ...]
_TASK = (b"start", b"1")


def variants(parts: RunParts, canaries: str) -> list[Variant]:
    """All variants of a run, those of different parts by turns: any first thousand has some of each part."""
    tasks = [
        (f"{_text(step)}/TASK", _record(step, task)) for step, task in _one_of_each_step(parts)
    ]
    info = list(_fields([("INFO", lambda it: it.info)], parts, canaries))
    task = list(_fields(tasks, parts, canaries))
    fields = [info[::2], info[1::2], task[::3], task[1::3], task[2::3]]
    others = [
        _whole_records(parts, canaries), _times(parts, canaries), _messages(canaries), _entries(parts, canaries),
        _attempts(parts, canaries), _not_kept(canaries), _given(canaries), _reuse(canaries), _code(canaries),
        refs(parts, canaries), cards(canaries), tags(), histories(), _payloads(parts, canaries), _flips(parts),
        _shapes(parts),
    ]  # fmt: skip
    families = [*fields, *[_spread(list(family)) for family in others]]
    turns = itertools.zip_longest(*families)
    return [variant for turn in turns for variant in turn if variant is not None]


def _spread(family: list[Variant]) -> list[Variant]:
    """A family in an order whose beginning has something of everything."""
    random.Random(len(family)).shuffle(family)
    return family


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _one_of_each_step(parts: RunParts) -> Iterable[tuple[bytes, bytes]]:
    return {step: (step, task) for step, task in sorted(parts.records, reverse=True)}.values()


def _record(step: bytes, task: bytes) -> Callable[[RunParts], Any]:
    return lambda parts: parts.records[step, task]


# ---- Fields of records ----

_OPEN_MAPS = frozenset(
    {"artifacts", "packages", "variables", "lock_files", "parameters", "configs", "steps", "facts"}
)


def _fields(
    records: Iterable[tuple[str, Callable[[RunParts], Any]]], parts: RunParts, canaries: str
) -> Iterator[Variant]:
    """Each field by each value; gone; and under another name. Each round has every field once.

    Fields that are alike, of several artifacts, packages or tasks, are one.
    """
    rows, names = values(canaries), list(texts(canaries))
    known: set[FieldPath] = set()
    fields = [
        (name, record, path)
        for name, record in records
        for path in _walk(record(parts))
        if _is_new(path, known)
    ]
    for turn, (index, (name, record, path)) in itertools.product(
        range(len(rows)), enumerate(fields)
    ):
        where = f"{name}:{'/'.join(map(str, path))}"
        what, value = rows[(turn * 5 + index * 7) % len(rows)]
        yield Variant(f"{where} = {what}", _setter(record, path, value))
        if turn % 8 == 7 and isinstance(path[-1], str):
            text = names[(turn + index) % len(names)]
            yield Variant(f"{where} named {text[:24]!a}", _renamer(record, path, text))
        if turn == 1:
            yield Variant(f"{where} gone", _setter(record, path, _GONE))


def _is_new(path: FieldPath, known: set[FieldPath]) -> bool:
    kind = tuple(
        [
            "*" if before in _OPEN_MAPS else key
            for before, key in zip((None, *path), path, strict=False)
        ]
    )
    is_new = kind not in known
    known.add(kind)
    return is_new


_GONE = object()


def _walk(value: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """The paths of all fields, of lists those of the first item."""
    if path:
        yield path
    inner = _inner(value)
    if isinstance(inner, dict):
        for key in inner:
            yield from _walk(inner[key], (*path, key))
    elif isinstance(inner, list) and inner:
        yield from _walk(inner[0], (*path, 0))


def _inner(value: Any) -> Any:
    """What a value holds: of bytes that are msgpack of a container, that."""
    if not isinstance(value, bytes) or len(value) < 4:
        return value
    try:
        found = unpack(value)
    except Exception:  # noqa: BLE001  (msgpack raises what it likes)
        return value
    return found if isinstance(found, dict | list) else value


def _replaced(value: Any, path: FieldPath, change: Callable[[Any, Any], None]) -> Any:
    """`value` with `change` made to the container of the last key of `path`."""
    inner = _inner(value)
    if len(path) == 1:
        change(inner, path[0])
    else:
        inner[path[0]] = _replaced(inner[path[0]], path[1:], change)
    return pack(inner) if isinstance(value, bytes) else inner


def _setter(record: Callable[[RunParts], Any], path: FieldPath, value: Any) -> Change:
    def change(container: Any, key: Any) -> None:
        if value is _GONE:
            del container[key]
        else:
            container[key] = value

    return lambda parts: _discard(_replaced(record(parts), path, change))


def _renamer(record: Callable[[RunParts], Any], path: FieldPath, name: str) -> Change:
    def change(container: Any, key: Any) -> None:
        container[name] = container.pop(key)

    return lambda parts: _discard(_replaced(record(parts), path, change))


def _discard(_value: Any) -> None:
    """Records are maps, which are changed where they are."""


def _shapes(parts: RunParts) -> Iterator[Variant]:
    """Loops of very many rounds, gangs of very many nodes, and switches with very many cases, which nobody has run."""
    at = {step: (step, task) for step, task in sorted(parts.records)}
    nodes = [(step, task) for step, task in parts.records if step == b"node"]
    for number in (0, 10**6, 2**31, 2**63 - 1):
        for name, step, path in (
            ("iteration", b"loop", ("iterations",)),
            ("nodes", b"node", ("foreach", 0, 2)),
            ("node", b"node", ("foreach", 0, 3)),
            ("gang", b"fan", ("transition", "num_splits")),
        ):
            value: Any = [number] * 1000 if name == "iteration" else number
            yield Variant(f"{name} {number}", _setter(_record(*at[step]), path, value))
        yield Variant(f"gang of {number}", _graph_setter(("fan", "num_parallel"), number))
    for node in nodes:
        variable = _setter(_record(*node), ("foreach", 0, 1), "items")
        yield Variant("a gang's node in a foreach", variable)
    gang = _setter(_record(*at[b"work"]), ("foreach", 0, 1), "_parallel_ubf_iter")
    yield Variant("a foreach's task in a gang", gang)
    cases = {f"case {number}": "loop" for number in range(20_000)}
    for name, field, value in (
        ("cases", "switch_cases", cases), ("cases of all kinds", "switch_cases", {"a": None, "b": ["loop"]}),
        ("no cases", "switch_cases", []), ("steps after a switch", "next", ["loop", "fan"] * 10_000),
        ("condition", "condition", {"a": 1}),
    ):  # fmt: skip
        yield Variant(f"{name} of a switch", _graph_setter(("loop", field), value))
    yield Variant("all steps repeat themselves", _loops_everywhere)


def _graph_setter(path: FieldPath, value: Any) -> Change:
    """Change a step in the graph that INFO has."""
    return _setter(lambda parts: parts.info, ("graph", "steps", *path), value)


def _loops_everywhere(parts: RunParts) -> None:
    graph = parts.info["graph"]
    for name, row in graph["steps"].items():
        row["type"], row["next"] = "split-switch", [name, *graph["steps"]]


def _whole_records(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """Something else in place of a record."""
    for name in ("INFO", *[f"{_text(step)}/TASK" for step, _ in _one_of_each_step(parts)]):
        for what, value in values(canaries):
            yield Variant(f"{name} = {what}", _whole(name, value))


def _whole(name: str, value: Any) -> Change:
    def change(parts: RunParts) -> None:
        if name == "INFO":
            parts.info = value
        else:
            step = name.partition("/")[0].encode()
            (key,) = [key for key in parts.records if key[0] == step][:1]
            parts.records[key] = value

    return change


def _times(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """The times of lines, and the output that they are of."""
    (path,) = [it for it in parts.files if it[-1] == b"times"][:1]
    honest = unpack(_bytes(parts.files[path][1]))
    for key, (what, value) in itertools.product(honest, values(canaries)):
        yield Variant(f"times:{key} = {what}", _file(path, pack({**honest, key: value})))
    for deltas in (b"\xff" * 80, bytes(8 * 250_000), b"\x7f" + b"\xff" * 7, b"\0" * 7):
        yield Variant(
            f"times of {len(deltas)} bytes", _file(path, pack({**honest, "stdout": deltas}))
        )
    for stream in (b"stdout", b"stderr"):
        for text in [*texts(canaries), "x" * (8 << 20), "\n" * (1 << 20), TITLE * 200_000]:
            data = text.encode(errors="surrogateescape")
            yield Variant(f"{_text(stream)} {text[:24]!a}", _file((b"steps", *_TASK, stream), data))


def _bytes(content: Content) -> bytes:
    assert isinstance(content, bytes)
    return content


def _file(path: tuple[bytes, ...], content: Content, mode: bytes = FILE) -> Change:
    return lambda parts: parts.files.__setitem__(path, (mode, content))


# ---- Messages ----

_TRAILERS = (
    b"Run", b"Uid", b"Status", b"Tasks", b"Started", b"Finished", b"Failed-Step", b"Code-Commit", b"Origin", b"User",
    b"Mac", b"Signed", b"Trust",
)  # fmt: skip


def _messages(canaries: str) -> Iterator[Variant]:
    """Trailers, subjects, authors and dates."""
    given = [it.encode(errors="surrogateescape") for it in texts(canaries)]
    given += [b"9" * 5_000, b"-1", b"1e300", b"0x10", b"9999-12-31T23:59:59.999Z", b"0001-01-01T00:00:00Z",
              b"2026-02-30T00:00:00Z", b"2026-11-28T00:00:00+99:99", b"done", b"dead", b"running", b"failed",
              b"0" * 40, b"f" * 40 + b"+dirty", b"resume MyFlow/1 " + b"0" * 40, b"A" * (1 << 20),
              b"MyFlow/1"]  # fmt: skip
    for name, data in itertools.product(_TRAILERS, given):
        label = f"{_text(name)}: {data[:24]!r}"
        yield Variant(label, _trailer(name, data))
    for data in given:
        yield Variant(f"subject {data[:24]!r}", set_part("subject", data))
        yield Variant(
            f"author {data[:24]!r}",
            set_part("who", data + b" <" + data + b"> 1795826217 +0000"),
        )
    for when in (
        b"-1 +0000",
        b"9" * 20 + b" +0000",
        b"1 +9999",
        b"x",
        b"",
        b"18446744073709551615 -9959",
    ):
        yield Variant(f"dated {when!r}", set_part("who", b"M <m@x> " + when))
    for name in _TRAILERS[:6]:
        yield Variant(f"no {_text(name)}", partial(_drop, name=name))


def _trailer(name: bytes, data: bytes) -> Change:
    def change(parts: RunParts) -> None:
        _drop(parts, name)
        parts.trailers.append((name, data))

    return change


def _drop(parts: RunParts, name: bytes) -> None:
    parts.trailers = [row for row in parts.trailers if row[0] != name]


# ---- Trees ----

_MODES = (
    LINK,
    GITLINK,
    DIRECTORY,
    b"100755",
    b"100664",
    b"0",
    b"777777777777",
    b"060000",
    b"140000",
)


_PLACES: tuple[tuple[bytes, ...], ...] = (
    (), (b"data",), (b"steps",), (b"steps", b"start"), (b"steps", *_TASK), (b"steps", *_TASK, b"blake3"),
    (b"steps", *_TASK, b"pictures"), (b"steps", *_TASK, b"attempts"), (b"steps", *_TASK, b"attempts", b"0"),
)  # fmt: skip


def _entries(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """Entries of a run's tree under other names, of other modes, gone, or more of them."""
    for path in parts.files:
        if path[0] == b"code":
            continue
        where = _text(b"/".join(path))
        for mode in _MODES:
            yield Variant(f"{where} of mode {_text(mode)}", _mode(path, mode, canaries))
        yield Variant(f"no {where}", partial(_remove, path=path))
    for text in _names(canaries):
        name = text.encode(errors="surrogateescape")
        for path in _PLACES:
            where = _text(b"/".join(path))
            yield Variant(f"{where} has {text[:24]!a}", _file((*path, name), b"x"))
            yield Variant(
                f"{where} has {text[:24]!a}/",
                _file((*path, name, b"1", b"TASK"), pack(parts.records[_TASK])),
            )
            yield Variant(
                f"{where} has link {text[:24]!a}",
                _file((*path, name), f"{canaries}/link".encode(), LINK),
            )
    for name in (
        b"0",
        b"01",
        b"-1",
        b"9" * 400,
        b"1-x",
        b"1\x1b[2J",
        b".",
        b"..",
        b"1.5",
        "٣".encode(),
    ):
        yield Variant(
            f"task {name!r}",
            partial(_again, name=name),
        )
    for what, content in shapes.trees():
        for path in (
            (b"code",),
            (b"data",),
            (b"steps",),
            (b"steps", b"start"),
            (b"steps", *_TASK, b"blake3"),
            (b"code", b"in"),
        ):
            yield Variant(f"{_text(b'/'.join(path))}: {what}", _subtree(path, content))


_ATTEMPTS = (b"steps", *_TASK, b"attempts")


def _not_kept(canaries: str) -> Iterator[Variant]:
    """What a task says that it has set and nobody stored."""
    for what, value in [
        *values(canaries),
        ("names", ["x"] * 100_000),
        ("its artifacts", ["x", "text"]),
    ]:
        said = _to_task("not_kept", lambda _, value=value: value)  # type: ignore[misc]
        yield Variant(f"start/TASK:not_kept = {what}", said)


def _given(canaries: str) -> Iterator[Variant]:
    """What a task says that it was given in the place of what it inherits."""
    many_values = {f"x{number}": "y" * 100 for number in range(10_000)}
    rows = [*values(canaries), ("values", many_values), ("parameters", {"n": canaries, "...": "7"})]
    for what, value in rows:
        said = _to_task("given", lambda _, value=value: value)  # type: ignore[misc]
        yield Variant(f"start/TASK:given = {what}", said)


def _reuse(canaries: str) -> Iterator[Variant]:
    """What the step cache is told of a task: where it was taken from, what it has read, and why."""
    rows = values(canaries)
    run = {"flow": "Hostile", "id": "1", "uid": b"\1" * 20}
    honest = {
        "parts": {"step": b"1" * 16}, "files": ["f.py"], "others": {"/etc/passwd": "1 1"}, "unfit": canaries,
        "why": canaries, "run": run, "task": "start/1",
    }  # fmt: skip
    for what, value in [*rows, ("itself", honest), ("files", {"files": ["x"] * 100_000})]:
        said = _to_task("reuse", lambda _, value=value: value)  # type: ignore[misc]
        yield Variant(f"start/TASK:reuse = {what}", said)
    for index, (name, turn) in enumerate(itertools.product(honest, range(6))):
        what, value = rows[(turn * 5 + index * 7) % len(rows)]
        said = _to_task("reuse", lambda _, changed={**honest, name: value}: changed)  # type: ignore[misc]
        yield Variant(f"start/TASK:reuse/{name} = {what}", said)


def _attempts(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """Earlier attempts of a task: records, numbers and entries that no run has, nested ones, and thousands of them."""
    path = (*_ATTEMPTS, b"0", b"TASK")
    honest, rows = unpack(_bytes(parts.files[path][1])), values(canaries)
    for what, value in rows:
        yield Variant(f"attempts/0/TASK = {what}", _file(path, pack(value)))
    for index, (field, turn) in enumerate(itertools.product(sorted(honest), range(8))):
        what, value = rows[(turn * 5 + index * 7) % len(rows)]
        changed = pack({**honest, field: value})
        yield Variant(f"attempts/0/TASK:{field} = {what}", _file(path, changed))
    for what, value in rows[::2]:
        yield Variant(f"start/TASK:again = {what}", _to_task("again", lambda _, value=value: value))  # type: ignore[misc]
    for step, task in _one_of_each_step(parts):
        other = pack(parts.records[step, task])
        yield Variant(f"attempts/0/TASK of {_text(step)}", _file(path, other))
    for what, numbers in (
        ("none", []), ("only the last", [1]), ("many", [*range(50_000)]), ("the same", [0, 0, 0]),
        ("huge", [0, 1 << 62]),
        ("backwards", [1, 0]), ("one more", [0, 1, 2]), ("strange", [-1, 0, 1]),
    ):  # fmt: skip
        renumber = partial(_renumbered, numbers=numbers)
        yield Variant(f"attempts of numbers: {what}", _to_task("attempts", renumber))
    record = pack(honest)
    for name in (b"1", b"7", b"00", b"-1", b"9" * 30, b"x", "\u0663".encode()):
        yield Variant(f"attempts/{name!r}", _file((*_ATTEMPTS, name, b"TASK"), record))
        yield Variant(f"attempts/{name!r} is a file", _file((*_ATTEMPTS, name), record))
    for count in (100, 5_000):
        yield Variant(f"{count} attempts", partial(_many_attempts, count=count, record=record))
    for depth in (1, 300):
        inner = (*_ATTEMPTS, b"0", *((b"attempts", b"0") * depth))
        yield Variant(f"attempts {depth} within attempts", _file((*inner, b"TASK"), record))
    for mode, content in ((FILE, b"x"), (LINK, canaries.encode()), (GITLINK, b"1" * 40)):
        yield Variant(f"attempts of mode {_text(mode)}", _instead(_ATTEMPTS, mode, content))
        yield Variant(
            f"attempts/0 of mode {_text(mode)}", _instead((*_ATTEMPTS, b"0"), mode, content)
        )


def _to_task(name: str, change: Callable[[Any], Any]) -> Change:
    """Another value for a field of a task's record."""
    return lambda parts: parts.records[_TASK].__setitem__(
        name, change(parts.records[_TASK].get(name))
    )


def _renumbered(attempts: list[dict[str, Any]], numbers: list[int]) -> list[dict[str, Any]]:
    return [{**attempts[0], "number": number} for number in numbers]


def _many_attempts(parts: RunParts, count: int, record: bytes) -> None:
    for number in range(count):
        parts.files[(*_ATTEMPTS, b"%d" % number, b"TASK")] = (FILE, record)


def _instead(path: tuple[bytes, ...], mode: bytes, content: Content) -> Change:
    """Something that is no directory, in the place of one."""

    def change(parts: RunParts) -> None:
        for name in [it for it in parts.files if it[: len(path)] == path]:
            del parts.files[name]
        parts.files[path] = (mode, content)

    return change


def _names(canaries: str) -> list[str]:
    found = [it for it in (*sequences(), *paths(canaries)) if "\0" not in it]
    return [
        *found,
        "..",
        ".",
        ".git",
        ".GIT",
        "git~1",
        ".git ",
        ".gi\u200ct",
        "a:b",
        "-x",
        "x" * 5_000,
        "INFO",
        "info",
    ]


def _mode(path: tuple[bytes, ...], mode: bytes, canaries: str) -> Change:
    def change(parts: RunParts) -> None:
        content = (
            f"{canaries}/../home/.gitconfig".encode() if mode == LINK else parts.files[path][1]
        )
        parts.files[path] = (mode, b"1" * 40 if mode == GITLINK else content)

    return change


def _again(parts: RunParts, name: bytes) -> None:
    parts.records[b"start", name] = parts.records[_TASK]


def _remove(parts: RunParts, path: tuple[bytes, ...]) -> None:
    del parts.files[path]


def _subtree(path: tuple[bytes, ...], content: Callable[[ObjectWriter], bytes]) -> Change:
    def change(parts: RunParts) -> None:
        for name in [it for it in parts.files if it[: len(path)] == path]:
            del parts.files[name]
        for key in [it for it in parts.records if (b"steps", *it)[: len(path)] == path]:
            del parts.records[key]
        parts.files[path] = (DIRECTORY, content)

    return change


_FILES = (
    b".gitattributes", b".gitmodules", b".gitignore", b".mailmap", b".gitconfig", b"conftest.py", b"msgpack.py",
    b"numpy.py", b"sitecustomize.py", b"gitflowrun.py", b"click.py", b"pyproject.toml", b"flow.py",
)  # fmt: skip
"""Names that programs read or import without being told to."""


def _code(canaries: str) -> Iterator[Variant]:
    """Snapshots of code that would write elsewhere, or be executed, where they are written to disk or diffed."""
    for text in (*_names(canaries), *markup_names()):
        name = text.encode(errors="surrogateescape")
        yield Variant(
            f"code has {text[:24]!a}",
            _file((b"code", name), f"import os; os.system('touch {canaries}/code')".encode()),
        )
        yield Variant(
            f"code has {text[:24]!a}/config", _file((b"code", name, b"config"), b"[core]\n")
        )
        yield Variant(f"code has link {text[:24]!a}", _file((b"code", name), b"../../../..", LINK))
        yield Variant(f"code is linked by {text[:24]!a}", _both(
            _file((b"code", b"d"), name, LINK), _file((b"code", b"D", b"in"), b"x")))  # fmt: skip
    driver = (
        f"* diff=x filter=x merge=x\n[diff 'x']\n\ttextconv = touch {canaries}/textconv\n".encode()
    )
    for name in _FILES:
        yield Variant(f"code has {_text(name)}", _file((b"code", name), driver))
        yield Variant(
            f"code imports {_text(name)}",
            _file((b"code", name), f"open('{canaries}/import', 'w')\n".encode()),
        )


def markup_names() -> list[str]:
    """Names of files that are markup."""
    return [
        "<script>alert(1)<",
        '"><img src=x onerror=alert(1)>',
        "$(touch x)",
        "--output=x",
        "x\n+++ b",
    ]


def _both(*changes: Change) -> Change:
    def change(parts: RunParts) -> None:
        for one in changes:
            one(parts)

    return change


# ---- Payloads and bytes ----

_CODECS = (
    "str/1", "bytes/1", "file/1", "plain/1", "npy/1", "arrow/1", "safetensors/1", "pickle/5",
    "cloudpickle/1", "plain/9",
    "os:system", "../x", "", "joblib/1", "torch/1", "gitflowrun.codecs", "\x1b[2J",
)  # fmt: skip


def _array(described: str) -> bytes:
    """The head of a .npy file."""
    return b"\x93NUMPY\x01\x00\x76\x00" + f"{{'descr': {described}, }}".ljust(117).encode() + b"\n"


def _payloads(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """Payloads under every codec's name, whatever they hold, and every artifact's payload with bits turned."""
    boom = canary_pickle(canaries)
    contents = {
        "a pickle": boom, "nothing": b"", "zeros": bytes(1 << 20), "escapes": TITLE.encode() * 9,
        "an array of pickles": _array("'|O', 'fortran_order': False, 'shape': (1,)") + boom,
        "a huge array": _array("'<f8', 'fortran_order': False, 'shape': (99999999999,)"),
        "a deep value": b"\x91" * 100_000 + b"\xc0", "a long array": b"\xdd\xff\xff\xff\xff",
        "a wide value": b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000,
        "an extension": b"\xc7\x05\x05hello", "much of one": pack([pack([b"\x90" * 1000] * 100)] * 50),
    }  # fmt: skip
    for codec, (what, data) in itertools.product(_CODECS, contents.items()):
        yield Variant(f"{codec!a} of {what}", _payload("x", codec, data))
    names = sorted(parts.records[_TASK]["artifacts"])
    for name in names:
        ref = parts.records[_TASK]["artifacts"][name]
        path = (b"steps", *_TASK, b"blake3", ref["blake3"].hex().encode())
        if path not in parts.files:
            continue
        data = _bytes(parts.files[path][1])
        rng = random.Random(name)
        for turn in range(24):
            yield Variant(
                f"{name} ({ref['codec']}) with bits turned, {turn}",
                _payload(name, None, _flipped(data, rng)),
            )


def _payload(name: str, codec: str | None, data: bytes) -> Change:
    """Another payload for an artifact, all digests and sizes as they must be."""

    def change(parts: RunParts) -> None:
        digest = blake3(data).digest()
        blob = ObjectWriter.name(b"blob", data)
        row = digest + bytes.fromhex(blob) + len(data).to_bytes(8, "big")
        for record in parts.records.values():
            if name in record["artifacts"]:
                old = record["artifacts"][name]
                record["artifacts"][name] = old | {
                    "blake3": digest, "size": len(data), "chunks": row, "codec": codec or old["codec"],
                }  # fmt: skip
        path = (b"steps", *_TASK, b"blake3", digest.hex().encode())
        parts.files[path] = (FILE, data)

    return change


def _flipped(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bits turned, a piece cut, doubled or overwritten."""
    made = bytearray(data)
    if not made:
        return b"\xff"
    where, size = rng.randrange(len(made)), rng.randrange(1, 16)
    match rng.randrange(4):
        case 0:
            del made[where : where + size]
        case 1:
            made[where:where] = made[where : where + size]
        case 2:
            made[where : where + size] = rng.randbytes(size)
        case _:
            for _ in range(size):
                made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _flips(parts: RunParts) -> Iterator[Variant]:
    """Records and files of a real run with bits turned, as valid objects."""
    for turn in range(120):
        yield Variant(
            f"INFO with bits turned, {turn}",
            set_part("info", _flipped(pack(parts.info), random.Random(turn))),
        )
        for key in sorted(parts.records):
            label = f"{_text(key[0])}/TASK with bits turned, {turn}"
            yield Variant(label, partial(_turn, key=key, turn=turn))
    for turn, path in itertools.product(range(12), sorted(parts.files)):
        if path[0] != b"code":
            yield Variant(f"{_text(b'/'.join(path))[:60]} with bits turned, {turn}", _file(
                path, _flipped(_bytes(parts.files[path][1]), random.Random(turn))))  # fmt: skip


def _turn(parts: RunParts, key: tuple[bytes, bytes], turn: int) -> None:
    parts.records[key] = _flipped(pack(parts.records[key]), random.Random(turn))
