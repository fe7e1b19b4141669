"""The commands of `git runs` as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gitflowrun.cli.options import filter_options, json_option, stream_options

F = TypeVar("F", bound=Callable[..., Any])


@click.command(name="list")
@filter_options
@click.option("-p", "--params", is_flag=True, help="Show the parameters in which runs differ.")
@click.option("--trash", is_flag=True, help="List the runs in the trash instead.")
@json_option
def list_command(params: bool, trash: bool, as_json_: bool, **filters: Any) -> None:
    """List runs, newest first; only those of FLOW when it is given."""
    if trash:
        from gitflowrun.cli.git_runs.removal import list_trash

        list_trash(as_json_=as_json_, flow=filters["flow"])
        return
    from gitflowrun.cli.git_runs.log import print_list

    print_list(params=params, as_json_=as_json_, **filters)


@click.command(name="log")
@filter_options
@json_option
def log_command(as_json_: bool, **filters: Any) -> None:
    """Show runs one after the other, newest first; only those of FLOW when it is given."""
    from gitflowrun.cli.git_runs.log import print_log

    print_log(as_json_=as_json_, **filters)


@click.command(name="show")
@json_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
def show_command(as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Show what is recorded of runs, steps, tasks or artifacts; of the newest run without ADDRESS.

    ADDRESS is RUN, RUN/STEP, RUN/STEP/TASK or RUN/STEP/TASK/ARTIFACT.
    """
    from gitflowrun.cli.git_runs.show import print_addresses

    return print_addresses(as_json_=as_json_, addresses=addresses)


