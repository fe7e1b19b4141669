"""What the wheel installs beside the package: the pages of the manual, where `man` looks for them.

hatchling loads this file when it builds a wheel, and then alone it is used. The pages are made at that time and not
kept in the repository: so they are those of the options that the wheel has.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Puts `share/man/man1/git-runs*.1` into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Make the files, and name them to the builder."""
        self._made = Path(tempfile.mkdtemp(prefix="gitflowrun-wheel-"))
        sys.dont_write_bytecode = True  # nothing of a build stays in the checkout
        sys.path.insert(0, self.root)
        from gitflowrun.cli.manual.installed import installed_files

        for place, text in installed_files().items():
            path = self._made / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what is in the wheel by now."""
        shutil.rmtree(self._made)
