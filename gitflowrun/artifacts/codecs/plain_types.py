"""The table of Python's standard value types in plain/1: how each is written as simpler values, and read.

Containers, buffers and classes of users are in `plain_encode` and `plain_decode`. No standard module is
imported before a value of it is met: `explode` is given one, and `make` imports the type's module first.
"""

from __future__ import annotations

import operator
import sys
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable
from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable


_FIRST_OF_LIBRARIES = 60


@frozen(slots=False)
class PlainKind:
    """How values of one type are written.

    Attributes:
        code: The extension code; never reused.
        module: Where the type lives.
        name: Its name there.
        explode: The value as simpler values.
        build: The value, made of its type and what `explode` gave.
        mutable: Whether sharing one such object between two places can be observed.
    """

    code: int
    module: str
    name: str
    explode: Callable[[Any], Any]
    build: Callable[[Any, Any], Any]
    mutable: bool = False

    @property
    def is_standard(self) -> bool:
        """Whether Python has the type, and no library."""
        return self.code < _FIRST_OF_LIBRARIES

    @cached_property
    def _type(self) -> Any:
        return getattr(import_module(self.module), self.name)

    def make(self, parts: Any) -> Any:
        """The value of which `explode` gave `parts`."""
        return self.build(self._type, parts)


def _bare(value: Any) -> Any:
    """The value if it carries no attributes of its own, as collections may."""
    if getattr(value, "__dict__", None):
        raise Unencodable("a collection with attributes")
    return value


def _pairs(value: Any) -> list[Any]:
    return [part for pair in _bare(value).items() for part in pair]


def _unpair(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def int_bytes(value: int) -> bytes:
    """An integer of any size as bytes: little-endian, signed."""
    return value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)


def _of_text(cls: Any, text: Any) -> Any:
    """A value of a text alone: Decimal also reads lists."""
    if type(text) is not str:
        raise CorruptRecord(f"a {cls.__name__} of something else than text")
    return cls(text)


def _int(_cls: Any, raw: Any) -> Any:
    if type(raw) is not bytes:
        raise CorruptRecord("an integer of something else than bytes")
    return int.from_bytes(raw, "little", signed=True)


def _of_parts(cls: Any, parts: list[Any]) -> Any:
    return cls(*parts)


def _of_integers(cls: Any, parts: list[Any]) -> Any:
    """A value of integers alone: dates also read bytes, and "1e999999999" would keep Fraction busy for ever."""
    return cls(*map(operator.index, parts))


def _of_pairs(cls: Any, items: list[Any]) -> Any:
    return cls(_unpair(items))


def _moment(cls: Any, parts: list[Any]) -> Any:
    """A datetime or time."""
    *numbers, fold, zone = parts
    return cls(*map(operator.index, numbers), zone, fold=fold)


def _zone_key(value: Any) -> str:
    try:
        value.__reduce__()  # refuses zones read from a file, whose key says nothing
    except Exception as error:
        raise Unencodable("a time zone read from a file") from error
    return str(value.key)


def _zone(cls: Any, key: str) -> Any:
    import zoneinfo

    try:
        return cls(key)
    except (zoneinfo.ZoneInfoNotFoundError, OSError) as error:
        raise NotFound(
            f"the value needs time zone {key!r}, which this system does not know",
            hint="pip install tzdata",
        ) from error


def _pytz_details(value: Any) -> list[Any]:
    import pytz

    try:
        known = type(pytz.timezone(value.zone)) is type(value)
    except pytz.UnknownTimeZoneError:
        known = False
    if not known:
        raise Unencodable("a pytz time zone read from a file")
    # Its name and, where the zone has several, the offsets and abbreviation of this one.
    return [value.zone, *value.__reduce__()[1][1:]]


def _pytz_zone(_cls: Any, parts: list[Any]) -> Any:
    import pytz
    from pytz.tzinfo import unpickler

    try:
        return unpickler(*parts)
    except pytz.UnknownTimeZoneError as error:
        raise NotFound(
            f"the value needs time zone {parts[0]!r}, which this pytz does not know",
            hint="pip install --upgrade pytz",
        ) from error


def _pytz_offset(_cls: Any, minutes: int) -> Any:
    import pytz

    return pytz.FixedOffset(minutes)


def _decimal_text(value: Any) -> str:
    return str(value).upper()  # the letter of the exponent depends on the thread's context


def _uuid(cls: Any, parts: list[Any]) -> Any:
    from uuid import SafeUUID

    raw, safe = parts
    return cls(bytes=raw, is_safe=SafeUUID(safe))


_FACTORIES = {
    cls.__name__: cls
    for cls in (list, dict, set, int, float, complex, bool, str, bytes, bytearray, tuple, frozenset)
}


def _explode_defaultdict(value: Any) -> list[Any]:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise Unencodable("a defaultdict whose factory is not a built-in type")
    return [name, *_pairs(value)]


def _build_defaultdict(cls: Any, parts: list[Any]) -> Any:
    name, *rest = parts
    return cls(name if name is None else _FACTORIES[name], _unpair(rest))


def _deque(cls: Any, parts: list[Any]) -> Any:
    limit, *items = parts
    return cls(items, limit)


def _namespace(cls: Any, items: dict[str, Any]) -> Any:
    return cls(**items)


