"""Rendering of errors on the command line, and all its exit codes.

`git runs` words errors as git does (`fatal:`, `hint:`, exit codes 128 and 129), a flow file as Metaflow does
(headline, then message; 1 and 2). A user's mistake never shows a traceback unless GITFLOWRUN_DEBUG=1 is set;
an error that nobody foresaw is a bug of ours and always shows one.

click is imported only when a click command is invoked: the scheduler renders errors, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

from gitflowrun.cli.output.streams import OutputError, open_closed_streams, whole_streams
from gitflowrun.cli.output.terminal import style_for
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import (
    SYSTEM_LIMITS,
    FlowError,
    GitflowrunError,
    MetaflowException,
    UsageError,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import click

    from gitflowrun.git.repository import Repository

# All exit codes of both command lines, but those of errors that know their own (`GitflowrunError.exit_code`).
DIFFERS = 1  # `diff --exit-code`, as git diff has it
REFUSED = (
    1  # a run was not sent, a hook not installed or a tag not there to be removed, as git has it
)
UNVERIFIED = 1  # a run's signature is not good, as `git verify-commit` has it
DAMAGED = 1  # something is not whole, as `git fsck` has it
_FATAL, _USAGE = 128, 129  # git's
UNREADABLE = _FATAL  # a part of what is shown can't be read
_FLOW_USAGE = 2  # Metaflow's, which is click's
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
_BROKEN_PIPE = 141  # 128 + SIGPIPE, what git dies of when its reader has gone

_LONG_VALUE = re.compile(r"[!-.0-~]{512,}")  # a sentence of a language without spaces is none
_HEAD, _TAIL = 100, 20  # characters of such a value that are shown
_GIT_RUNS = "git runs"  # in hints
_NO_MEMORY = GitflowrunError("there is not enough memory", hint=SYSTEM_LIMITS)


@frozen
class Dialect:
    """How a front end words its errors.

    Attributes:
        name: For messages about ourselves.
        headline: Whether the kind of error comes first; otherwise the word `fatal`.
        fatal: The exit code of an error; None when the error knows it itself.
        usage: The exit code of a wrong command line.
        git: Tells how `git` is typed here for the repository in question; None where that is the one around us.
    """

    name: str
    headline: bool
    fatal: int | None
    usage: int
    git: Callable[[], str] | None = None


GIT = Dialect(_GIT_RUNS, headline=False, fatal=_FATAL, usage=_USAGE)
FLOW = Dialect("gitflowrun", headline=True, fatal=None, usage=_FLOW_USAGE)


def report_error(
    error: MetaflowException, dialect: Dialect, stream: TextIO | None = None, word: str = "fatal"
) -> int:
    """Write what happened and what to do next; return the exit code.

    Args:
        error: What happened.
        dialect: How it is worded.
        stream: Where to; stderr when None.
        word: What comes first, where that is not the kind of error.
    """
    stream = stream or sys.stderr
    style = style_for(stream)
    if dialect.headline:
        word = error.headline
    elif isinstance(error, UsageError):
        word = "error"
    lines = [f"{style.red(word + ':')} {_safe(_brief(error.told))}"]
    if error.hint:
        hint = error.hint
        if dialect.git and _GIT_RUNS in hint:
            hint = hint.replace(_GIT_RUNS, f"{dialect.git()} runs")
        lines += [f"{style.yellow('hint:')} {line}" for line in _safe(hint).split("\n")]
    _write("\n".join(lines), stream)
    if isinstance(error, UsageError):
        return dialect.usage
    return error.exit_code if dialect.fatal is None else dialect.fatal


class Damage:
    """Tells, once each, what can't be read of that which is shown: the rest of it is shown all the same.

    Args:
        dialect: How errors are worded.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._told: set[str] = set()
        self.exit_code = 0

    def tell(self, error: GitflowrunError) -> None:
        """Something can't be read."""
        if error.message not in self._told:
            self._told.add(error.message)
            sys.stdout.flush()
            self.exit_code = report_error(error, self._dialect, word="error")


def _brief(text: str) -> str:
    """A message without the middle of values that are too long to be repeated; parts of paths are never so long."""
    return _LONG_VALUE.sub(lambda it: f"{it[0][:_HEAD]}…{it[0][-_TAIL:]}", text)


