"""The command `card`: the cards of the flow's runs, with Metaflow's subcommands."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cards.found_cards import cards_of_run
from gitflowrun.cli.card_choice import (
    SHORT_HASH,
    WantedCards,
    card_lines,
    open_card,
    which_card,
    write_html,
)
from gitflowrun.cli.errors import FLOW, Damage
from gitflowrun.cli.options import together
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.errors import (
    InvalidPathspec,
    NotFound,
    TaskNotFoundException,
)
from gitflowrun.names import TaskName, did_you_mean
from gitflowrun.runs.live import observe
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.cards.found_cards import FoundCard
    from gitflowrun.cli.flow.context import FlowContext
    from gitflowrun.runs.read import StoredTask

_PATHSPEC = "[RUN/]STEP[/TASK]"
_ID = re.compile(r"[A-Za-z0-9_]+\Z")
_HINT = "`card list` shows which cards there are"
_FORMS = "write STEP for the newest run, RUN/STEP or RUN/STEP/TASK"


_which = together(
    which_card,
    click.option(
        "--follow-resumed/--no-follow-resumed", default=True, show_default=True,
        help="Whether a task that was taken over from another run has the cards that it had there.",
    ),
)  # fmt: skip


@click.group(name="card", invoke_without_command=True)
@click.pass_context
def card_command(ctx: click.Context) -> None:
    """Look at the cards of tasks, or create one of a task that is done."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@card_command.command(name="list")
@click.argument("pathspec", required=False, metavar=f"[RUN|{_PATHSPEC}]")
@_which
@click.option("--as-json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Write that document to this file."
)  # fmt: skip
@click.pass_obj
def list_(
    flow: FlowContext,
    /,
    pathspec: str | None,
    as_json: bool,
    file: Path | None,
    **which: Any,
) -> int:
    """List the cards of a task, or of all tasks of a run: of the newest one if none is named."""
    wanted, damage = WantedCards(**which), Damage(FLOW)
    what = _listed(flow, pathspec)
    if isinstance(what, StoredRun):
        flow.say(f"Listing cards for run {what.pathspec}")
        cards = [*cards_of_run(what, damage.tell, wanted.of)]
    else:
        cards = wanted.of(what)
    if not cards and not damage.exit_code:
        raise wanted.missing(what.pathspec, _HINT)
    rows = [(task, [*of_task]) for task, of_task in groupby(cards, lambda it: it.task.pathspec)]
    if as_json or file is not None:
        documents = [_document(*row) for row in rows]
        _write_document(documents if isinstance(what, StoredRun) else documents[0], file)
        return damage.exit_code
    with open_screen(flow.repository, page=True) as screen:
        for task, of_task in rows:
            screen.line(screen.style.yellow(printable(task)))
            screen.lines(card_lines(of_task))
    return damage.exit_code


@card_command.command(name="get")
@click.argument("pathspec", metavar=_PATHSPEC)
@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@_which
@click.pass_obj
def get(flow: FlowContext, /, pathspec: str, path: Path | None, **which: Any) -> None:
    """Write a card as HTML to standard output, or to PATH."""
    wanted = WantedCards(**which)
    card = _only_card(flow, pathspec, wanted, "get")
    if card is not None:
        write_html(card, path)


@card_command.command(name="view")
@click.argument("pathspec", metavar=_PATHSPEC)
@_which
@click.pass_obj
def view(flow: FlowContext, /, pathspec: str, **which: Any) -> None:
    """Open a card in a browser; where there is none, say where the file is."""
    card = _only_card(flow, pathspec, WantedCards(**which), "view")
    if card is not None:
        open_card(card, flow.say)


def _json_object(
    _ctx: click.Context, _option: click.Parameter, value: str | None
) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{value} is not a JSON object")
    return found


@card_command.command(name="create")
@click.argument("pathspec", metavar=_PATHSPEC)
@click.option("--type", "type_", default="default", show_default=True, help="The type of the card.")
@click.option("--id", "id_", metavar="ID", help="The id to call it by.")
@click.option("--options", callback=_json_object, metavar="JSON", help="What its type is given.")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="How long it may take.  [default: any time]",
)
@click.option(
    "--render-error-card", is_flag=True, help="Create a card that says what went wrong, should anything."
)  # fmt: skip
@click.pass_obj
def create(
    flow: FlowContext,
    /,
    pathspec: str,
    type_: str,
    id_: str | None,
    options: dict[str, Any],
    timeout: int | None,
    render_error_card: bool,
) -> None:
    """Create a card of a task that is done. It is kept in this clone alone: a run that has ended does not change."""
    from gitflowrun.cards.card_creation import create_card
    from gitflowrun.cards.card_limits import CARD_ID

    if id_ is not None and not (_ID.match(id_) and len(id_) <= CARD_ID):
        flow.say(
            f"--id {printable(id_)!r} is left out: ids are of up to {CARD_ID} letters, digits and underscores"
        )
        id_ = None
    task = task_at(flow, pathspec)
    flow.say(f"Creating a card of type {printable(type_)} of {task.pathspec}")
    with contextlib.redirect_stdout(sys.stderr):  # what the card prints is not what was asked for
        card = create_card(
            task,
            type=type_,
            id=id_,
            options=options,
            timeout=timeout,
            save_errors=render_error_card,
        )
    flow.say(f"Card created with type: {printable(type_)} and hash: {card.hash[:SHORT_HASH]}")


