"""`Parameter`: a value that a run is given, as a flow declares it, and the conversion of text to such a value.

The command line makes its options of `Parameter`s. Types are Python's own, the
`JSONType` for values that are written as JSON, and those of click, which are used through their `convert` and
never imported. `parameter_values` finds the values of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from gitflowrun.errors import ParameterError, UsageError


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
        **options: Passed to `click.option` as they are.

    Attributes:
        kind: `str`, `int`, `float`, `bool`, `json`, `file` or `custom`.
        type: What converts text: a Python type, `JSONType`, a click type, a function; None leaves it text.
    """

    def __init__(
        self,
        name: str,
        default: Any = None,
        type: Any = None,  # noqa: A002  (Metaflow's name)
        help: str | None = None,  # noqa: A002  (Metaflow's name)
        required: bool | None = None,
        show_default: bool | str | None = None,
        separator: str | None = None,
        **options: Any,
    ) -> None:
        self.name = name
        self.default = default
        self.kind, self.type = _kind(type, default, separator)
        self.help = help
        self.required = bool(required) and default is None
        self.show_default = default is not None if show_default is None else show_default
        self.separator = separator
        self.options = options

    @property
    def deploy_time(self) -> bool:
        """Whether the default is a function, called when a run starts."""
        return callable(self.default)

    @property
    def envvars(self) -> tuple[str, str]:
        """The environment variables that give a value, the first one winning."""
        suffix = "RUN_" + self.name.upper().replace("-", "_")
        return "GITFLOWRUN_" + suffix, "METAFLOW_" + suffix

    def convert(self, value: Any) -> Any:
        """The parameter's value for a text that was given (or for a declared default).

        Raises:
            UsageError: it is no value of the parameter's type.
        """
        try:
            return self._convert(value)
        except UsageError:
            raise
        except Exception as error:
            # A type of the user's may raise anything; click's BadParameter says it in `message`.
            reason = getattr(error, "message", None) or str(error) or type(error).__name__
            raise UsageError(f"parameter {self.name!r}: {reason}") from error

    def check(self) -> None:
        """Check the declaration's type and default.

        Raises:
            ParameterError: a type that can't be, a default that is not of the type, or a separator for a
                parameter that is no text.
        """
        self._check_type()
        if self.deploy_time:
            return
        try:
            self.static_default()
        except UsageError as error:
            raise ParameterError(
                f"the default of {error.message}",
                hint="make the default a value of the parameter's type",
            ) from None

    def static_default(self) -> Any:
        """The value of a default that is no function; None without one.

        Raises:
            UsageError: the default is not of the parameter's type.
        """
        if self.default is None or self.options:
            return self.default  # with click's options (`multiple`, `nargs`) only click can convert
        return self.convert(self.default)

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


def _kind(declared: Any, default: Any, separator: str | None) -> tuple[str, Any]:
    """A parameter's kind and what converts text for it, as declared or as the default has it."""
    if declared is JSONTypeClass or isinstance(declared, JSONTypeClass):
        return "json", JSONType
    if declared is not None:
        return (declared.__name__ if declared in SCALARS else "custom"), declared
    if default is None or callable(default) or separator is not None:
        return "str", str
    if type(default) in SCALARS:
        return type(default).__name__, type(default)
    return "str", None  # a default of another type stays as it is; what is given is text
