"""`ConfigValue`: a dict that can't be changed, whose keys are attributes as well; what a step sees of a config.

It stands beside the codecs and not with the language of flows, because a step may store a part of a config
(`self.layers = self.cfg.layers`), and whoever reads that gets what was stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Never


class ConfigValue(dict[Any, Any]):
    """A dict that can't be changed; `value.key` is `value["key"]`, at every level.

    Dicts within it are ConfigValues, also those in lists and tuples; lists stay lists. A key that is the name of a
    dict's method (`items`) is reached with brackets alone.

    Args:
        data: A mapping; what it holds is copied.
    """

    __slots__ = ()

    def __init__(self, data: Mapping[Any, Any] | None = None) -> None:
        super().__init__({key: wrapped(value) for key, value in (data or {}).items()})

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None) -> ConfigValue:
        """One with these keys, all of the same value."""
        return cls(dict.fromkeys(keys, value))

    def to_dict(self) -> dict[Any, Any]:
        """The same as plain dicts, lists and tuples, which may be changed."""
        return {key: plain(value) for key, value in self.items()}

    def copy(self) -> ConfigValue:
        """Another one that is equal."""
        return type(self)(self)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            has = ", ".join(str(key) for key in self) or "no keys"
            raise AttributeError(
                f"the config has no {name!r} here: it has {has}", name=name, obj=self
            ) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(key for key in self if isinstance(key, str))})

    def __copy__(self) -> ConfigValue:
        return self.copy()

    def __deepcopy__(self, _memo: object) -> ConfigValue:
        return type(self)(self.to_dict())

    def __reduce__(self) -> Any:
        return type(self), (self.to_dict(),)

    def __reduce_ex__(self, _protocol: object) -> Any:
        return self.__reduce__()

    def _refuse(self, *_args: Any, **_options: Any) -> Never:
        msg = "a ConfigValue can't be changed: `to_dict()` makes a dict of it that can"
        raise TypeError(msg)

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = __ior__ = _refuse
    pop = popitem = clear = update = setdefault = _refuse


ConfigValue.__module__ = "gitflowrun"


def wrapped(value: Any) -> Any:
    """A value with each dict in it, lists and tuples included, as a ConfigValue. Nothing of it is shared."""
    if isinstance(value, dict):
        return ConfigValue(value)
    if type(value) is list:
        return [wrapped(item) for item in value]
    if type(value) is tuple:
        return tuple(wrapped(item) for item in value)
    return value


def plain(value: Any) -> Any:
    """A value with each ConfigValue in it as a dict, lists and tuples included. Nothing of it is shared."""
    if isinstance(value, ConfigValue):
        return value.to_dict()
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is tuple:
        return tuple(plain(item) for item in value)
    return value