def _config_value(cls: Any, items: Any) -> Any:
    if type(items) is not dict:
        raise CorruptRecord("a ConfigValue of something else than a map")
    return cls(items)


def _timestamp(cls: Any, parts: list[Any]) -> Any:
    count, unit, zone, fold = parts
    if type(zone) is str:  # pandas would open a file of this name
        raise CorruptRecord("a Timestamp with the name of a time zone instead of one")
    moment = cls(operator.index(count), unit=unit).as_unit(unit)
    if zone is not None:
        moment = moment.tz_localize("UTC").tz_convert(zone)
    return moment.replace(fold=fold) if fold else moment


def _pandas_timedelta(cls: Any, parts: list[Any]) -> Any:
    count, unit = parts
    return cls(operator.index(count), unit=unit).as_unit(unit)


def _count(value: Any) -> int:
    """The integer that a Timestamp or Timedelta counts its units with."""
    return int(value.asm8.view("i8"))


_KINDS = (
    PlainKind(4, "builtins", "complex", lambda v: [v.real, v.imag], _of_parts),
    PlainKind(5, "builtins", "int", int_bytes, _int),
    PlainKind(6, "builtins", "range", lambda v: [v.start, v.stop, v.step], _of_integers),
    PlainKind(7, "builtins", "slice", lambda v: [v.start, v.stop, v.step], _of_parts),
    PlainKind(8, "types", "EllipsisType", lambda _: None, lambda *_: ...),
    PlainKind(
        10, "datetime", "datetime",
        lambda v: [
            v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond, v.fold, v.tzinfo
        ],
        _moment,
    ),
    PlainKind(11, "datetime", "date", lambda v: [v.year, v.month, v.day], _of_integers),
    PlainKind(
        12, "datetime", "time",
        lambda v: [v.hour, v.minute, v.second, v.microsecond, v.fold, v.tzinfo],
        _moment,
    ),
    PlainKind(13, "datetime", "timedelta", lambda v: [v.days, v.seconds, v.microseconds], _of_integers),
    PlainKind(14, "datetime", "timezone", lambda v: list(v.__getinitargs__()), _of_parts),
    PlainKind(15, "zoneinfo", "ZoneInfo", _zone_key, _zone),
    PlainKind(16, "decimal", "Decimal", _decimal_text, _of_text),
    PlainKind(17, "fractions", "Fraction", lambda v: [v.numerator, v.denominator], _of_integers),
    PlainKind(18, "uuid", "UUID", lambda v: [v.bytes, v.is_safe.value], _uuid),
    PlainKind(19, "pathlib", "PosixPath", str, _of_text),
    # 20 was pathlib.WindowsPath, of which Linux has no values.
    PlainKind(21, "pathlib", "PurePosixPath", str, _of_text),
    PlainKind(22, "pathlib", "PureWindowsPath", str, _of_text),
    PlainKind(23, "collections", "OrderedDict", _pairs, _of_pairs, mutable=True),
    PlainKind(24, "collections", "Counter", _pairs, _of_pairs, mutable=True),
    PlainKind(25, "collections", "defaultdict", _explode_defaultdict, _build_defaultdict, mutable=True),
    PlainKind(26, "collections", "deque", lambda v: [v.maxlen, *_bare(v)], _deque, mutable=True),
    PlainKind(27, "types", "SimpleNamespace", lambda v: dict(vars(v)), _namespace, mutable=True),
    PlainKind(28, "gitflowrun.artifacts.config_value", "ConfigValue", lambda v: v.to_dict(), _config_value),
    PlainKind(60, "pandas", "Timestamp", lambda v: [_count(v), v.unit, v.tzinfo, v.fold], _timestamp),
    PlainKind(61, "pandas", "Timedelta", lambda v: [_count(v), v.unit], _pandas_timedelta),
    PlainKind(62, "pandas.api.typing", "NaTType", lambda _: None, lambda *_: sys.modules["pandas"].NaT),
    PlainKind(63, "pandas.api.typing", "NAType", lambda _: None, lambda *_: sys.modules["pandas"].NA),
    PlainKind(64, "pytz.tzinfo", "BaseTzInfo", _pytz_details, _pytz_zone),
    PlainKind(65, "pytz", "_FixedOffset", lambda v: v.__reduce__()[1][0], _pytz_offset),
)  # fmt: skip

BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_NAME = {kind.name: kind for kind in _KINDS}
_BY_TYPE: dict[type, PlainKind] = {complex: BY_CODE[4], int: BY_CODE[5], type(...): BY_CODE[8]}


def kind_of(cls: type) -> PlainKind | None:
    """The row of exactly this type; None for any other, a subclass or a namesake included."""
    kind = _BY_TYPE.get(cls)
    if kind is None:
        named = _BY_NAME.get(cls.__name__)
        if named is not None and getattr(sys.modules.get(named.module), named.name, None) is cls:
            kind = _BY_TYPE[cls] = named
        elif _is_pytz_zone(cls):
            kind = _BY_TYPE[cls] = BY_CODE[64]
    return kind


def _is_pytz_zone(cls: type) -> bool:
    """Whether pytz made this class: it makes one for each zone, under the zone's name."""
    if cls.__module__ not in {"pytz", "pytz.tzfile"}:
        return False
    return issubclass(cls, sys.modules["pytz.tzinfo"].BaseTzInfo)
