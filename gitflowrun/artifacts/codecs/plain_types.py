"""The table of Python's standard value types in plain/1: how each is written as simpler values, and read.

Containers, buffers and classes of users are in `plain_encode` and `plain_decode`. No standard module is
imported before a value of it is met: `explode` needs none, `build` imports its own.
"""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable
from gitflowrun.errors import NotFound
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class Kind:
    """How values of one type are written.

    Attributes:
        code: The extension code; never reused.
        module: Where the type lives.
        name: Its name there.
        explode: The value as simpler values.
        build: The value of what `explode` gave.
        mutable: Whether sharing one such object between two places can be observed.
    """

    code: int
    module: str
    name: str
    explode: Callable[[Any], Any]
    build: Callable[[Any], Any]
    mutable: bool = False


def _bare(value: Any) -> Any:
    """The value if it carries no attributes of its own, as collections may."""
    if getattr(value, "__dict__", None):
        raise Unencodable("a collection with attributes")
    return value


def _pairs(value: Any) -> list[Any]:
    return [part for pair in _bare(value).items() for part in pair]


def _unpair(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def int_bytes(value: int) -> bytes:
    """An integer of any size as bytes: little-endian, signed."""
    return value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)


def _datetime(parts: list[Any]) -> Any:
    import datetime as dt

    year, month, day, hour, minute, second, micro, fold, zone = parts
    return dt.datetime(year, month, day, hour, minute, second, micro, zone, fold=fold)


def _time(parts: list[Any]) -> Any:
    import datetime as dt

    hour, minute, second, micro, fold, zone = parts
    return dt.time(hour, minute, second, micro, zone, fold=fold)


def _date(parts: list[int]) -> Any:
    import datetime as dt

    return dt.date(*parts)


def _timedelta(parts: list[int]) -> Any:
    import datetime as dt

    return dt.timedelta(*parts)


def _timezone(parts: list[Any]) -> Any:
    import datetime as dt

    return dt.timezone(*parts)


def _zone_key(value: Any) -> str:
    try:
        value.__reduce__()  # refuses zones read from a file, whose key says nothing
    except Exception as error:
        raise Unencodable("a time zone read from a file") from error
    return str(value.key)


def _zone(key: str) -> Any:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(key)
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


def _pytz_zone(parts: list[Any]) -> Any:
    import pytz
    from pytz.tzinfo import unpickler

    try:
        return unpickler(*parts)
    except pytz.UnknownTimeZoneError as error:
        raise NotFound(
            f"the value needs time zone {parts[0]!r}, which this pytz does not know",
            hint="pip install --upgrade pytz",
        ) from error


def _pytz_offset(minutes: int) -> Any:
    import pytz

    return pytz.FixedOffset(minutes)


def _decimal_text(value: Any) -> str:
    return str(value).upper()  # the letter of the exponent depends on the thread's context


def _decimal(text: str) -> Any:
    import decimal

    return decimal.Decimal(text)


def _fraction(parts: list[int]) -> Any:
    import fractions

    numerator, denominator = parts
    # Fraction also reads text, and "1e999999999" would keep it busy for ever.
    return fractions.Fraction(operator.index(numerator), operator.index(denominator))


def _uuid(parts: list[Any]) -> Any:
    import uuid

    raw, safe = parts
    return uuid.UUID(bytes=raw, is_safe=uuid.SafeUUID(safe))


def _path(name: str) -> Callable[[str], Any]:
    def build(text: str) -> Any:
        import os
        import pathlib

        # The other system's concrete paths can't exist here; its pure ones can.
        foreign = (name == "WindowsPath") != (os.name == "nt") and not name.startswith("Pure")
        return getattr(pathlib, "Pure" + name if foreign else name)(text)

    return build


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


def _build_defaultdict(parts: list[Any]) -> Any:
    import collections

    name, *rest = parts
    return collections.defaultdict(name if name is None else _FACTORIES[name], _unpair(rest))


def _ordered(items: list[Any]) -> Any:
    import collections

    return collections.OrderedDict(_unpair(items))


def _counter(items: list[Any]) -> Any:
    import collections

    return collections.Counter(dict(_unpair(items)))


def _deque(parts: list[Any]) -> Any:
    import collections

    limit, *items = parts
    return collections.deque(items, limit)


def _namespace(items: dict[str, Any]) -> Any:
    import types

    return types.SimpleNamespace(**items)