def _safe(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _write(text: str, stream: TextIO | None = None) -> None:
    stream = stream or sys.stderr
    # A closed stderr is no reason to lose the exit code.
    with contextlib.suppress(OSError, ValueError):
        stream.write(text + "\n")
        stream.flush()


def _traceback() -> None:
    import traceback

    _write(traceback.format_exc().rstrip("\n"))


def warn_of_settings(repo: Repository) -> None:
    """For commands that do as settings say: tell people of those that they may have misspelt."""
    from gitflowrun.settings import unknown_settings

    for notice in unknown_settings(repo.config):
        sys.stderr.write(f"warning: {printable(notice)}\n")


def explain_uncaught() -> None:
    """Let an error of ours that ends a program, as one in the source of a flow, show its words and no traceback."""
    if sys.excepthook is not sys.__excepthook__:
        return  # a debugger's, a notebook's, or this one

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, MetaflowException) and not os.environ.get("GITFLOWRUN_DEBUG"):
            report_error(error, FLOW)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook


def exit_code_of(body: Callable[[], int], dialect: Dialect) -> int:
    """Run `body` to its exit code, telling whatever goes wrong in it."""
    open_closed_streams()
    with whole_streams():
        return _run(body, dialect)


def _run(body: Callable[[], int], dialect: Dialect) -> int:
    try:
        code = body()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _write("")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone (`| head`)
        return _BROKEN_PIPE
    except (MetaflowException, OSError) as error:
        if os.environ.get("GITFLOWRUN_DEBUG"):
            _traceback()
        return report_error(_told(error), dialect)
    except MemoryError:
        return report_error(_NO_MEMORY, dialect)
    except Exception:  # noqa: BLE001  (nothing above catches it but the shell)
        _traceback()
        _write(f"{dialect.name}: internal error; please report the lines above")
        return dialect.fatal or 1
    return code


def _told(error: MetaflowException | OSError) -> MetaflowException:
    if isinstance(error, MetaflowException):
        return error
    what = error.strerror or str(error)
    if isinstance(error, OutputError):
        return GitflowrunError(f"the output can't be written: {what}", hint=error.hint)
    if error.filename:
        return GitflowrunError(f"{error.filename}: {what}")
    hint = None
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        hint = "free some space on the disk of the repository, and on that of TMPDIR"
    return GitflowrunError(f"a file can't be read or written: {what}", hint=hint)


def invoke(
    command: click.Command, args: Sequence[str], name: str, dialect: Dialect, **settings: Any
) -> int:
    """Run a click command to its exit code; `settings` are those of its context."""
    settings.setdefault("help_option_names", ["-h", "--help"])
    import click

    from gitflowrun.cli.output.help_text import keep_words

    def body() -> int:
        try:
            result = keep_words(command).main(
                list(args), prog_name=name, standalone_mode=False, **settings
            )
        except click.UsageError as error:
            return _tell_usage(error, dialect, name)
        except click.ClickException as error:
            raise GitflowrunError(error.format_message()) from error
        except click.Abort as error:
            raise KeyboardInterrupt from error
        except SystemExit as error:
            # What click makes of a broken pipe; anything else is of code of the user's, which the command has called.
            if _raiser(error).partition(".")[0] == "click":
                raise BrokenPipeError from None
            raise FlowError(
                f"the flow's code has called sys.exit({error.code!r}), and ended what was to be done with it",
                hint="raise an exception there instead, which says what is wrong",
            ) from error
        return result if isinstance(result, int) else 0

    return exit_code_of(body, dialect)


def _raiser(error: BaseException) -> str:
    """The module that has raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))


def _tell_usage(error: click.UsageError, dialect: Dialect, name: str) -> int:
    style = style_for(sys.stderr)
    message = _safe(_brief(error.format_message()).replace("\t", "    ")).rstrip(".")
    lines = [f"{style.red('error:')} {message}"]
    if error.ctx is None:  # click does not say of which command an option lacks its value
        more = f"see `{name} --help`" if dialect.headline else f"see `{name} <command> -h`"
        lines.append(f"{style.yellow('hint:')} {more}")
    else:
        usage = error.ctx.get_usage()
        more = f"see `{error.ctx.command_path} --help`"
        lines = (
            [usage, "", *lines, more[0].upper() + more[1:]]
            if dialect.headline
            else [*lines, usage[0].lower() + usage[1:], f"{style.yellow('hint:')} {more}"]
        )
    _write("\n".join(lines))
    return dialect.usage
