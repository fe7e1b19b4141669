"""The configs of a run: what the command line, the environment and the declarations say, read and parsed; once a run.

1. `resolve_configs` finds and parses them in the process of the command line: what was given there, else what the
   run's origin had, else the environment, else the default. All that is wrong is said at once.
2. `pack_configs` (`known`) makes them bytes, which go to every process of the run.
3. `apply_configs` (`known`) makes them known to the class: in that process, and in each that runs tasks.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable
from gitflowrun.artifacts.config_value import plain
from gitflowrun.errors import ConfigError, GitflowrunError, UsageError
from gitflowrun.flow.config.declaration import declaration_of
from gitflowrun.flow.config.known import LARGEST, pack_configs, unpack_configs
from gitflowrun.flow.config.parsers import find_parser, json_parser
from gitflowrun.flow.members import configs_by_name, configs_of
from gitflowrun.flow.parameter_values import (
    RESERVED_PARAMETERS,
    ParameterContext,
    call_deploy_time,
)
from gitflowrun.flow.secret_names import is_called_secret
from gitflowrun.limits import RECORD_SIZE
from gitflowrun.names import did_you_mean
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitflowrun.flow.config.declaration import ConfigDeclaration

_BRANDS = ("METAFLOW", "GITFLOWRUN")  # the last one wins
HOW = "`--config NAME PATH` or `--config-value NAME JSON`, before the command, gives a config"


@frozen
class GivenConfigs:
    """The configs that somebody has given, by name.

    Attributes:
        files: Those of which the path of a file was given.
        values: Those that were given as text.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