@card_command.command(name="server")
@click.option(
    "--run-id", metavar="RUN", help="The run.  [default: the newest one, whenever that is]"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8324, show_default=True,
    help="The port to serve on; 0 takes one that is free.",
)  # fmt: skip
@click.option("--namespace", metavar="TAG", help="Only a run with this tag.")
@click.option(
    "--poll-interval", type=click.IntRange(min=1), default=5, show_default=True, metavar="SECONDS",
    help="How often the page looks for what is new.",
)  # fmt: skip
@click.option(
    "--max-cards", type=click.IntRange(min=1), default=30, show_default=True, metavar="NUMBER",
    help="How many cards are listed at most, the newest first.",
)  # fmt: skip
@click.pass_obj
def server(
    flow: FlowContext,
    /,
    run_id: str | None,
    port: int,
    namespace: str | None,
    poll_interval: int,
    max_cards: int,
) -> None:
    """Show the cards of a run in a browser, those of running tasks as they change, until it is interrupted."""
    from gitflowrun.web.card_server import CardServer
    from gitflowrun.web.run_cards import RunCards

    cards = RunCards(flow.repository, flow.name, run_id, namespace, max_cards)
    serving = CardServer(cards, port, poll_interval)
    flow.say("Cards are shown until you press Ctrl-C at")
    click.echo(serving.url)
    with contextlib.suppress(KeyboardInterrupt):
        serving.serve()
    flow.say()


def newest_run(flow: FlowContext) -> StoredRun:
    """The newest run of a flow. Raises NotFound."""
    run = RunStore(flow.repository).latest(flow.name)
    if run is None:
        raise NotFound(f"{flow.name} has no runs yet", hint=f"`{flow.command('run')}` makes one")
    return observe(run)


def task_at(flow: FlowContext, pathspec: str) -> StoredTask:
    """The task that a pathspec names: of a step of many tasks the newest.

    Raises:
        TaskNotFoundException: there is none.
        InvalidPathspec: it is not the pathspec of a task.
    """
    run, step, task = _parsed(flow, pathspec)
    if step is None:
        raise InvalidPathspec(f"{pathspec!r} names a run, not a task", hint=_FORMS)
    try:
        return run.task(TaskName(step, task if task is not None else run.tasks(step)[-1]))
    except NotFound as error:
        raise TaskNotFoundException(pathspec, error.message, hint=error.hint) from None


def _parsed(flow: FlowContext, pathspec: str) -> tuple[StoredRun, str | None, str | None]:
    """The run, the step and the task that a pathspec names, as far as it does."""
    if "/" not in pathspec:
        newest = newest_run(flow)
        if newest.has_step(pathspec):
            return newest, pathspec, None
    try:
        address = RunStore(flow.repository).resolve(pathspec, flow.name, spins=True)
    except NotFound as error:
        hint = error.hint
        if "/" not in pathspec:
            hint = did_you_mean(pathspec, newest.known_steps(), _FORMS)
        raise TaskNotFoundException(pathspec, error.message, hint=hint) from None
    if address.artifact is not None:
        raise InvalidPathspec(f"{pathspec!r} is not the pathspec of a task", hint=_FORMS)
    return observe(address.run), address.step, address.task


def _listed(flow: FlowContext, pathspec: str | None) -> StoredRun | StoredTask:
    """The task whose cards are listed, or the run."""
    if pathspec is None:
        return newest_run(flow)
    run, step, _ = _parsed(flow, pathspec)
    return run if step is None else task_at(flow, pathspec)


def _only_card(
    flow: FlowContext, pathspec: str, wanted: WantedCards, verb: str
) -> FoundCard | None:
    """The card that is meant; None if there are several, which are told, as Metaflow does it.

    Raises:
        CardNotPresentException: there is none.
    """
    task = task_at(flow, pathspec)
    flow.say(f"Resolving card: {task.pathspec}")
    cards = wanted.of(task)
    if not cards:
        raise wanted.missing(task.pathspec, _HINT)
    if len(cards) == 1:
        return cards[0]
    lines = [f"{counted(len(cards), 'card')} of {task.pathspec} are meant:", *card_lines(cards)]
    where = f"{task.run.id}/{task.name}"
    lines += [
        "Name one:",
        f"    {flow.command('card', verb, where, '--hash', cards[0].hash[:SHORT_HASH])}",
    ]
    click.echo("\n".join(lines), err=True)
    return None


def _document(task: str, cards: Sequence[FoundCard]) -> dict[str, Any]:
    """What is listed of a task, with Metaflow's keys."""
    rows = [
        {"id": card.id, "hash": card.hash, "type": card.type, "filename": card.name}
        for card in cards
    ]
    return {"pathspec": task, "cards": rows}


def _write_document(document: Any, file: Path | None) -> None:
    if file is None:
        click.echo(json.dumps(document, indent=4))
    else:
        file.write_text(json.dumps(document), encoding="utf-8")
