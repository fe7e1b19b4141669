"""References to configs in a flow's source, which are looked up when the configs are known: `config.lr`, `config_expr`.

A class body runs when its module is imported, before anybody has said which config to use. So an attribute or an item
of a `Config` is a `Delayed` there, which remembers what to look up, and so does `config_expr("...")`. Parameters and
decorators take such values wherever they take values, within dicts and lists too, and as `**config`. They are
evaluated, all at once, when the configs are known (`known.apply_configs`, `definition.complete`).
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from gitflowrun.errors import ConfigError
from gitflowrun.flow.steps import user_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Never

Init = TypeVar("Init", bound="Callable[..., None]")
_UNPACKED = "__gitflowrun_config_"
"""What the names of keyword arguments begin with that stand for all of a config: `**config`."""
_MISSING = (AttributeError, KeyError, IndexError, TypeError)


class Reference:
    """What stands for a part of a config before that is known: its attributes and items are parts, too.

    It has no public attribute of its own, for each name may be a key of the config, but for `keys`, which Python asks
    for at `**config`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(
            "__"
        ):  # Python and its tools ask for these to find out what something can do
            raise AttributeError(name)
        return Delayed(self, ("attribute", name))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key.startswith(_UNPACKED):
            return Delayed(self, ("all", None))
        return Delayed(self, ("item", key))

    def keys(self) -> list[str]:
        """The name of the one keyword argument that stands for all of them in `**config`."""
        return [f"{_UNPACKED}{id(self)}__"]

    def _config_name(self) -> str:
        """The name of the config, where it is a whole one."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def __bool__(self) -> bool:  # noqa: PLE0304  (it has no truth yet)
        self._refuse()

    def _refuse(self) -> Never:
        msg = (
            f"{self!r} is not known yet while the flow's class is made; "
            "config_expr('...') computes with configs when they are known"
        )
        raise TypeError(msg)

    __hash__ = object.__hash__


class Delayed(Reference):
    """A part of a config, or an expression of configs, that is looked up when the configs are known.

    Args:
        root: The expression's text, or what it is a part of.
        step: How to get from there to the part: `attribute`, `item`, `call` or `all`, and which.
        names: The global names that an expression sees besides the configs.
    """

    __slots__ = ("_delayed",)

    def __init__(
        self,
        root: str | Reference,
        step: tuple[str, Any] | None = None,
        names: dict[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "_delayed", (root, step, names, user_line() or (None, None)))

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What a call of it returns: `config.get("lr", 0.1)`."""
        return Delayed(self, ("call", (args, options)))

    def __repr__(self) -> str:
        root, step, _, _ = self._delayed
        if step is None:
            return f"config_expr({root!r})"
        kind, what = step
        if kind == "attribute":
            return f"{root!r}.{what}"
        if kind == "item":
            return f"{root!r}[{what!r}]"
        return f"{root!r}(...)" if kind == "call" else f"**{root!r}"


def config_expr(expr: str) -> Any:
    """A value that is computed of configs when these are known.

    Args:
        expr: A Python expression. It sees configs by their names and attributes, the global names of the module that
            it is written in, and Python's own.

    Returns:
        What stands for the value, for parameters and decorators.
    """
    frame = sys._getframe(1)  # noqa: SLF001  (the module that calls)
    return Delayed(expr, None, frame.f_globals)


def is_delayed(value: Any) -> bool:
    """Whether a value is, or holds in its dicts, lists and tuples, something that is not known yet."""
    if isinstance(value, Reference):
        return True
    if isinstance(value, dict):
        return any(map(is_delayed, value.values()))
    return isinstance(value, (list, tuple)) and any(map(is_delayed, value))


