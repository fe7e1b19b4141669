"""`@project`: flows of one name that people run beside each other, each in a branch of the project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.current import current
from gitflowrun.flow.decorators.base import FlowDecorator
from gitflowrun.flow.decorators.declare import FlowDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

_NAME = re.compile(r"[a-z0-9_]+\Z")
_LONGEST = 128


class ProjectDecorator(FlowDecorator):
    """Tag every run of the flow with a project and a branch of it.

    The branch is `user.<user>`, with `branch` `test.<branch>`; in production `prod`, or `prod.<branch>`.

    Args:
        name: The project: lower-case letters, digits and underscores, 128 at most.
        branch: The branch; the option `--branch` where it is not given here.
        production: Whether runs are those of production; the option `--production` makes them so.
    """

    name = "project"
    defaults: ClassVar[Mapping[str, Any]] = {"name": None, "branch": None, "production": False}
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "branch": {"help": "Run in this branch of the project.  [default: that of the user]"},
        "production": {
            "is_flag": True, "default": False, "help": "Run as the project's production.",
        },
    }  # fmt: skip
    _facts: Mapping[str, Any]

    def flow_init(
        self,
        flow: Any,
        graph: Any,
        environment: Any,
        flow_datastore: Any,
        metadata: Any,
        logger: Any,
        echo: Any,
        options: Mapping[str, Any],
    ) -> None:
        """Decide which branch it is."""
        name, branch = self.attributes["name"], self.attributes["branch"]
        if name is None:
            raise DecoratorError("@project has no name", hint='write @project(name="my_project")')
        _check("name", name)
        if branch and options.get("branch"):
            raise DecoratorError(
                f"--branch {options['branch']} is given, and @project says branch={branch!r}",
                hint="leave one of them out",
            )
        branch = branch or options.get("branch")
        if branch:
            _check("branch", branch)
        is_production = bool(self.attributes["production"] or options.get("production"))
        if is_production:
            full = f"prod.{branch}" if branch else "prod"
        else:
            full = f"test.{branch}" if branch else f"user.{current.username}"
        self._facts = {
            "project_name": name,
            "branch_name": full,
            "is_user_branch": not is_production and not branch,
            "is_production": is_production,
            "project_flow_name": f"{name}.{full}.{type(flow).__name__}",
        }
        echo(f"Project: {name}, branch: {full}")

    def get_top_level_options(self) -> list[tuple[str, Any]]:
        """The branch, as it was chosen."""
        words = ("branch", "production")
        return [(word, self.attributes[word]) for word in words if self.attributes[word]]

    def system_tags(self) -> tuple[str, ...]:
        """Project and branch."""
        facts = self._facts
        return f"project:{facts['project_name']}", f"project_branch:{facts['branch_name']}"

    def facts(self) -> Mapping[str, Any]:
        """Project and branch."""
        return self._facts


def _check(what: str, value: Any) -> None:
    if not isinstance(value, str) or not _NAME.match(value) or len(value) > _LONGEST:
        raise DecoratorError(
            f"@project: {what} {value!r} can't be",
            hint=f"use lower-case ASCII letters, digits and underscores, {_LONGEST} at most",
        )


project = FlowDeclaration(ProjectDecorator)
