"""The commands that run again as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from pathlib import Path

import click

from gitflowrun.cli.options import json_option

_FLOW_WORDS = {"allow_interspersed_args": False, "ignore_unknown_options": True}
"""What follows RUN is the flow's: its options are known to its program alone."""


class _WithPaths(click.Command):
    """A command that takes paths behind `--`, as git's do: click would take them for its own arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the paths aside, and read the rest."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["paths"] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])


@click.command(name="checkout", cls=_WithPaths, options_metavar="[OPTIONS]")
@click.option(
    "--plain", is_flag=True, help="Make a plain directory, and no work tree of this repository."
)
@json_option
@click.argument("address", metavar="RUN")
@click.argument(
    "place", required=False, metavar="[DIR] [-- PATH...]", type=click.Path(path_type=Path)
)
@click.pass_context
def checkout_command(
    ctx: click.Context, plain: bool, as_json_: bool, address: str, place: Path | None
) -> None:
    """Write the code of RUN, uncommitted changes included, to the new directory DIR.

    DIR is <Flow>-<id> if it is left out. It becomes a work tree of this repository at the commit that was checked
    out, where git status shows what had been changed; 'git worktree remove --force DIR' takes it away. With PATHs
    only these files and directories are written, to a plain directory. Nothing is overwritten, and nothing of the
    code is started, whoever made the run.
    """
    from gitflowrun.cli.git_runs.again.checkout import check_out_run

    check_out_run(
        plain=plain, as_json_=as_json_, address=address, place=place, paths=ctx.meta["paths"]
    )


@click.command(name="rerun", context_settings=_FLOW_WORDS)
@click.option("--same-code", is_flag=True, help="Run the code of RUN instead of today's.")
@json_option
@click.argument("address", metavar="RUN")
@click.argument("words", nargs=-1, metavar="[OPTION]...", type=click.UNPROCESSED)
def rerun_command(same_code: bool, as_json_: bool, address: str, words: tuple[str, ...]) -> int:
    """Run the flow of RUN again with its parameters, but for those that are given: git runs rerun 12 --lr 0.1.

    What follows RUN are options of the flow's own 'run' command. The file is today's; with --same-code that of RUN, in
    a work tree that is there as long as it runs, without files that git ignores. Secret parameters have to be given
    again. A run of somebody else is run once 'git runs trust' allows it. Exits as the flow does.
    """
    from gitflowrun.cli.git_runs.again.rerun import rerun

    return rerun(same_code=same_code, as_json_=as_json_, address=address, words=words)


@click.command(name="resume", context_settings=_FLOW_WORDS)
@click.option("--step", metavar="STEP", help="Run this step again, and all that follows it.")
@json_option
@click.argument("address", metavar="RUN")
@click.argument("words", nargs=-1, metavar="[OPTION]...", type=click.UNPROCESSED)
def resume_command(step: str | None, as_json_: bool, address: str, words: tuple[str, ...]) -> int:
    """Run again what failed in RUN and what follows it, with today's code, and reuse what is finished.

    It is the flow's own 'resume' command, started from wherever you are; what follows RUN are its options. A run of
    somebody else is resumed once 'git runs trust' allows it. Exits as the flow does.
    """
    from gitflowrun.cli.git_runs.again.rerun import resume

    return resume(step=step, as_json_=as_json_, address=address, words=words)