@frozen
class FoundConfigs:
    """The configs of a run.

    Attributes:
        values: Their values as plain data, by attribute.
        sources: Where they come from, by name: the absolute path of a file, or words.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]


def check_configs(flow_cls: type) -> None:
    """Check the declarations of a flow's configs.

    Raises:
        ConfigError: a name or a default that can't be, or two configs of one name.
    """
    names: dict[str, str] = {}
    for attribute, config in configs_of(flow_cls).items():
        declared = declaration_of(config)
        _check(declared)
        other = names.setdefault(declared.name, attribute)
        if other != attribute:
            raise ConfigError(
                f"the configs {other!r} and {attribute!r} have the same name {declared.name!r}",
                hint="give one of them another name",
            )


def resolve_configs(
    flow_cls: type,
    given: GivenConfigs,
    *,
    origin: Mapping[str, Any] | None = None,
    origin_name: str = "",
    environ: Mapping[str, str] | None = None,
    username: str = "",
    logger: Callable[..., None] = lambda *_lines, **_options: None,
) -> FoundConfigs:
    """Find and parse the configs of a flow.

    Args:
        flow_cls: The flow.
        given: What the command line gives.
        origin: The values that the run's origin had, by attribute.
        origin_name: What that run is called.
        environ: The environment; that of this process when None.
        username: Who runs, for functions that compute defaults.
        logger: Prints a line for the user, in these.

    Raises:
        UsageError: configs are unknown, missing, unreadable or can't be parsed: all that is wrong, in one message.
        ConfigError: a declaration, or a function that computes a default, is wrong.
    """
    check_configs(flow_cls)
    declared = [declaration_of(config) for config in configs_of(flow_cls).values()]
    problems: list[str] = []
    said = [
        _Said("the command line", given),
        _of_environment(os.environ if environ is None else environ, problems),
    ]
    _find_unknown(flow_cls.__name__, [it.name for it in declared], said, problems)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for it in declared:
        candidates = said[:1] if origin and it.attribute in origin else said
        found = _given(it, candidates, problems)
        if found is None and origin and it.attribute in origin:
            values[it.attribute], sources[it.name] = plain(origin[it.attribute]), origin_name
            continue
        context = ParameterContext(flow_cls.__name__, username, it.name, logger)
        source, text = found or _default(flow_cls, it, context, problems)
        sources[it.name] = source
        values[it.attribute] = None if text is None else _parsed(it, text, problems)
    if problems:
        raise UsageError(f"the flow can't be configured: {'; '.join(problems)}", hint=HOW)
    return FoundConfigs(values, sources)


def config_warnings(flow_cls: type) -> list[str]:
    """What to tell of the secrets that configs hold: a config is recorded."""
    said = []
    for name, value in configs_by_name(flow_cls).items():
        secret = list(_secret_keys(value, ""))
        if secret:
            said.append(
                f"config {name!r} holds {', '.join(secret[:3])}, which counts as secret by its name, and is recorded: "
                "take it out, and let a parameter with secret=True or the environment of the step give it"
            )
    return said


# ---- declarations ----


def _check(declared: ConfigDeclaration) -> None:
    name = declared.name
    reason = hint = None
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        reason, hint = "the name can't be one", "use a text that can be typed"
    elif name in RESERVED_PARAMETERS:
        reason, hint = "the name is reserved for an option", "give the config another name"
    elif not (declared.default is None or _is_path(declared.default) or callable(declared.default)):
        reason, hint = (
            f"the default {declared.default!r} is not the path of a file",
            "give a path, a function that returns one, or the config itself as default_value",
        )
    elif not (
        declared.default_value is None
        or isinstance(declared.default_value, (str, dict))
        or callable(declared.default_value)
    ):
        reason, hint = (
            f"default_value is {declared.default_value!r}, neither text nor a map",
            "give a map, a text for the parser, or a function that returns either",
        )
    elif not (declared.parser is None or callable(declared.parser) or _is_dotted(declared.parser)):
        reason, hint = (
            f"{declared.parser!r} is no parser",
            "give a function, or where one is as text: package.module.function",
        )
    if reason is not None:
        raise ConfigError(f"config {name!r}: {reason}", hint=hint)


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str)


def _is_dotted(text: object) -> bool:
    return isinstance(text, str) and "." in text and all(text.split("."))


# ---- what was given ----


@frozen
class _Said:
    """What one place gives.

    Attributes:
        where: What the place is called.
        given: The configs.
        variables: The variable of the environment that gives a value, by the config's name.
    """

    where: str
    given: GivenConfigs
    variables: Mapping[str, str] = field(default_factory=dict)


def _of_environment(environ: Mapping[str, str], problems: list[str]) -> _Said:
    """What the environment gives: of one config, the package's own variable wins over Metaflow's."""
    files: dict[str, str] = {}
    values: dict[str, str] = {}
    variables: dict[str, str] = {}
    for brand in _BRANDS:
        files.update(_variable(environ, f"{brand}_FLOW_CONFIG", problems))
        variable = f"{brand}_FLOW_CONFIG_VALUE"
        for name, text in _variable(environ, variable, problems).items():
            values[name], variables[name] = text, variable
    return _Said("the environment", GivenConfigs(files, values), variables)


def _variable(environ: Mapping[str, str], variable: str, problems: list[str]) -> dict[str, str]:
    """The configs that a variable gives, by name: their texts, or the paths of their files."""
    text = environ.get(variable)
    if not text:
        return {}
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        if isinstance(value, dict):
            return {k: it if isinstance(it, str) else json.dumps(it) for k, it in value.items()}
    problems.append(f"the environment variable {variable} is no JSON map of names to configs")
    return {}


def _find_unknown(flow: str, names: list[str], said: list[_Said], problems: list[str]) -> None:
    for place in said:
        for name in dict.fromkeys((*place.given.files, *place.given.values)):
            if name not in names:
                hint = did_you_mean(name, names, f"it has {', '.join(names) or 'none'}")
                problems.append(f"flow {flow!r} has no config {name!r} ({place.where}): {hint}")


def _given(
    it: ConfigDeclaration, said: list[_Said], problems: list[str]
) -> tuple[str, str | None] | None:
    """Where a config was given, and its text; None where it was not."""
    for place in said:
        files, values = place.given.files, place.given.values
        if it.name in files and it.name in values:
            problems.append(f"config {it.name!r} is given as a file and as a value ({place.where})")
            return place.where, None
        if it.name in files:
            return _file(it.name, files[it.name], [Path(files[it.name]).expanduser()], problems)
        if it.name in values:
            return place.variables.get(it.name, place.where), values[it.name]
    return None


def _default(
    flow_cls: type, it: ConfigDeclaration, context: ParameterContext, problems: list[str]
) -> tuple[str, str | None]:
    """Where the default of a config comes from, and its text; None where there is none."""
    default, value = it.default, it.default_value
    what = f"config {it.name!r}"
    if callable(default):
        default = call_deploy_time(what, default, context)
        if default is not None and not _is_path(default):
            raise ConfigError(
                f"the function that computes the file of {what} returned {type(default).__name__}",
                hint="return the path of a file",
            )
    if callable(value):
        value = call_deploy_time(what, value, context)
        if not (value is None or isinstance(value, (str, dict))):
            raise ConfigError(
                f"the function that computes {what} returned {type(value).__name__}",
                hint="return a map or a text",
            )
    if default is not None:
        path = Path(default).expanduser()
        places = [path] if path.is_absolute() else [path, *_beside(flow_cls, it, path)]
        return _file(it.name, str(default), places, problems)
    if value is not None:
        try:
            return "default", value if isinstance(value, str) else json.dumps(plain(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"default_value of {what} can't be written as JSON: {error}",
                hint="give it as text, and a parser that makes the value of it",
            ) from error
    if it.required:
        problems.append(f"config {it.name!r} must be given")
    return "default", None


def _beside(flow_cls: type, it: ConfigDeclaration, path: Path) -> Iterator[Path]:
    """A relative path from the directory of the file that declares a config."""
    for owner in flow_cls.__mro__:
        if it.attribute in vars(owner):
            file = getattr(sys.modules.get(owner.__module__), "__file__", None)
            if file:
                yield Path(file).resolve().parent / path
            return


def _file(name: str, path: str, places: list[Path], problems: list[str]) -> tuple[str, str | None]:
    """The absolute path of a config's file, and its text."""
    first = None
    for place in places:
        try:
            with place.open("rb") as stream:
                content = stream.read(RECORD_SIZE + 1)
            if len(content) > RECORD_SIZE:
                problems.append(
                    f"the file {path!r} of config {name!r} has more than {RECORD_SIZE >> 20} MiB"
                )
                return str(place), None
            return str(place.resolve()), content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            first = f"it is no UTF-8 text ({error.reason} at byte {error.start})"
            break
        except (OSError, ValueError) as error:
            first = first or getattr(error, "strerror", None) or str(error)
    problems.append(f"the file {path!r} of config {name!r} can't be read: {first}")
    return path, None


