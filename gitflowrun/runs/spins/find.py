"""Spun tasks by their addresses: `spin-3` and `Flow/spin-3`, with `/step/task/artifact` behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound
from gitflowrun.git.objects import Oid
from gitflowrun.names import SpinId
from gitflowrun.runs import layout
from gitflowrun.runs.lookup.resolve import Address, address_in
from gitflowrun.runs.read import StoredRun

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository


def resolve_spin(repo: Repository, text: str, flow: str | None = None) -> Address | None:
    """The spun task, or the part of one, that an address names; None of an address of another form.

    A tag that is called so is `tag:spin-3`.

    Args:
        repo: The repository.
        text: The address.
        flow: Look at those of this flow only.

    Raises:
        NotFound: there is none.
        InvalidPathspec: the address has too many parts.
    """
    parts = text.split("/")
    place = 0 if SpinId.matches(parts[0]) else 1
    if len(parts) <= place or not SpinId.matches(parts[place]):
        return None
    if place and flow not in {None, parts[0]}:
        return None
    run = find_spin(repo, SpinId(parts[place]), parts[0] if place else flow)
    return address_in(run, parts[place + 1 :])


def find_spin(repo: Repository, spin: SpinId, flow: str | None) -> StoredRun:
    """The spun task of an id, which no two flows have; of one flow only where that is given. Raises NotFound."""
    refs = repo.refs.below(layout.below(layout.SPINS, flow))
    found = {ref: name for ref in refs if (name := layout.parse_spin_ref(ref))}
    for ref, name in found.items():
        if name[1] == spin:
            return StoredRun(repo, *name, Oid.from_hex(refs[ref]))
    newest = max(found.values(), key=lambda name: name[1].number, default=None)
    where = f" of flow {flow}" if flow else ""
    raise NotFound(
        f"there is no spun task {spin}{where}",
        hint=f"the newest is {newest[1]}" if newest else "`python FLOW.py spin STEP` spins one",
    )
