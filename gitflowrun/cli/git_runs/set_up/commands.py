"""The commands that set up and check a repository as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

import click

from gitflowrun.cli.options import json_option


@click.command(name="init")
@json_option
def init_command(as_json_: bool) -> int:
    """Set up this repository: install our git hooks, and say how your shell completes git runs.

    Asks nothing, and changes nothing a second time. What git push and git fetch do stays as it is. Runs are recorded
    in every repository, whether this was done or not. In a bare repository, which others push to, the hook makes runs
    append-only. Exits with 1 if a hook can't be installed.
    """
    from gitflowrun.cli.git_runs.set_up.init import set_up_repository

    return set_up_repository(as_json_=as_json_)


@click.command(name="fsck")
@click.option("--read-data", is_flag=True, help="Read artifacts, output and code, too.")
@json_option
@click.argument("addresses", nargs=-1, metavar="[RUN]...")
def fsck_command(read_data: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Check that runs are whole: all of them, with their tags and what is known of remotes, or each RUN.

    Histories, trees and records are read; what else they name must be here, in packs that are complete. With
    --read-data all content is read and compared with its digests, and packs with their checksums. What a partial
    clone was made without is not damage, but --read-data fetches it. Nothing is changed. Exits with 1 if anything is
    damaged. Your own objects are not looked at: 'git fsck' does that.
    """
    from gitflowrun.cli.git_runs.set_up.fsck import check_runs

    return check_runs(read_data=read_data, as_json_=as_json_, addresses=addresses)


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended.")
@json_option
def doctor_command(fix: bool, as_json_: bool) -> int:
    """Find what crashes and power cuts have left in the repository, and say what --fix does about it.

    Locks of refs, kept packs, temporary files and work trees whose process is dead; refs and objects that hold nothing;
    copies of remotes' refs that lead nowhere; git tags that runs' tags lack, the last number given, hooks of another
    release; and runs that are damaged. Exits with 1 if something is wrong and was not mended.
    """
    from gitflowrun.cli.git_runs.set_up.doctor import examine

    return examine(fix=fix, as_json_=as_json_)


@click.command(name="hooks")
@json_option
@click.option("--force", is_flag=True, help="install: replace lines of ours that were changed.")
@click.argument("action", required=False, type=click.Choice(["install", "uninstall"]))
def hooks_command(as_json_: bool, force: bool, action: str | None) -> int:
    """Install git hooks beside your own, remove them again, or show how they are.

    post-commit says so when a commit is what a run ran. pre-push sends the runs of pushed commits along when
    runs.autoPush is true. In a bare repository, pre-receive makes runs append-only. Your own hooks stay, and
    still run. What another release has installed is replaced.
    """
    from gitflowrun.cli.git_runs.set_up.hooks import change_hooks

    return change_hooks(as_json_=as_json_, action=action, force=force)


@click.command(name="textconv")
@click.option("--install", "action", flag_value="install", help="Have git call this for records.")
@click.option("--uninstall", "action", flag_value="uninstall", help="Take that back.")
@json_option
@click.argument("file", required=False)
def textconv_command(action: str | None, as_json_: bool, file: str | None) -> int:
    """Print the record or value of a run in FILE as text; without FILE, say whether git diff and git show do so.

    --install adds lines to .git/info/attributes and sets diff.runs.textconv, both in this repository only. git starts
    a process for each record that it shows: git diff of two runs with thousands of tasks takes long.
    """
    from gitflowrun.cli.git_runs.set_up.textconv import change_textconv, print_record

    return print_record(file) if file else change_textconv(action=action, as_json_=as_json_)


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, runs, steps, artifacts, tags and names of queries.

    It serves `git runs` and `git-runs`. For bash and zsh, let the shell's start-up file read it: source <(git runs
    completion bash). For fish: git runs completion fish | source. A package that is installed where the shell looks
    for scripts, as that of a system or of conda, needs none of this.
    """
    from gitflowrun.cli.git_runs.set_up.completion import print_script

    print_script(shell)


@click.command(name="hook", hidden=True)
@click.argument("name", type=click.Choice(["post-commit", "pre-push"]))
@click.argument("words", nargs=-1)
def hook_command(name: str, words: tuple[str, ...]) -> int:
    """Do the work of the git hook NAME, called with the arguments and the input that git gives it."""
    from gitflowrun.cli.git_runs.set_up.hooks import run_hook

    return run_hook(name=name, words=words)
