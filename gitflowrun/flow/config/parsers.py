"""Parsers: what a text becomes, for `Config(parser=...)` and `IncludeFile(parser=...)`; and four of them.

Those for dependencies return `{"packages": {name: version}, "python": version or None}`, in which `1.0` stands for
`==1.0`, as environments of packages are described elsewhere.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?:\[(?P<extras>[A-Za-z0-9._,\s-]*)\])?\s*"
    r"(?:@\s*(?P<url>\S+)|\(?(?P<versions>[^();@]*)\)?)?\s*"
    r"(?:;(?P<marker>.*))?\Z"
)
_VERSION = re.compile(r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+\Z")
_CONDA = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\s*(?P<version>(?:[=<>!~].*)?)\Z")
_KEY = re.compile(r"(?P<key>[A-Za-z_][\w-]*)\s*:\s*(?P<rest>.*)\Z")


def find_parser(dotted: str) -> Callable[[Any], Any]:
    """The function at `package.module.function`.

    Raises:
        UsageError: there is none.
    """
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise UsageError(
            f"the parser {dotted!r} can't be imported: {type(error).__name__}: {error}",
            hint="name a function as package.module.function, of a module that Python finds",
        ) from error
    if not callable(found):
        raise UsageError(
            f"the parser {dotted!r} is not a function", hint="name one as package.module.function"
        )
    function: Callable[[Any], Any] = found
    return function


def json_parser(content: str) -> Any:
    """What a JSON text says."""
    return json.loads(content)


def requirements_txt_parser(content: str) -> dict[str, Any]:
    """The packages of a `requirements.txt`: one requirement a line, without options, paths and markers.

    Args:
        content: The text of the file.

    Raises:
        ValueError: a line is something else.
    """
    return _packages(line.partition("#")[0].strip() for line in content.splitlines())


def pyproject_toml_parser(content: str) -> dict[str, Any]:
    """The packages that `project.dependencies` of a `pyproject.toml` names, and its `requires-python`.

    Args:
        content: The text of the file.

    Raises:
        ValueError: it is no TOML, or a requirement has a form that is not supported.
    """
    project = _toml(content).get("project", {})
    if not isinstance(project, dict):
        raise ValueError(f"`project` is {project!r}, not a table")  # noqa: TRY004  (as of all that is wrong)
    listed = project.get("dependencies", [])
    lines = [listed] if isinstance(listed, str) else listed
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("`project.dependencies` is no list of texts")
    found = _packages(line.strip() for line in lines)
    python = project.get("requires-python")
    if python is not None and not isinstance(python, str):
        raise ValueError("`project.requires-python` is no text")
    return {**found, "python": found["python"] if python is None else python.strip().lstrip("= ")}


def conda_environment_yml_parser(content: str) -> dict[str, Any]:
    """The packages of a conda `environment.yml`: its `dependencies`, one a line, without channels and `pip:`.

    Args:
        content: The text of the file.

    Raises:
        ValueError: a dependency has a form that is not supported.
    """
    packages: dict[str, str] = {}
    python = None
    is_within = False
    for number, whole in enumerate(content.splitlines(), 1):
        line = whole.partition("#")[0].strip()
        if not line:
            continue
        key = _KEY.match(line)
        if key is not None:
            is_within = key["key"] == "dependencies"
            if is_within and key["rest"]:
                raise ValueError(
                    f"line {number}: write the dependencies one a line, each behind a dash"
                )
            continue
        if not is_within:
            continue
        name, version = _conda_package(line, number)
        if name == "python":
            python = version
        else:
            packages[name] = version
    return {"packages": packages, "python": python}


def yaml_parser(content: str) -> Any:
    """What a YAML text says. It needs PyYAML: `pip install 'gitflowrun[yaml]'`.

    Args:
        content: The text.

    Raises:
        ValueError: it is no YAML.
        NotFound: PyYAML is not installed.
    """
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise NotFound(
            "reading YAML needs PyYAML, which is not installed here",
            hint="pip install 'gitflowrun[yaml]'",
        ) from None
    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _toml(content: str) -> dict[str, Any]:
    for module in ("tomllib", "tomli"):  # the first one is Python's own since 3.11
        try:
            found: dict[str, Any] = import_module(module).loads(content)
        except ImportError:
            continue
        return found
    raise NotFound(
        "reading TOML needs tomli on this Python, which is not installed here",
        hint="pip install 'gitflowrun[toml]'",
    )


def _packages(lines: Iterable[str]) -> dict[str, Any]:
    packages: dict[str, str] = {}
    python = None
    for line in filter(None, lines):
        name, version = _requirement(line)
        if name.lower() == "python":
            python = version or None
        else:
            packages[name] = version
    return {"packages": packages, "python": python}


def _requirement(line: str) -> tuple[str, str]:
    """Name, with extras and URL, and versions of one requirement."""
    match = _REQUIREMENT.match(line)
    if match is None:
        raise ValueError(f"{line!r} is no requirement: write NAME, NAME==VERSION or NAME @ URL")
    if match["marker"] is not None:
        raise ValueError(
            f"{line!r} has an environment marker, which is not supported: leave it out"
        )
    extras = sorted(filter(None, (it.strip() for it in (match["extras"] or "").split(","))))
    name = match["name"] + (f"[{','.join(extras)}]" if extras else "")
    if match["url"]:
        return f"{name}@{match['url']}", ""
    parts = [part.strip() for part in (match["versions"] or "").split(",")]
    if parts == [""]:
        return name, ""
    if not all(map(_VERSION.match, parts)):
        raise ValueError(f"{line!r} is no requirement: write NAME, NAME==VERSION or NAME @ URL")
    versions = {re.sub(r"\s+", "", part) for part in parts}
    return name, ",".join(sorted(versions)).lstrip("=")


def _conda_package(line: str, number: int) -> tuple[str, str]:
    package = line.removeprefix("-").strip()
    if len(package) > 1 and package[0] == package[-1] and package[0] in "'\"":
        package = package[1:-1].strip()
    match = _CONDA.match(package) if line.startswith("-") else None
    if match is None:
        what = "a pip section" if package.startswith("pip:") else "no package of conda's"
        raise ValueError(
            f"line {number}, {package!r}, is {what}: write `- NAME` or `- NAME=VERSION`"
        )
    return match["name"], match["version"].strip().lstrip("=").strip()
