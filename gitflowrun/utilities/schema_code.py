"""Code for the schemas that are used most: a table of fields as one Python function, which does what the table says.

A run of many tasks dumps and reads a dozen records for each. Going through a table field by field took a third of
what a task cost the scheduler; one expression that lists all fields takes a quarter of that. Compiling it takes as
long as some dozens of records do without it, so `schema` asks for it only after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = tuple[str, str, "FieldFormat"]
    """The name of a field, its key, its kind."""


class FieldFormat(Protocol):
    """What a function needs to know of a kind of field, see `schema.Kind`."""

    load: Callable[[Any], Any]
    dump: Callable[[Any], Any] | None
    plain: str | None


def map_writer(
    fields: Sequence[Row], sparse: Sequence[Row], version: int | None, *, keeps_extra: bool
) -> Callable[[Any], dict[str, Any]]:
    """A function that makes the map of a value.

    Args:
        fields: The fields that are always written.
        sparse: Those that are left out where they are empty.
        version: The content of the map's field `schema`, if it has one.
        keeps_extra: Whether the value has a field `extra`, whose content comes first.
    """
    space: dict[str, Any] = {}
    items = ["**value.extra"] * keeps_extra
    items += [f"'schema': {version!r}"] * (version is not None)
    items += [f"{key!r}: {_dump(f'value.{name}', kind, space)}" for name, key, kind in fields]
    lines = [f"made = {{{', '.join(items)}}}"]
    for name, key, kind in sparse:
        lines += [f"item = value.{name}", f"if item: made[{key!r}] = {_dump('item', kind, space)}"]
    return _compiled("value", [*lines, "return made"], space)


def map_reader(
    cls: Callable[..., Any],
    fields: Sequence[Row],
    optional: Sequence[Row],
    known: frozenset[str] | None,
    least: int,
) -> Callable[[Any], Any]:
    """A function that makes the value of a decoded map.

    Args:
        cls: The class.
        fields: The fields that are always there.
        optional: Those that need not be.
        known: All keys; of others the class keeps the content in its field `extra`. None where it does not.
        least: How many keys are always there.
    """
    space: dict[str, Any] = {"cls": cls, "known": known}
    items = [f"{name}={_load(f'data[{key!r}]', kind, space)}" for name, key, kind in fields]
    lines = [f"if len(data) == {least}: return cls({', '.join(items)})", "more = {}"]
    for name, key, kind in optional:
        lines.append(f"if {key!r} in data: more[{name!r}] = {_load(f'data[{key!r}]', kind, space)}")
    if known is not None:
        lines.append(f"if len(data) != {least} + len(more):")
        lines.append("    more['extra'] = {key: data[key] for key in data if key not in known}")
    return _compiled("data", [*lines, f"return cls({', '.join([*items, '**more'])})"], space)


def array_writer(names: Sequence[str], kinds: Sequence[FieldFormat]) -> Callable[[Any], list[Any]]:
    """A function that makes the array of a value."""
    space: dict[str, Any] = {}
    items = [_dump(f"value.{name}", kind, space) for name, kind in zip(names, kinds, strict=True)]
    return _compiled("value", [f"return [{', '.join(items)}]"], space)


def array_reader(cls: Callable[..., Any], kinds: Sequence[FieldFormat]) -> Callable[[Any], Any]:
    """A function that makes the value of a decoded array. It raises ValueError where that has another length."""
    space: dict[str, Any] = {"cls": cls}
    names = [f"item{number}" for number in range(len(kinds))]
    items = [_load(name, kind, space) for name, kind in zip(names, kinds, strict=True)]
    return _compiled(
        "data", [f"[{', '.join(names)}] = data", f"return cls({', '.join(items)})"], space
    )


def _dump(value: str, kind: FieldFormat, space: dict[str, Any]) -> str:
    return value if kind.dump is None else f"{_name(kind.dump, space)}({value})"


def _load(value: str, kind: FieldFormat, space: dict[str, Any]) -> str:
    if kind.plain:
        return f"v if {kind.plain.format(f'v := {value}')} else {_name(kind.load, space)}(v)"
    return f"{_name(kind.load, space)}({value})"


def _name(function: Callable[..., Any], space: dict[str, Any]) -> str:
    name = f"f{len(space)}"
    space[name] = function
    return name


def _compiled(argument: str, lines: Sequence[str], space: dict[str, Any]) -> Callable[[Any], Any]:
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def function({argument}):\n{body}", space)  # noqa: S102  (fields are identifiers)
    made: Callable[[Any], Any] = space["function"]
    return made