@click.command(name="diff")
@click.option("-p", "-u", "--patch", is_flag=True, help="Show the code's changes line by line.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.argument("runs", nargs=-1, metavar="[RUN [RUN]]")
def diff_command(patch: bool, exit_code: bool, as_json_: bool, runs: tuple[str, ...]) -> int:
    """Show what differs between two runs: parameters, environment, artifacts, code.

    One RUN is compared with the newest one; without any, the newest two are compared.
    """
    from gitflowrun.cli.git_runs.diff import print_difference

    return print_difference(patch=patch, exit_code=exit_code, as_json_=as_json_, runs=runs)


@click.command(name="logs")
@stream_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written until the run ends.")
@click.argument("address", default="@latest")
def logs_command(streams: tuple[str, ...], timestamps: bool, follow: bool, address: str) -> int:
    """Print what the tasks of a run, of a step, or one task wrote; running ones included.

    ADDRESS is RUN, RUN/STEP or RUN/STEP/TASK; the newest run if it is left out.
    """
    from gitflowrun.cli.git_runs.logs import print_logs

    return print_logs(streams=streams, timestamps=timestamps, follow=follow, address=address)


@click.command(name="cat")
@click.option("--raw", is_flag=True, help="Print the stored bytes, whatever they mean.")
@click.option(
    "-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to FILE, in the format that its suffix says.",
)  # fmt: skip
@click.argument("address")
def cat_command(raw: bool, file: Path | None, address: str) -> None:
    """Print an artifact: RUN/STEP/TASK/ARTIFACT, or RUN/ARTIFACT for what the run ended up with.

    Text and bytes are printed as they are. Of a value that needs the code of its flow, which nothing
    here imports, is printed what its task noted down; so it is for a pickle of somebody else's run
    until `git runs trust` allows it.

    With -o it becomes a file: .pkl and .joblib of any value, .json, .csv, .parquet, .npy, .npz, .png,
    .html, .txt of values that these can hold, text and bytes under any name. The .png or .html that a
    task has drawn of a figure needs nobody's trust.
    """
    from gitflowrun.cli.git_runs.cat import print_artifact

    print_artifact(raw=raw, file=file, address=address)


@click.command(name="tag")
@click.option("-d", "--delete", is_flag=True, help="Remove the tags instead of adding them.")
@json_option
@click.argument("address", required=False, metavar="[RUN]")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
def tag_command(delete: bool, as_json_: bool, address: str | None, tags: tuple[str, ...]) -> int:
    """List the tags of all runs, or of RUN; add TAGs to RUN, or remove them with -d."""
    from gitflowrun.cli.git_runs.tag import change_tags

    return change_tags(delete=delete, as_json_=as_json_, address=address, tags=tags)


_force = click.option(
    "-f", "--force", is_flag=True,
    help="Do not ask about runs that are running, tagged, on a remote, or the origin of others.",
)  # fmt: skip


@click.command(name="rm")
@_force
@json_option
@click.argument("addresses", nargs=-1, required=True, metavar="RUN...")
def rm_command(force: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Move RUNs to the trash, with their tags and the notes on them.

    There they stay for 30 days, or as long as runs.trashExpire says, and git runs restore puts them back. Remotes keep
    what they have, and no fetch brings it here again unless it is asked for by name.
    """
    from gitflowrun.cli.git_runs.removal import remove_runs

    return remove_runs(force=force, as_json_=as_json_, addresses=addresses)


@click.command(name="restore")
@json_option
@click.argument("addresses", nargs=-1, metavar="[RUN]...")
def restore_command(as_json_: bool, addresses: tuple[str, ...]) -> None:
    """Put RUNs back from the trash; without RUN, list the trash.

    RUN is 12, Flow/12 or the first digits of a uid. Where the name is taken, it becomes <number>-<uid>.
    """
    from gitflowrun.cli.git_runs.removal import list_trash, restore_runs

    if addresses:
        restore_runs(as_json_=as_json_, addresses=addresses)
    else:
        list_trash(as_json_=as_json_)


@click.command(name="gc")
@click.option(
    "--prune",
    metavar="AGE",
    help="Empty the trash of what is older: now, never, or such as 2.weeks.",
)
@json_option
def gc_command(prune: str | None, as_json_: bool) -> None:
    """Remove the runs for good that have been in the trash for 30 days, or as long as runs.trashExpire says.

    Frees what only they reached, and nothing of yours: packs that hold some of it are written anew without it. Also
    folds small packs and removes what crashed processes left.
    """
    from gitflowrun.cli.git_runs.removal import collect_garbage

    collect_garbage(prune=prune, as_json_=as_json_)


@click.command(name="purge")
@_force
@json_option
@click.argument("addresses", nargs=-1, required=True, metavar="RUN...")
def purge_command(force: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Remove RUNs, here or in the trash, and their objects for good, now.

    What remotes have stays there: which they are, and what removes it there, is printed.
    """
    from gitflowrun.cli.git_runs.removal import purge_runs

    return purge_runs(force=force, as_json_=as_json_, addresses=addresses)


@click.command(name="push")
@click.option("--all", "of_all", is_flag=True, help="Send also runs of others, as for a mirror.")
@click.option("--allow-secrets", is_flag=True, help="Send also runs that may hold secrets.")
@json_option
@click.argument("remote", required=False)
@click.argument("runs", nargs=-1, metavar="[RUN|FLOW]...")
def push_command(
    of_all: bool, allow_secrets: bool, as_json_: bool, remote: str | None, runs: tuple[str, ...]
) -> int:
    """Send runs and their tags to REMOTE: RUNs and all runs of FLOWs, or what was made here or is trusted.

    Where REMOTE has several push URLs, each of them gets the runs, and --json has a report for each.
    A run whose number is taken there is published as <number>-<uid>; here it keeps its number. Nothing on the
    remote is overwritten. A run that may hold secrets is refused, and the exit code is 1.
    """
    from gitflowrun.cli.git_runs.sync import push_runs

    return push_runs(remote, runs, of_all=of_all, allow_secrets=allow_secrets, as_json_=as_json_)


@click.command(name="fetch")
@json_option
@click.argument("remote", required=False)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
def fetch_command(as_json_: bool, remote: str | None, runs: tuple[str, ...]) -> int:
    """Get the runs and tags of REMOTE; runs that were removed here only if they are named, as RUN.

    A run whose number is taken here arrives as <number>-<uid>. Nothing here is overwritten, and nothing of a
    fetched run is executed: its pickles load after 'git runs trust'.
    """
    from gitflowrun.cli.git_runs.sync import fetch_runs

    return fetch_runs(remote, runs, as_json_=as_json_)


def _signers(text: str) -> Callable[[F], F]:
    return click.option(
        "--signer", "signers", multiple=True, metavar="ADDRESS|FINGERPRINT", help=text
    )


_names = click.argument("names", nargs=-1, metavar="[REMOTE|URL|RUN]...")


@click.command(name="trust")
@click.option(
    "-l", "--list", "listed", is_flag=True, help="List what is trusted, and say what that allows."
)
@click.option("-d", "--delete", is_flag=True, help="Take the trust back, as git runs untrust.")
@_signers("Trust runs that are signed by this key, or by the keys that somebody has now.")
@json_option
@_names
def trust_command(
    listed: bool, delete: bool, signers: tuple[str, ...], as_json_: bool, names: tuple[str, ...]
) -> None:
    """Trust a run as it is now, or all that is fetched from a remote; without a name, list what is trusted.

    Loading a pickle, or running the code of a run, can do anything that you can do. Runs made in this clone are
    trusted; those of others once you say so here. A remote is trusted by its URL, and its runs as the next
    git runs fetch finds them there; a signer by the fingerprint of a key.
    """
    from gitflowrun.cli.git_runs.trust import list_trusted, trust, untrust

    if delete:
        untrust(as_json_=as_json_, names=names, signers=signers)
    elif names or signers:
        trust(as_json_=as_json_, names=names, signers=signers)
    if listed or not (names or signers or delete):
        list_trusted(as_json_=as_json_)


@click.command(name="untrust")
@_signers("Trust nothing any more because of this key.")
@json_option
@_names
def untrust_command(signers: tuple[str, ...], as_json_: bool, names: tuple[str, ...]) -> None:
    """Take back the trust in a run, or in a remote and all that was fetched from it.

    Runs made in this clone stay trusted.
    """
    from gitflowrun.cli.git_runs.trust import untrust

    untrust(as_json_=as_json_, names=names, signers=signers)


@click.command(name="verify")
@click.option("-a", "--all", "everything", is_flag=True, help="Verify all runs.")
@click.option(
    "--allow-unsigned", is_flag=True, help="Exit with 0 also for runs without a signature."
)
@json_option
@click.argument("addresses", nargs=-1, metavar="[RUN]...")
def verify_command(
    everything: bool, allow_unsigned: bool, as_json_: bool, addresses: tuple[str, ...]
) -> int:
    """Check who signed runs, and that they are whole; the newest run without RUN.

    A run is good if its newest commit has a signature by a key that you know (for ssh, that
    gpg.ssh.allowedSignersFile lists; for gpg, that is in your keyring), which is the committer's, and if all that it
    consists of is here and undamaged. Exits with 1 unless all are good. Programs that the repository's own
    configuration names are not run.
    """
    from gitflowrun.cli.git_runs.verify import verify_runs

    return verify_runs(
        everything=everything, allow_unsigned=allow_unsigned, as_json_=as_json_, addresses=addresses
    )


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
    from gitflowrun.cli.git_runs.fsck import check_runs

    return check_runs(read_data=read_data, as_json_=as_json_, addresses=addresses)


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended.")
@json_option
def doctor_command(fix: bool, as_json_: bool) -> int:
    """Find what crashes and power cuts have left in the repository, and say what --fix does about it.

    Locks of refs, kept packs and temporary files whose process is dead; refs and objects that hold nothing; copies of
    remotes' refs that lead nowhere; git tags that runs' tags lack, the last number given, hooks of another release; and
    runs that are damaged. Exits with 1 if something is wrong and was not mended.
    """
    from gitflowrun.cli.git_runs.doctor import examine

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
    from gitflowrun.cli.git_runs.hooks import change_hooks

    return change_hooks(as_json_=as_json_, action=action, force=force)


@click.command(name="hook", hidden=True)
@click.argument("name", type=click.Choice(["post-commit", "pre-push"]))
@click.argument("words", nargs=-1)
def hook_command(name: str, words: tuple[str, ...]) -> int:
    """Do the work of the git hook NAME, called with the arguments and the input that git gives it."""
    from gitflowrun.cli.git_runs.hooks import run_hook

    return run_hook(name=name, words=words)
