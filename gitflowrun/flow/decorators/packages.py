"""`@conda`, `@pypi`, `@uv` and their forms for flows: the packages that steps want.

They are accepted and recorded. Tasks run in the interpreter that runs the flow, whose packages each run records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.base import FlowDecorator, StepDecorator
from gitflowrun.flow.decorators.declare import FlowDeclaration, StepDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

_NOTICE = "@{0} is recorded, and provides nothing here: tasks use the packages of the interpreter that runs the flow."


class _Packages(StepDecorator):
    """A decorator that asks for packages."""

    defaults: ClassVar[Mapping[str, Any]] = {"packages": {}, "python": None, "disabled": None}

    def notice(self) -> str:
        """What the user should know."""
        return _NOTICE.format(self.name)


class CondaDecorator(_Packages):
    """Say which conda packages a step wants. They are recorded; the step runs with what is installed.

    Args:
        packages: Versions by the packages' names.
        libraries: The same, as Metaflow once called it.
        python: The version of Python.
        disabled: Whether the step wants none, whatever `@conda_base` says.
    """

    name = "conda"
    defaults: ClassVar[Mapping[str, Any]] = {**_Packages.defaults, "libraries": {}}


class PypiDecorator(_Packages):
    """Say which packages of the Python Package Index a step wants. They are recorded; it runs with what is installed.

    Args:
        packages: Versions by the packages' names.
        python: The version of Python.
        disabled: Whether the step wants none, whatever `@pypi_base` says.
    """

    name = "pypi"


class UvDecorator(_Packages):
    """Say which packages a step wants from uv. They are recorded; the step runs with what is installed.

    Args:
        packages: Versions by the packages' names.
        python: The version of Python.
        disabled: Whether the step wants none.
    """

    name = "uv"


class _FlowPackages(FlowDecorator):
    """A decorator of flows that asks for packages."""

    defaults: ClassVar[Mapping[str, Any]] = {"packages": {}, "python": None, "disabled": None}

    def notice(self) -> str:
        """What the user should know."""
        return _NOTICE.format(self.name)


class CondaBaseDecorator(_FlowPackages):
    """Say which conda packages all steps of a flow want, as `@conda` does for one.

    Args:
        packages: Versions by the packages' names.
        libraries: The same, as Metaflow once called it.
        python: The version of Python.
        disabled: Whether steps want none.
    """

    name = "conda_base"
    defaults: ClassVar[Mapping[str, Any]] = {**_FlowPackages.defaults, "libraries": {}}


class PypiBaseDecorator(_FlowPackages):
    """Say which packages of the Python Package Index all steps of a flow want, as `@pypi` does for one.

    Args:
        packages: Versions by the packages' names.
        python: The version of Python.
        disabled: Whether steps want none.
    """

    name = "pypi_base"


conda = StepDeclaration(CondaDecorator)
conda_base = FlowDeclaration(CondaBaseDecorator)
pypi = StepDeclaration(PypiDecorator)
pypi_base = FlowDeclaration(PypiBaseDecorator)
uv = StepDeclaration(UvDecorator)
