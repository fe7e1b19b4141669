"""`Parameter`: a value that a run is given, as a flow declares it, and the conversion of text to such a value.

The command line makes its options of `Parameter`s. Types are Python's own, the
`JSONType` for values that are written as JSON, and those of click, which are used through their `convert` and
never imported. What click's options `multiple`, `nargs`, `count`, `is_flag`, `flag_value`, `envvar` and `callback`
mean is said here, so that a value means the same wherever it comes from: the command line, the environment, a
default, a function. `parameter_values` finds the values of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from gitflowrun.errors import ParameterError, UsageError
from gitflowrun.flow.config.expression import delayable, evaluated
from gitflowrun.flow.secret_names import is_called_secret, may_be_secret
from gitflowrun.flow.steps import user_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class JSONTypeClass:
    """The type of parameters that are written as JSON. A default may be JSON text or the value itself."""

    name = "JSON"

    def convert(self, value: Any, param: object = None, ctx: object = None) -> Any:  # noqa: ARG002
        """The value that `value` says in JSON.

        Args:
            value: JSON text, or a value.
            param: Ignored; click's types take it.
            ctx: Likewise.

        Raises:
            ValueError: the text is no JSON.
        """
        if not isinstance(value, (str, bytes, bytearray)):
            return value
        import json

        try:
            return json.loads(value)
        except ValueError as error:
            msg = f"{value!r} is not valid JSON: {error}"
            raise ValueError(msg) from None

    def __repr__(self) -> str:
        return "JSON"


JSONType = JSONTypeClass()


SCALARS = (str, int, float, bool)
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


class Parameter:
    """A parameter of a flow, declared as a class attribute.

    Args:
        name: Its name on the command line (`--name`); the attribute's name is its name in steps.
        default: The value when none is given; a function is called once per run, when it starts, with a
            `ParameterContext`.
        type: `str`, `int`, `float`, `bool`, `JSONType`, a click type, or a function of text; that of
            `default` when None.
        help: A sentence for `--help`.
        required: Whether a value must be given; ignored when there is a default.
        show_default: Whether `--help` shows the default, or what it shows instead.
        separator: Cut the text at this into a list.
        secret: Whether its values are secret: tasks see them, and nothing of them is recorded. When None its name
            decides.
        **options: Those of `click.option`.

    Attributes:
        attribute: The attribute's name; empty before it is one of a class.
        kind: `str`, `int`, `float`, `bool`, `json`, `file` or `custom`.
        type: What converts text: a Python type, `JSONType`, a click type, a function; None leaves it text.
        pending: Where arguments are made of configs: the function to call when these are known, and its arguments.
    """

    pending: tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]] | None = None
    attribute = ""

    @delayable
    def __init__(
        self,
        name: str,
        default: Any = None,
        type: Any = None,  # noqa: A002  (Metaflow's name)
        help: str | None = None,  # noqa: A002  (Metaflow's name)
        required: bool | None = None,
        show_default: bool | str | None = None,
        separator: str | None = None,
        secret: bool | None = None,
        **options: Any,
    ) -> None:
        self.name = name
        self.secret = secret
        self._declared_at = None if secret is None else user_line()
        self.default = default
        self.kind, self.type = _kind(type, _example(default, options), separator, options)
        self.help = help
        self.required = bool(required) and default is None
        self.show_default = default is not None if show_default is None else show_default
        self.separator = separator
        self.options = options

    @property
    def kwargs(self) -> dict[str, Any]:
        """What it was declared with, by the names of the arguments; programs that compile flows read it."""
        return {
            "default": self.default,
            "type": self.type,
            "help": self.help,
            "required": self.required,
            "show_default": self.show_default,
            "separator": self.separator,
            **self.options,
        }

    def __set_name__(self, _owner: type, name: str) -> None:
        self.attribute = name

    def evaluate(self, configs: Mapping[str, Any]) -> None:
        """Become what the declaration says, where it is made of configs, which are known now.

        Args:
            configs: They by attribute and by name.

        Raises:
            ConfigError: an argument can't be evaluated.
            ParameterError: there is no such argument.
        """
        if self.pending is None:
            return
        init, args, options = self.pending
        args, options = evaluated(args, configs), evaluated(options, configs)
        try:
            init(self, *args, **options)
        except TypeError as error:
            raise ParameterError(
                f"parameter {self.name!r}: {error}", hint="look at what the config gives it"
            ) from error

    @property
    def is_secret(self) -> bool:
        """Whether its values are secret: as declared, or else as its name has it, if it is neither number nor file."""
        if self.secret is not None:
            return self.secret
        return self._is_text and any(map(is_called_secret, self._names))

    @property
    def may_be_secret(self) -> bool:
        """Whether neither declaration nor name say for sure that its values are none."""
        if self.secret is not None or self.is_secret:
            return False
        if self.kind == "file" and any(map(is_called_secret, self._names)):
            return True
        return self._is_text and any(map(may_be_secret, self._names))

    def is_public(self, value: Any) -> bool:
        """Whether a value is no secret although the parameter is: there is none, or it is the default in the code."""
        if value is None or (hasattr(value, "__len__") and not len(value)):
            return True
        in_code = self.default is not None and not self.deploy_time and self.kind != "file"
        return in_code and bool(value == self.static_default())

    @property
    def _is_text(self) -> bool:
        is_flag = self.is_flag or self.options.get("count")
        return self.kind in {"str", "json", "custom"} and not is_flag

    @property
    def _names(self) -> tuple[str, str]:
        return str(self.name), self.attribute

    @property
    def deploy_time(self) -> bool:
        """Whether the default is a function, called when a run starts."""
        return callable(self.default)

    @property
    def envvars(self) -> tuple[str, str]:
        """The environment variables that give a value, the first one winning."""
        suffix = "RUN_" + self.name.upper().replace("-", "_")
        own = self.options.get("envvar") or ()
        return (
            "GITFLOWRUN_" + suffix,
            "METAFLOW_" + suffix,
            *([own] if isinstance(own, str) else own),
        )

    @property
    def is_flag(self) -> bool:
        """Whether its option takes no value."""
        flag = self.options.get("is_flag")
        return "flag_value" in self.options if flag is None else bool(flag)

    @property
    def is_scalar(self) -> bool:
        """Whether its value is one value of its type."""
        options = self.options
        return (
            not (options.get("multiple") or options.get("count") or self.is_flag)
            and self.arity == 1
        )

    @property
    def arity(self) -> int:
        """How many texts make one value."""
        arity = self.options.get("nargs") or getattr(self.type, "arity", 1)
        return arity if isinstance(arity, int) else 1

    def convert(self, value: Any) -> Any:
        """The parameter's value for a text, or for a value from a default or a function.

        Raises:
            UsageError: it is no value of the parameter's type.
        """
        return self._checked(self._whole, value)

    def convert_one(self, value: Any) -> Any:
        """The same for one of the texts that make a value; `callback` is left out."""
        return self._checked(self._convert, value)

    def called_back(self, value: Any) -> Any:
        """What click's option `callback` makes of the value; the value itself without one."""
        callback = self.options.get("callback")
        return (
            value if callback is None else self._checked(lambda it: callback(None, None, it), value)
        )

    def _checked(self, conversion: Callable[[Any], Any], value: Any) -> Any:
        try:
            return conversion(value)
        except Exception as error:
            if self.is_secret:  # whatever the error says may hold the value
                raise UsageError(
                    f"parameter {self.name!r}: the value that was given is none of its type"
                ) from None
            if isinstance(error, UsageError):
                raise
            # A type of the user's may raise anything; click's BadParameter says it in `message`.
            reason = getattr(error, "message", None) or str(error) or type(error).__name__
            raise UsageError(f"parameter {self.name!r}: {reason}") from error

    def check(self) -> None:
        """Check the declaration's type and default.

        Raises:
            ParameterError: a type that can't be, a default that is not of the type, or a separator for a
                parameter that is no text.
            UsageError: a config gives a default that is not of the type.
        """
        self._check_secret()
        self._check_type()
        if self.deploy_time:
            return
        try:
            self.static_default()
        except UsageError as error:
            if self.pending is not None:
                raise UsageError(
                    f"the default of {error.message}, which a config gives",
                    hint="give the config a value of the parameter's type",
                ) from None
            raise ParameterError(
                f"the default of {error.message}",
                hint="make the default a value of the parameter's type",
            ) from None

    def static_default(self) -> Any:
        """The value of a default that is no function; without one None, or what click's options say.

        Raises:
            UsageError: the default is not of the parameter's type.
        """
        if self.default is not None:
            return self.convert(self.default)
        if self.options.get("multiple"):
            return ()
        if self.options.get("count"):
            return 0
        return False if self.is_flag and self.kind == "bool" else None

    def _check_secret(self) -> None:
        reason = None
        if not (self.secret is None or isinstance(self.secret, bool)):
            reason = f"secret is {self.secret!r}, neither True nor False"
        elif self.secret and (self.is_flag or self.options.get("count")):
            reason = "a flag can't be secret: everybody can guess it"
        elif self.secret and self.kind == "file":
            reason = "a file can't be secret: what is included is part of the run"
        if reason is not None:
            source, line = self._declared_at or (None, None)
            raise ParameterError(
                f"parameter {self.name!r}: {reason}",
                hint="take the file's path as a parameter and let the step read it: what a step reads is not recorded"
                if self.kind == "file"
                else "write secret=True for a text or number that must not be recorded, or leave it out",
                line=line,
                source=source,
            )

    def _check_type(self) -> None:
        converts = hasattr(self.type, "convert")
        if not (self.type is None or callable(self.type) or converts):
            raise ParameterError(
                f"parameter {self.name!r}: {self.type!r} is no type",
                hint="use str, int, float, bool, JSONType or a click type",
            )
        if self.separator is None:
            return
        text_default = self.default is None or self.deploy_time or isinstance(self.default, str)
        if converts or self.type not in (None, str) or not text_default:
            raise ParameterError(
                f"parameter {self.name!r}: a separator is for text parameters only",
                hint="leave out the separator, or use type=str and a text as the default",
            )
        if not isinstance(self.separator, str) or not self.separator:
            raise ParameterError(
                f"parameter {self.name!r}: the separator must be a text, not empty"
            )

    def _whole(self, value: Any) -> Any:
        if self.options.get("count"):
            return self._number(value)
        if self.is_flag:
            return self._flag(value)
        if self.is_scalar:
            return self._convert(value)
        values = self._listed(value)
        if not self.options.get("multiple"):
            return self._group(values)
        if self.arity == 1:
            return tuple(self._convert(item) for item in values)
        if isinstance(value, str):
            starts = range(0, len(values), self.arity)
            values = [values[start : start + self.arity] for start in starts]
        return tuple(self._group(self._listed(item)) for item in values)

    def _listed(self, value: Any) -> list[Any]:
        """The parts of a value, which a text has one behind the other as click has it."""
        if isinstance(value, str):
            split = getattr(self.type, "split_envvar_value", str.split)
            return list(split(value))
        try:
            return list(value)
        except TypeError:
            raise UsageError(f"parameter {self.name!r}: {value!r} is no list") from None

    def _group(self, values: list[Any]) -> tuple[Any, ...]:
        if len(values) != self.arity:
            raise UsageError(
                f"parameter {self.name!r}: {self.arity} values are needed, not {len(values)}"
            )
        if getattr(self.type, "is_composite", False):
            return tuple(self.type.convert(values, None, None))
        return tuple(self._convert(item) for item in values)

    def _flag(self, value: Any) -> Any:
        """The value of a flag: what the environment or a default says is whether it is given, or that value."""
        given = self.options.get("flag_value", True)
        if isinstance(given, bool) or value == given:
            return self._boolean(value) if isinstance(given, bool) else given
        if isinstance(value, str) and value == str(given):
            return given
        if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
            return given if self._boolean(value) else None
        return value if self.type is None else self._convert(value)

    def _convert(self, value: Any) -> Any:
        if self.separator is not None and isinstance(value, str):
            return value.split(self.separator)
        if self.kind == "bool":
            return self._boolean(value)
        if self.kind in {"int", "float"}:
            return self._number(value)
        if hasattr(self.type, "convert"):
            return self.type.convert(value, None, None)
        if self.type is None or (self.kind == "custom" and not isinstance(value, str)):
            return value
        return self.type(value)

    def _boolean(self, value: Any) -> bool:
        boolean = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else bool(value)
        if boolean is None:
            raise UsageError(
                f"parameter {self.name!r}: {value!r} is not a boolean", hint="use true or false"
            )
        return boolean

    def _number(self, value: Any) -> int | float:
        try:
            return int(value) if self.kind == "int" else float(value)
        except (TypeError, ValueError, OverflowError):
            article = "an integer" if self.kind == "int" else "a number"
            raise UsageError(f"parameter {self.name!r}: {value!r} is not {article}") from None

    if TYPE_CHECKING:
        # For type checkers: what a step reads through `self` is the parameter's value (see `members`).
        @overload
        def __get__(self, flow: None, owner: type) -> Parameter: ...
        @overload
        def __get__(self, flow: object, owner: type) -> Any: ...
        def __get__(self, flow: object | None, owner: type) -> Any: ...
        def __set__(self, flow: object, value: Any) -> None: ...

    def __repr__(self) -> str:
        return f"<Parameter {self.name!r}>"


def _example(default: Any, options: dict[str, Any]) -> Any:
    """A value whose type is that of what converts: of a default of several values, the first that is none itself."""
    if options.get("multiple") or (options.get("nargs") or 1) != 1:
        while isinstance(default, (list, tuple)):
            default = default[0] if default else None
    return default


def _kind(
    declared: Any, default: Any, separator: str | None, options: dict[str, Any]
) -> tuple[str, Any]:
    """A parameter's kind and what converts text for it, as declared or as the default has it."""
    if options.get("count"):
        declared = int
    elif options.get("is_flag") and isinstance(options.get("flag_value", True), bool):
        declared = bool
    if declared is JSONTypeClass or isinstance(declared, JSONTypeClass):
        return "json", JSONType
    if declared is not None:
        return (declared.__name__ if declared in SCALARS else "custom"), declared
    if default is None or callable(default) or separator is not None:
        return "str", str
    if type(default) in SCALARS:
        return type(default).__name__, type(default)
    return "str", None  # a default of another type stays as it is; what is given is text
