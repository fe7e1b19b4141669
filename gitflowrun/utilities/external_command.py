"""`self.cmd`: a command line of the shell, with files that it reads and files that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import ExternalCommandFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

Content = bytes | str


def run_command(
    cmdline: str,
    input: Mapping[str, Content] | None = None,  # noqa: A002  (Metaflow's name)
    output: Iterable[str] = (),
) -> bytes | list[bytes]:
    """Run a command line in a shell, in the current directory. What it prints is output of the program.

    Args:
        cmdline: The command line.
        input: Contents of files that it reads, by their paths. They are written before, and stay.
        output: Paths of files that it makes.

    Returns:
        The content of the file that `output` names; a list of contents where there are several, or none.

    Raises:
        ExternalCommandFailed: it has failed, or has not made a file.
        UsageError: `input` or `output` are of a wrong kind.
    """
    import subprocess  # seldom needed, and slow

    files = {} if input is None else input
    if isinstance(output, str | bytes):
        raise UsageError("self.cmd: `output` is text", hint=f"pass a list: output=[{output!r}]")
    if not isinstance(files, Mapping):
        raise UsageError(
            f"self.cmd: `input` is {type(files).__name__}",
            hint="pass the contents of files by their names: input={'in.txt': b'text'}",
        )
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run(cmdline, shell=True, check=False)  # noqa: S602  (a line of the shell is what is asked for)
    if done.returncode:
        how = (
            f"was killed by signal {-done.returncode}"
            if done.returncode < 0
            else f"returned exit code {done.returncode}"
        )
        raise ExternalCommandFailed(f"the command {cmdline!r} {how}")
    made = [_content(name, cmdline) for name in output]
    return made[0] if len(made) == 1 else made


def _content(name: str, cmdline: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ExternalCommandFailed(
            f"the command {cmdline!r} has not made {name!r}: {error.strerror}",
            hint="`output` lists the files whose contents are returned",
        ) from error
