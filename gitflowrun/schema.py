"""Schemas: tables of the fields of records and messages, by which values are written as msgpack's types and read.

A `MapSchema` or `ArraySchema` lists the fields of a class, each with its `Kind`: how it is dumped, and a strict
reader that takes the right kind of value or raises, and never guesses. The tables themselves stand beside
their classes (`runs.records`, `runtime.ipc.messages`), the bytes are made by `msgpack`.

A map may carry a version number in its field `schema`. A reader takes the fields of its table and keeps all
others in the class' field `extra`, from where they are written back: a newer release's fields survive an older
one's rewrite.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    InvalidPathspec,
    NewerRecord,
    UsageError,
)
from gitflowrun.limits import MAX_TIME
from gitflowrun.names import Digest, TaskName, any_id, check_flow_name
from gitflowrun.values import field_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

T = TypeVar("T")

_MOST = sys.float_info.max  # of finite numbers
_made: list[MapSchema[Any] | ArraySchema[Any]] = []
USES = 100  # of a schema, from which on a function of its own pays for being compiled
_MALFORMED = (
    KeyError, TypeError, ValueError, AttributeError, OverflowError, InvalidPathspec, UsageError,
)  # fmt: skip


class Kind(Generic[T]):
    """A kind of field.

    Args:
        load: Makes the value of a decoded one. Raises one of Python's own errors, or a subclass of
            GitflowrunError, when that is another kind of thing.
        dump: Makes msgpack's types of the value; without it the value is one of them.
        plain: A condition, as source, under which a decoded value needs no reader, for it is the value: of `{}`, where
            it is looked at first, and `v` (`utilities.schema_code`).
    """

    __slots__ = ("dump", "load", "plain")

    def __init__(
        self,
        load: Callable[[Any], T],
        dump: Callable[[Any], Any] | None = None,
        plain: str | None = None,
    ) -> None:
        self.load = load
        self.dump = dump
        self.plain = plain


def _of(kind: type[T], wanted: str) -> Callable[[Any], T]:
    """A reader that takes values of one of Python's types; a flag is no number, and a number no flag."""

    def load(value: Any) -> T:
        if type(value) is not kind and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _unexpected(wanted, value)
        return value

    return load


_text = _of(str, "text")
_integer = _of(int, "a whole number")
_binary = _of(bytes, "binary")


def _count(value: Any) -> int:
    if type(value) is int and value >= 0:  # of the fields of a record the most
        return value
    if _integer(value) < 0:
        raise _unexpected("a whole number, 0 or more", value)
    return int(value)