def _timestamp(parts: list[Any]) -> Any:
    import pandas as pd

    count, unit, zone, fold = parts
    moment = pd.Timestamp(operator.index(count), unit=unit).as_unit(unit)
    if zone is not None:
        moment = moment.tz_localize("UTC").tz_convert(zone)
    return moment.replace(fold=fold) if fold else moment


def _pandas_timedelta(parts: list[Any]) -> Any:
    import pandas as pd

    count, unit = parts
    return pd.Timedelta(operator.index(count), unit=unit).as_unit(unit)


def _pandas_constant(name: str) -> Callable[[Any], Any]:
    def build(_: Any) -> Any:
        import pandas as pd

        return getattr(pd, name)

    return build


def _count(value: Any) -> int:
    """The integer that a Timestamp or Timedelta counts its units with."""
    return int(value.asm8.view("i8"))


_KINDS = (
    Kind(4, "builtins", "complex", lambda v: [v.real, v.imag], lambda parts: complex(*parts)),
    Kind(5, "builtins", "int", int_bytes, lambda raw: int.from_bytes(raw, "little", signed=True)),
    Kind(6, "builtins", "range", lambda v: [v.start, v.stop, v.step], lambda parts: range(*parts)),
    Kind(7, "builtins", "slice", lambda v: [v.start, v.stop, v.step], lambda parts: slice(*parts)),
    Kind(8, "builtins", "ellipsis", lambda _: None, lambda _: ...),
    Kind(
        10, "datetime", "datetime",
        lambda v: [
            v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond, v.fold, v.tzinfo
        ],
        _datetime,
    ),
    Kind(11, "datetime", "date", lambda v: [v.year, v.month, v.day], _date),
    Kind(
        12, "datetime", "time",
        lambda v: [v.hour, v.minute, v.second, v.microsecond, v.fold, v.tzinfo],
        _time,
    ),
    Kind(13, "datetime", "timedelta", lambda v: [v.days, v.seconds, v.microseconds], _timedelta),
    Kind(14, "datetime", "timezone", lambda v: list(v.__getinitargs__()), _timezone),
    Kind(15, "zoneinfo", "ZoneInfo", _zone_key, _zone),
    Kind(16, "decimal", "Decimal", _decimal_text, _decimal),
    Kind(17, "fractions", "Fraction", lambda v: [v.numerator, v.denominator], _fraction),
    Kind(18, "uuid", "UUID", lambda v: [v.bytes, v.is_safe.value], _uuid),
    Kind(19, "pathlib", "PosixPath", str, _path("PosixPath")),
    Kind(20, "pathlib", "WindowsPath", str, _path("WindowsPath")),
    Kind(21, "pathlib", "PurePosixPath", str, _path("PurePosixPath")),
    Kind(22, "pathlib", "PureWindowsPath", str, _path("PureWindowsPath")),
    Kind(23, "collections", "OrderedDict", _pairs, _ordered, mutable=True),
    Kind(24, "collections", "Counter", _pairs, _counter, mutable=True),
    Kind(25, "collections", "defaultdict", _explode_defaultdict, _build_defaultdict, mutable=True),
    Kind(26, "collections", "deque", lambda v: [v.maxlen, *_bare(v)], _deque, mutable=True),
    Kind(27, "types", "SimpleNamespace", lambda v: dict(vars(v)), _namespace, mutable=True),
    Kind(60, "pandas", "Timestamp", lambda v: [_count(v), v.unit, v.tzinfo, v.fold], _timestamp),
    Kind(61, "pandas", "Timedelta", lambda v: [_count(v), v.unit], _pandas_timedelta),
    Kind(62, "pandas.api.typing", "NaTType", lambda _: None, _pandas_constant("NaT")),
    Kind(63, "pandas.api.typing", "NAType", lambda _: None, _pandas_constant("NA")),
    Kind(64, "pytz.tzinfo", "BaseTzInfo", _pytz_details, _pytz_zone),
    Kind(65, "pytz", "_FixedOffset", lambda v: v.__reduce__()[1][0], _pytz_offset),
)  # fmt: skip

BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_NAME = {kind.name: kind for kind in _KINDS}
_BY_TYPE: dict[type, Kind] = {complex: BY_CODE[4], int: BY_CODE[5], type(...): BY_CODE[8]}


def kind_of(cls: type) -> Kind | None:
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
