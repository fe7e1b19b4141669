"""Parsers of configs: what they make of files, and what they say of those that they can't read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from gitflowrun import (
    conda_environment_yml_parser,
    pyproject_toml_parser,
    requirements_txt_parser,
    yaml_parser,
)
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.flow.config.parsers import find_parser

# What Metaflow makes of the same texts.
REQUIREMENTS = {
    "numpy==1.0\npandas>=1,<2\n": ({"numpy": "1.0", "pandas": "<2,>=1"}, None),
    "": ({}, None),
    "# only a comment\n\n": ({}, None),
    "numpy": ({"numpy": ""}, None),
    "numpy==1.0 # why": ({"numpy": "1.0"}, None),
    "python==3.10.*\nnumpy": ({"numpy": ""}, "3.10.*"),
    "python>=3.10": ({}, ">=3.10"),
    "python": ({}, None),
    "a @ git+https://x/y.git@v1": ({"a@git+https://x/y.git@v1": ""}, None),
    "requests[b,a] >= 2.8": ({"requests[a,b]": ">=2.8"}, None),
    "  Numpy  ==  1.0  \r\nx": ({"Numpy": "1.0", "x": ""}, None),
    "numpy>=1\nnumpy<2": ({"numpy": "<2"}, None),
    "a~=1.4.2": ({"a": "~=1.4.2"}, None),
    "a===1.0": ({"a": "1.0"}, None),
    "a>=1.0,!=1.2": ({"a": "!=1.2,>=1.0"}, None),
    "x-y_z.w==1": ({"x-y_z.w": "1"}, None),
}
NO_REQUIREMENTS = (
    "python 3.10", "-r other.txt", "--index-url https://x", "-e .", "git+https://x/y.git", "./a.whl",
    "a=1", "a==1 --hash=sha256:0", "!!", "a; python_version<'3'", "a==", "a==1 2", "\ufeffa",
)  # fmt: skip
PYPROJECT = {
    '[project]\nname="x"\ndependencies=["a==1.0","b>=1"]\nrequires-python=">=3.9"': (
        {"a": "1.0", "b": ">=1"},
        ">=3.9",
    ),
    "": ({}, None),
    "[tool.x]\na=1": ({}, None),
    '[project]\ndependencies=["a"]\noptional-dependencies={dev=["x"]}': ({"a": ""}, None),
    '[project]\nrequires-python="==3.10"': ({}, "3.10"),
    '[project]\ndependencies=["python==3.9"]': ({}, "3.9"),
    '[project]\ndependencies=["a  ==  1 , <2"]': ({"a": "<2,==1"}, None),
}
NO_PYPROJECT = (
    "bad = [", "project=1", "[project]\ndependencies=[1]", "[project]\nrequires-python=3",
    '[project]\ndependencies=["a;x"]', '[project]\ndependencies=["-r x"]',
)  # fmt: skip
CONDA = {
    "name: x\nchannels:\n  - c\ndependencies:\n  - python=3.10\n  - a=1.0\n": (
        {"a": "1.0"},
        "3.10",
    ),
    "": ({}, None),
    "dependencies:\n- a\n- b>=1\n": ({"a": "", "b": ">=1"}, None),
    "dependencies:\n  - a=1.0=py310\n": ({"a": "1.0=py310"}, None),
    "dependencies:\n  - a==1.0\n  # why\n  - b # d\nprefix: /x\n": ({"a": "1.0", "b": ""}, None),
    "dependencies:\n  - python\n": ({}, ""),
    "dependencies:\n  - a <2,>=1\n": ({"a": "<2,>=1"}, None),
    "dependencies:\n  - a\n  - a=2\n": ({"a": "2"}, None),
    "channels:\n- a\n- b\n": ({}, None),
    "dependencies:\n  - 'a=1'\n": ({"a": "1"}, None),
}
NO_CONDA = (
    "dependencies:\n  - pip:\n    - x\n", "dependencies:\n  - a 1.0\n", "dependencies:\n  - c::a=1\n",
    "dependencies:\n  - [a]\n", "dependencies: [a, b=1]\n",
)  # fmt: skip


def check(parser: Callable[[str], Any], rows: dict[str, tuple[dict[str, str], str | None]]) -> None:
    """See what a parser makes of texts."""
    for text, (packages, python) in rows.items():
        assert parser(text) == {"packages": packages, "python": python}, text


def test_requirements() -> None:
    """Versions without the sign for an exact one, sorted; python apart; the last of a name counts."""
    check(requirements_txt_parser, REQUIREMENTS)


def test_pyproject() -> None:
    """The dependencies of the project and its Python; groups and other tables are left out."""
    check(pyproject_toml_parser, PYPROJECT)


def test_conda() -> None:
    """The dependencies, whatever else the file says."""
    check(conda_environment_yml_parser, CONDA)


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        *((requirements_txt_parser, text) for text in NO_REQUIREMENTS),
        *((pyproject_toml_parser, text) for text in NO_PYPROJECT),
        *((conda_environment_yml_parser, text) for text in NO_CONDA),
    ],
)
def test_what_can_not_be_read(parser: Callable[[str], Any], text: str) -> None:
    """What is no such file, or has what is not supported, is refused and never left out in silence."""
    with pytest.raises(ValueError, match=r"."):
        parser(text)


def test_yaml() -> None:
    """YAML needs PyYAML; what is no YAML, or would make objects, is one line of complaint."""
    pytest.importorskip("yaml")
    assert yaml_parser("a: 1\nb: {c: [1, 2]}\n") == {"a": 1, "b": {"c": [1, 2]}}
    for text in ("a: [", "!!python/object:os.system x", "a: 1\n---\nb: 2"):
        with pytest.raises(ValueError, match="line 1") as error:
            yaml_parser(text)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parser", "modules", "hint"),
    [
        (yaml_parser, ["yaml"], r"gitflowrun\[yaml\]"),
        (pyproject_toml_parser, ["tomllib", "tomli"], r"gitflowrun\[toml\]"),
    ],
)
def test_without_the_library(
    parser: Callable[[str], Any], modules: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the library that reads a format is not installed, the error says what to install."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotFound, match=hint):
        parser("a: 1")


def test_by_their_names() -> None:
    """A parser is found by module and name; what is not there is said so."""
    assert find_parser("gitflowrun.yaml_parser") is yaml_parser
    for dotted in ("nowhere.at_all", "json.nope", "json.__doc__"):
        with pytest.raises(UsageError, match="parser"):
            find_parser(dotted)