def evaluated(value: Any, configs: Mapping[str, Any]) -> Any:
    """A value with all that was not known in it.

    Args:
        value: A value; of keyword arguments, those that came as `**config` become what that holds.
        configs: The configs by name and by attribute, as steps see them.

    Returns:
        A copy, of plain dicts and lists, where it holds something of a config; else the value itself.

    Raises:
        ConfigError: there is no such config or key, or an expression fails.
    """
    if not is_delayed(value):
        return value
    if isinstance(value, Reference):
        from gitflowrun.artifacts.config_value import plain  # flows without configs need none

        return plain(_found(value, configs))
    if isinstance(value, dict):
        made: dict[Any, Any] = {}
        for key, item in value.items():
            if isinstance(key, str) and key.startswith(_UNPACKED):
                made.update(_mapping(item, evaluated(item, configs)))
            else:
                made[key] = evaluated(item, configs)
        return made
    items = [evaluated(item, configs) for item in value]
    return items if isinstance(value, list) else tuple(items)


def known_now(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments without what is not known yet: None stands for it, and `**config` is left out."""
    return {
        key: None if is_delayed(it) else it
        for key, it in arguments.items()
        if not key.startswith(_UNPACKED)
    }


def delayable(init: Init) -> Init:
    """Make an `__init__` take arguments of configs: it is called without them, and again when they are known."""

    @functools.wraps(init)
    def begin(self: Any, *args: Any, **options: Any) -> None:
        if is_delayed(args) or is_delayed(options):
            self.pending = (init, args, options)
            args, options = tuple(None if is_delayed(it) else it for it in args), known_now(options)
        init(self, *args, **options)

    return begin  # type: ignore[return-value]


def _found(reference: Reference, configs: Mapping[str, Any]) -> Any:
    delayed = getattr(reference, "_delayed", None) if isinstance(reference, Delayed) else None
    if delayed is None:  # a config itself
        return _config(reference, configs)
    root, step, names, (source, line) = delayed
    try:
        if step is None:
            return _computed(root, names, configs)
        kind, what = step
        value = _found(root, configs)
        try:
            return _part(kind, what, value, configs)
        except _MISSING as error:
            raise ConfigError(
                f"{reference!r} can't be looked up: {_reason(error)}", hint=_has(root, value)
            ) from error
    except ConfigError as error:
        if error.line is None:
            error.line, error.source = line, source
        raise


def _part(kind: str, what: Any, value: Any, configs: Mapping[str, Any]) -> Any:
    if kind == "attribute":
        return getattr(value, what)
    if kind == "item":
        return value[evaluated(what, configs)]
    if kind == "call":
        args, options = what
        return value(*evaluated(args, configs), **evaluated(options, configs))
    return value


def _config(config: Reference, configs: Mapping[str, Any]) -> Any:
    name = config._config_name()  # noqa: SLF001  (a public name may be a key)
    if name not in configs:
        raise ConfigError(
            f"config {name!r} is none of this flow", hint="use a config of the flow or of its bases"
        )
    return configs[name]


def _computed(text: str, names: dict[str, Any] | None, configs: Mapping[str, Any]) -> Any:
    try:
        return eval(text, {**(names or {}), **configs})  # noqa: S307  (the flow's own code)
    except NameError as error:
        listed = ", ".join(sorted(configs)) or "none"
        raise ConfigError(
            f"config_expr({text!r}) can't be computed: {error}",
            hint=f"it sees the global names of its module and the flow's configs: {listed}",
        ) from error
    except Exception as error:
        raise ConfigError(
            f"config_expr({text!r}) can't be computed: {_reason(error)}",
            hint="mend the expression, or give the config what it looks for",
        ) from error


def _mapping(item: Any, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        source, line = item._delayed[3]  # noqa: SLF001  (a public name may be a key)
        raise ConfigError(
            f"{item!r} is no map of names to values",
            hint="give the config a map there, or name a part that is one",
            line=line,
            source=source,
        )
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    return str(error) or type(error).__name__


def _has(root: Any, value: Any) -> str:
    if isinstance(value, dict):
        return f"{root!r} has {', '.join(map(str, value)) or 'no keys'}"
    return f"{root!r} is a {type(value).__name__}"
