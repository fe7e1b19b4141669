"""`Config`: the declaration of a config as a class attribute of a flow, and the values of those that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload
from weakref import WeakKeyDictionary

from gitflowrun.errors import ConfigError
from gitflowrun.flow.config.expression import Reference
from gitflowrun.flow.steps import located
from gitflowrun.values import mutable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

_known: WeakKeyDictionary[type, Mapping[str, Any]] = WeakKeyDictionary()


@mutable
class ConfigDeclaration:
    """What a flow says of a config.

    Attributes:
        name: Its name on the command line.
        default: The path of a file, or a function that returns one.
        default_value: Its text, a map, or a function that returns either.
        help: A sentence for `--help`.
        required: Whether one must be given.
        parser: Makes the value of the text: a function, or where one is: `package.module.function`.
        plain: Whether steps see the value as it is.
        attribute: The attribute's name; empty before it is one of a class.
    """

    name: str
    default: Any
    default_value: Any
    help: str | None
    required: bool
    parser: str | Callable[[str], Any] | None
    plain: bool
    attribute: str = ""


class Config(Reference):
    """A config of a flow: a map, read when the flow is started, that its parameters, decorators and steps can use.

    In the class, attributes and items of it stand for what the config will hold: `Parameter("lr", default=config.lr)`.
    In steps, `self.config` is a `ConfigValue`, and read-only.

    Args:
        name: Its name on the command line: `--config NAME PATH` or `--config-value NAME JSON`.
        default: The path of the file to read when none is given: in the current directory, or else beside the flow's
            file; or a function of a `ParameterContext` that returns one.
        default_value: Instead of a file, the config itself: as text, as a map, or a function that returns either.
        help: A sentence for `--help`.
        required: Whether one must be given. Without one, and without a default, the config is None.
        parser: Makes the config of a text, JSON when None: a function, or where one is: `package.module.function`.
        plain: Whether the config is taken as the text or the parser has it, which may be any plain value.

    Raises:
        ConfigError: both a file and a value are given as defaults.
    """

    __slots__ = ("__weakref__", "_declared")

    def __init__(
        self,
        name: str,
        default: str | os.PathLike[str] | Callable[..., Any] | None = None,
        default_value: str | Mapping[Any, Any] | Callable[..., Any] | None = None,
        help: str | None = None,  # noqa: A002  (Metaflow's name)
        required: bool | None = None,
        parser: str | Callable[[str], Any] | None = None,
        plain: bool = False,
    ) -> None:
        if default is not None and default_value is not None:
            raise located(
                ConfigError(
                    f"config {name!r} has two defaults, a file and a value",
                    hint="leave one of them out",
                )
            )
        self._declared: ConfigDeclaration = ConfigDeclaration(
            name, default, default_value, help, bool(required), parser, bool(plain)
        )

    def __set_name__(self, _owner: type, name: str) -> None:
        self._declared.attribute = name

    if TYPE_CHECKING:

        @overload
        def __get__(self, flow: None, owner: type) -> Config: ...
        @overload
        def __get__(self, flow: object, owner: type) -> Any: ...

    def __get__(self, flow: object | None, owner: type | None = None) -> Any:
        # On the class it is what expressions are made of; an object has the value once it is known.
        return (
            self if flow is None else known_configs(type(flow)).get(self._declared.attribute, self)
        )

    def _config_name(self) -> str:
        return self._declared.name

    def __repr__(self) -> str:
        return self._declared.attribute or f"Config({self._declared.name!r})"


def declaration_of(config: Any) -> ConfigDeclaration:
    """What a flow says of a config. The object has no attributes for it: each name may be a key of the config."""
    declared: ConfigDeclaration = config._declared  # noqa: SLF001
    return declared


def known_configs(flow_cls: type) -> Mapping[str, Any]:
    """The configs of a flow as steps see them, by attribute; empty before they are known."""
    return _known.get(flow_cls, {})


def set_known(flow_cls: type, values: Mapping[str, Any]) -> None:
    """Make the configs of a flow known."""
    _known[flow_cls] = dict(values)
