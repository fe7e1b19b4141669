"""The commands that share runs as they are declared: arguments, options and help.

What a command does is imported when it runs, so that its help costs what click costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gitflowrun.cli.options import json_option

F = TypeVar("F", bound=Callable[..., Any])


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
    remote is overwritten. A run that may hold secrets is refused, and the exit code is 1, as it is where anything
    else was not sent, such as a tag that REMOTE does not take.
    """
    from gitflowrun.cli.git_runs.share.sync import push_runs

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
    from gitflowrun.cli.git_runs.share.sync import fetch_runs

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
    from gitflowrun.cli.git_runs.share.trust import list_trusted, trust, untrust

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
    from gitflowrun.cli.git_runs.share.trust import untrust

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
    from gitflowrun.cli.git_runs.share.verify import verify_runs

    return verify_runs(
        everything=everything, allow_unsigned=allow_unsigned, as_json_=as_json_, addresses=addresses
    )