def _real(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _unexpected("a finite number", value)
    return float(value)


def _time(value: Any) -> float:
    seconds = _real(value)
    if not 0 <= seconds <= MAX_TIME:
        raise _unexpected("a time", value)
    return seconds


def recorded_time(seconds: float) -> float:
    """A time as records can have it. A clock may say anything: before 1970 counts as 1970, after 9999 as 9999."""
    return seconds if 0.0 <= seconds <= MAX_TIME else min(max(seconds, 0.0), MAX_TIME)


def _array(value: Any) -> Sequence[Any]:
    if type(value) is list or isinstance(value, list | tuple):
        return value
    raise _unexpected("an array", value)


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if type(value) is dict or isinstance(value, Mapping):
        return value.items()
    raise _unexpected("a map", value)


def _map(value: Any) -> dict[str, Any]:
    return {_text(key): item for key, item in _pairs(value)}


def _unexpected(wanted: str, value: object) -> TypeError:
    from gitflowrun.printing import bounded_repr  # of use for an error alone

    return TypeError(f"expected {wanted}, found {bounded_repr(value, 60)}")


ANY: Kind[Any] = Kind(lambda value: value)
TEXT = Kind(_text, plain="type({}) is str")
INTEGER = Kind(_integer, plain="type({}) is int")
COUNT = Kind(_count, plain="type({}) is int and v >= 0")
REAL = Kind(_real, plain=f"type({{}}) is float and {-_MOST!r} <= v <= {_MOST!r}")
TIME = Kind(_time, recorded_time, plain=f"type({{}}) is float and 0 <= v <= {MAX_TIME!r}")
FLAG = Kind(_of(bool, "true or false"), plain="type({}) is bool")
BINARY = Kind(_binary, plain="type({}) is bytes")
MAP = Kind(_map, dict)
TEXTS = Kind(lambda value: tuple(map(_text, _array(value))), list)
TEXT_MAP = Kind(lambda value: {_text(key): _text(item) for key, item in _pairs(value)}, dict)
DIGEST = Kind(lambda value: Digest(value if type(value) is bytes else _binary(value)), bytes)
FLOW_NAME = Kind(lambda value: check_flow_name(_text(value)))
RUN_ID = Kind(lambda value: any_id(_text(value)), str)
TASK_NAME = Kind(lambda value: TaskName.parse(value if type(value) is str else _text(value)), str)


def one_of(*texts: str) -> Kind[str]:
    """A field that is one of some texts."""

    def load(value: Any) -> str:
        if _text(value) not in texts:
            raise _unexpected(" or ".join(map(repr, texts)), value)
        return str(value)

    return Kind(load)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """A field that may be None."""
    load, dump, plain = kind.load, kind.dump, kind.plain
    return Kind(
        lambda value: None if value is None else load(value),
        dump and (lambda value: None if value is None else dump(value)),
        "({}) is None" + (f" or {plain.format('v')}" if plain else ""),
    )


def many(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A field that is a tuple of values of one kind."""
    load, dump = kind.load, kind.dump
    return Kind(
        lambda value: tuple(map(load, _array(value))),
        (lambda value: list(map(dump, value))) if dump else list,
    )


def map_of(kind: Kind[T]) -> Kind[dict[str, T]]:
    """A field that is a map from text to values of one kind; it is dumped in the order of its keys."""
    load, dump = kind.load, kind.dump
    return Kind(
        lambda value: {_text(key): load(item) for key, item in _pairs(value)},
        lambda value: {key: dump(value[key]) if dump else value[key] for key in sorted(value)},
    )


def map_with(**fields: Kind[Any]) -> Kind[dict[str, Any]]:
    """A field that is a map of anything, in which some keys, where they are there, have values of these kinds."""

    def load(value: Any) -> dict[str, Any]:
        found = _map(value)
        for key, kind in fields.items():
            if key in found:
                kind.load(found[key])
        return found

    return Kind(load, dict)


class MapSchema(Kind[T]):
    """A frozen class as a msgpack map.

    Args:
        cls: The class, all of whose fields are listed but `extra`.
        what: What messages call it.
        fields: The kind of each field.
        keys: Keys that are not the field's name.
        version: The newest version of this map that is read and the one that is written, if it is a record of
            its own.
        sparse: Fields that are left out where they are empty, and get their default where they are not there.
        added: Fields that older releases did not write: they get their default where they are not there.
        upgrade: Makes a map of version 1 one of version 2. It may raise what `Kind.load` may.
        check: Raises when fields that are right alone don't fit together.
    """

    __slots__ = (
        "_check", "_cls", "_fields", "_keeps_extra", "_known", "_least", "_loads", "_optional", "_reader", "_sparse",
        "_upgrade", "_uses", "_version", "_what", "_writer",
    )  # fmt: skip
    dump: Callable[[T], dict[str, Any]]

    def __init__(
        self,
        cls: Callable[..., T],
        what: str,
        fields: Mapping[str, Kind[Any]],
        *,
        keys: Mapping[str, str] | None = None,
        version: int | None = None,
        sparse: Collection[str] = (),
        added: Collection[str] = (),
        check: Callable[[T], None] | None = None,
        upgrade: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(self._read, self._write)
        _made.append(self)
        self._cls, self._what, self._version, self._check = cls, what, version, check
        self._upgrade = upgrade
        self._uses = 0
        self._writer: Callable[[T], dict[str, Any]] | None = None
        self._reader: Callable[[Any], T] | None = None
        names = keys or {}
        rows = [(name, names.get(name, name), kind) for name, kind in fields.items()]
        self._fields = tuple(row for row in rows if row[0] not in sparse)
        self._sparse = tuple(row for row in rows if row[0] in sparse)
        self._loads = tuple(row for row in rows if row[0] not in {*sparse, *added})
        self._optional = tuple(row for row in rows if row[0] in {*sparse, *added})
        self._known = frozenset({"schema", *(key for _, key, _ in rows)})
        self._least = len(self._loads) + (version is not None)
        self._keeps_extra = "extra" in field_names(cls)

    def _write(self, value: Any) -> dict[str, Any]:
        if self._writer:
            return self._writer(value)
        self._count_use()
        made: dict[str, Any] = dict(value.extra) if self._keeps_extra else {}
        if self._version is not None:
            made["schema"] = self._version
        for name, key, kind in self._fields:
            item = getattr(value, name)
            made[key] = kind.dump(item) if kind.dump else item
        for name, key, kind in self._sparse:
            if item := getattr(value, name):
                made[key] = kind.dump(item) if kind.dump else item
        return made

    def _read(self, data: Any) -> T:
        """The value in a decoded map. Raises CorruptRecord when it is none."""
        if self._version is not None:
            _check_version(data, self._what, self._version)
        try:
            if self._upgrade and data["schema"] == 1:
                data = self._upgrade(data)
            value = self._reader(data) if self._reader else self._cls(**self._fields_of(data))
            if self._check:
                self._check(value)
        except _MALFORMED as error:
            raise _malformed(self._what, error) from error
        return value

    def _fields_of(self, data: Any) -> dict[str, Any]:
        self._count_use()
        fields = {name: kind.load(data[key]) for name, key, kind in self._loads}
        if len(data) > self._least:
            for name, key, kind in self._optional:
                if key in data:
                    fields[name] = kind.load(data[key])
            if self._keeps_extra and not self._known.issuperset(data):
                known = self._known
                fields["extra"] = {it: data[it] for it in data if it not in known}
        return fields

    def _count_use(self) -> None:
        self._uses += 1
        if self._uses == USES:
            self._compile()

    def _compile(self) -> None:
        from gitflowrun.utilities import schema_code  # who reads a few records needs none

        self._writer = self.dump = schema_code.map_writer(
            self._fields, self._sparse, self._version, keeps_extra=self._keeps_extra
        )
        self._reader = schema_code.map_reader(
            self._cls,
            self._loads,
            self._optional,
            self._known if self._keeps_extra else None,
            self._least,
        )

    def prepare_for_forks(self, least: int) -> None:
        """Have what is compiled ready before forks: at once where it was used so often, else after their own uses."""
        if self._writer is None and self._uses >= least:
            self._compile()
        self._uses = 0


class ArraySchema(Kind[T]):
    """A frozen class as a msgpack array of its fields in order.

    Args:
        cls: The class.
        what: What messages call it.
        kinds: The kind of each field, in the class' order.
    """

    __slots__ = ("_cls", "_kinds", "_names", "_reader", "_uses", "_what", "_writer")
    dump: Callable[[T], list[Any]]

    def __init__(self, cls: Callable[..., T], what: str, *kinds: Kind[Any]) -> None:
        super().__init__(self._read, self._write)
        _made.append(self)
        self._cls, self._what, self._kinds = cls, what, kinds
        self._names = field_names(cls)
        self._uses = 0
        self._writer: Callable[[T], list[Any]] | None = None
        self._reader: Callable[[Any], T] | None = None

    def _write(self, value: Any) -> list[Any]:
        if self._writer:
            return self._writer(value)
        self._count_use()
        return [
            kind.dump(getattr(value, name)) if kind.dump else getattr(value, name)
            for name, kind in zip(self._names, self._kinds, strict=True)
        ]

    def _read(self, data: Any) -> T:
        """The value in a decoded array. Raises CorruptRecord when it is none."""
        try:
            if self._reader:
                return self._reader(_array(data))
            self._count_use()
            items = zip(self._kinds, _array(data), strict=True)
            return self._cls(*[kind.load(item) for kind, item in items])
        except _MALFORMED as error:
            raise _malformed(self._what, error) from error

    def _count_use(self) -> None:
        self._uses += 1
        if self._uses == USES:
            self._compile()

    def _compile(self) -> None:
        from gitflowrun.utilities import schema_code  # as above

        self._writer = self.dump = schema_code.array_writer(self._names, self._kinds)
        self._reader = schema_code.array_reader(self._cls, self._kinds)

    def prepare_for_forks(self, least: int) -> None:
        """As `MapSchema.prepare_for_forks`."""
        if self._writer is None and self._uses >= least:
            self._compile()
        self._uses = 0


def prepare_for_forks(least: int) -> None:
    """Compile the schemas that were used so often, and have forks count their own uses of all others.

    Or each fork of a process that has used one 99 times would compile it for itself.

    Args:
        least: How many uses are enough.
    """
    for schema in _made:
        schema.prepare_for_forks(least)


def _malformed(what: str, error: Exception) -> CorruptRecord:
    why = f"no field {error}" if isinstance(error, KeyError) else str(error)
    if isinstance(error, GitflowrunError):  # its hint is about what is typed
        why = error.told
    return CorruptRecord(f"malformed {what} record: {why}")


def _check_version(data: object, what: str, newest: int) -> None:
    """Raise CorruptRecord unless `data` is a map with a version, NewerRecord unless that is up to `newest`."""
    version = data.get("schema") if isinstance(data, dict | Mapping) else None
    if not isinstance(version, int):
        raise CorruptRecord(f"this is no {what} record")
    if version > newest:
        raise NewerRecord(
            f"this {what} record has schema {version}; this release reads up to {newest}",
            hint="install a newer gitflowrun",
        )