def _parsed(it: ConfigDeclaration, text: str, problems: list[str]) -> Any:
    """The value of a config's text as plain data; None, with a problem more, where there is none."""
    if it.plain and it.parser is None:
        return text
    try:
        parser = find_parser(it.parser) if isinstance(it.parser, str) else it.parser
        value = (parser or json_parser)(text)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a user's parser may raise anything)
        problems.append(_failed(it, error))
        return None
    if not it.plain and not isinstance(value, dict) and not (value is None and parser is None):
        problems.append(
            f"config {it.name!r} is of type {type(value).__name__}, not a map (plain=True takes any value)"
        )
        return None
    try:
        return _made_plain(it, value)
    except (Unencodable, RecursionError) as error:
        problems.append(f"config {it.name!r} can't be stored: {error}")
        return None


def _failed(it: ConfigDeclaration, error: BaseException) -> str:
    told = error.message if isinstance(error, GitflowrunError) else str(error)
    if it.parser is None:
        return f"config {it.name!r} is no valid JSON: {told or type(error).__name__}"
    if isinstance(error, GitflowrunError):
        hint = f" ({error.hint})" if error.hint else ""
        return f"config {it.name!r}: {told}{hint}"
    return f"the parser can't read config {it.name!r}: {type(error).__name__}: {told}"


def _made_plain(it: ConfigDeclaration, value: Any) -> Any:
    """A value of plain dicts, which travels and is stored exactly."""
    made = plain(dict(value) if isinstance(value, dict) and not it.plain else value)
    packed = pack_configs({it.attribute: made})
    if len(packed[it.attribute]) > LARGEST:
        raise Unencodable(f"it takes more than {LARGEST >> 20} MiB")
    return unpack_configs(packed)[it.attribute]


def _secret_keys(value: Any, path: str) -> Iterator[str]:
    """The places within a value that are called like secrets and hold something."""
    if isinstance(value, dict):
        for key, item in value.items():
            place = f"{path}.{key}" if path else str(key)
            if isinstance(item, str) and item and is_called_secret(str(key)):
                yield place
            else:
                yield from _secret_keys(item, place)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _secret_keys(item, f"{path}[{number}]")
