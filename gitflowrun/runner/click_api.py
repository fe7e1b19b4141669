"""The command line of a flow as Python calls: keyword arguments become the words that one would type.

The flow's own program says which options it has (`python FLOW.py options`): its module is imported there, as for a
run, and not in the program that starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import entry_point
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Words = list[str]
_KINDS: dict[str, Any] = {"bool": bool, "int": Integral, "float": Real}


def extended(env: Mapping[str, str] | None, profile: str | None = None) -> dict[str, str]:
    """The environment of a flow's program: that of this one, and what is given."""
    more = {} if profile is None else {"METAFLOW_PROFILE": profile}
    return {**os.environ, **more, **(env or {})}


@frozen
class Option:
    """An option or argument, as `gitflowrun.cli.flow.option_list` describes it."""

    name: str
    alias: str | None
    flag: str | None
    off: str | None
    kind: str
    parts: int
    multiple: bool
    separator: str | None
    variable: str | None

    def words(self, value: Any, variables: dict[str, str]) -> _Words:
        """What one types to give the option a value.

        Args:
            value: The value.
            variables: Takes the environment variable that gives a secret, which no command line should have.

        Raises:
            TypeError: the value is not of the option's type.
        """
        if self.kind == "flag":
            return self._flag(value)
        if not self.multiple:
            return self._once(value, variables)
        if not isinstance(value, list | tuple):
            raise self._mismatch(value, "a list")
        return [word for one in value for word in self._once(one, variables)]

    def _flag(self, value: Any) -> _Words:
        if not isinstance(value, bool):
            raise self._mismatch(value, "bool")
        word = self.flag if value else self.off
        return [] if word is None else [word]

    def _once(self, value: Any, variables: dict[str, str]) -> _Words:
        if self.parts == 1:
            parts = [self._text(value)]
        else:
            is_right = isinstance(value, list | tuple) and len(value) == self.parts
            if not is_right:
                raise self._mismatch(value, f"{self.parts} values")
            parts = [self._text(part) for part in value]
        if self.variable is not None:
            variables[self.variable] = parts[0]
            return []
        return parts if self.flag is None else [self.flag, *parts]

    def _text(self, value: Any) -> str:
        kind = self.kind
        if self.separator is not None and isinstance(value, list | tuple):
            return self.separator.join(map(str, value))
        if kind == "any" or (kind in {"str", "json"} and isinstance(value, str)):
            return str(value)
        if kind == "json" or (kind == "str" and self.parts > 1):  # the value of a config is JSON
            return json.dumps(value)
        if kind == "path" and isinstance(value, str | os.PathLike):
            return os.fspath(value)
        if isinstance(value, _KINDS.get(kind, ())) and (kind == "bool") == isinstance(value, bool):
            number: Any = value
            return str(float(number) if kind == "float" else number)
        raise self._mismatch(value, kind)

    def _mismatch(self, value: Any, expected: str) -> TypeError:
        return TypeError(
            f"argument {self.name!r} is {type(value).__name__} ({value!r}), and must be {expected}"
        )


class MetaflowAPI:
    """The command line of a flow file.

        words = MetaflowAPI.from_cli("flow.py")(quiet=True).run(alpha=3, tags=["try"])

    Args:
        flow_file: The file.
        env: Variables of the environment to be added to that of this process.
        cwd: The directory that the program starts in; the current one when None.
        timeout: Seconds that the program has to say what its options are.

    Attributes:
        variables: What the environment has to have for the words that were made last, besides `env`.
    """

    def __init__(
        self,
        flow_file: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._file = flow_file
        self._env = dict(env or {})
        self._cwd = cwd
        self._timeout = timeout
        self._top: _Words = []
        self._options: dict[str, list[Option]] = {}
        self.variables: dict[str, str] = {}

    @classmethod
    def from_cli(cls, flow_file: str, cli_collection: Any = None, **options: Any) -> MetaflowAPI:
        """The command line of a flow file; Metaflow's way to make one.

        Args:
            flow_file: The file.
            cli_collection: Not used.
            **options: As of the class.
        """
        _ = cli_collection
        return cls(os.path.abspath(flow_file), **options)  # noqa: PTH100  (links stay as they are)

    def __call__(self, **options: Any) -> MetaflowAPI:
        """The same with options that stand before the command.

        Raises:
            ValueError: there is no such option.
            TypeError: a value is not of its option's type.
        """
        self._options = self._described()
        self._top = self._words("top", options)
        return self

    def run(self, **arguments: Any) -> _Words:
        """The words of `run`. Raises as a call does."""
        return self._command("run", arguments)

    def resume(self, **arguments: Any) -> _Words:
        """The words of `resume`. Raises as a call does."""
        return self._command("resume", arguments)

    def spin(self, **arguments: Any) -> _Words:
        """The words of `spin`. Raises as a call does."""
        return self._command("spin", arguments)

    def _command(self, command: str, arguments: dict[str, Any]) -> _Words:
        if not self._options:
            self._options = self._described()
        if command not in self._options:  # its parameters depend on configs
            self._options = self._described("--configured")
        self.variables = {}
        words = self._words(command, arguments)
        return [*self.program, command, *words]

    @property
    def program(self) -> list[str]:
        """The words that start the flow's program, up to its command."""
        return [sys.executable, *entry_point.through, self._file, *self._top]

    def _words(self, part: str, given: dict[str, Any]) -> _Words:
        options = self._options[part]
        known = {name: it for it in options for name in (it.alias, it.name) if name}
        unknown = [name for name in given if name not in known]
        if unknown:
            listed = ", ".join(it.name for it in options)
            raise ValueError(f"unknown argument {unknown[0]!r}; possible are {listed}")
        chosen = [(known[name], value) for name, value in given.items() if value is not None]
        words: _Words = []
        for option, value in sorted(chosen, key=lambda row: row[0].flag is None):
            words += option.words(value, self.variables)
        return words

    def _described(self, *more: str) -> dict[str, list[Option]]:
        """What the flow's program says of its options. Raises RuntimeError, or TimeoutError, where not."""
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder, "options.json")
            command = [*self.program, "options", "--file", str(answer), *more]
            try:
                done = subprocess.run(
                    command, cwd=self._cwd, env=extended(self._env), timeout=self._timeout, capture_output=True,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(
                    f"{self._file!r} has not said within {self._timeout} seconds which options it has"
                ) from error
            try:  # it may have been killed, or its disk full, while it wrote
                document = json.loads(answer.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                code = done.returncode
                raise RuntimeError(failure(command, code, done.stdout, done.stderr)) from error
        return {
            part: [Option(**row) for row in document[part]]
            for part in ("top", "run", "resume", "spin")
            if document[part] is not None
        }


def failure(command: Sequence[str], code: int | None, out: bytes, err: bytes) -> str:
    """What to say of a program that has ended before it has said what it was to say."""
    import shlex

    texts = [text.decode(errors="replace").rstrip("\n") for text in (out, err)]
    said = f"stdout:\n{texts[0]}\n\nstderr:\n{texts[1]}\n"
    hint = ""
    if code == 0:
        hint = 'does the file end with `if __name__ == "__main__": MyFlow()`?\n'
    return f"the flow's program has ended with {code}: {shlex.join(command)}\n{hint}\n{said}"
