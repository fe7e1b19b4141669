"""Forged runs by the names of their refs, their tags and the shapes of their histories."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import partial

from tests.security import shapes
from tests.security.hostile import texts
from tests.security.parts import RunParts, Variant, refer, set_part


def refs(parts: RunParts, canaries: str) -> Iterator[Variant]:
    """Runs under every form of name that git takes, and things that are no runs under the names of runs."""
    flow, base = parts.flow, 70_000
    forms = [
        "refs/runs/{f}/{n}/x", "refs/runs/{f}/{n}-abcdef1", "refs/runs/{f}/{n}-{z}", "refs/runs/{f}/0{n}",
        "refs/runs/{f}/-{n}",
        "refs/runs/{f}/{n}-abc", "refs/runs/{f}/{n}000000000000000", "refs/runs/{f}/999999999999999999",
        "refs/runs/{f}/" + "9" * 200, "refs/runs/{n}", "refs/runs/-{f}/{n}", "refs/runs/{f};touch/{n}",
        "refs/runs/$(touch)/{n}", "refs/runs/{f}\u202e/{n}", "refs/runs/{f}\x80\x9b/{n}", "refs/runs/<b>x/{n}",
        "refs/runs/__class__/{n}", "refs/runs/" + "x" * 240 + "/{n}", "refs/runs/{f}/a/b/c/{n}", "refs/runs/@{f}/{n}",
        "refs/runs/@archive/{f}{n}", "refs/runs/@index/{n}", "refs/runs/@tags/{n}", "refs/runs/@trust/{n}",
        "refs/runs-trash/1/{f}/{n}", "refs/runs-trash/{n}", "refs/runs-remotes/x/{f}/{n}",
        "refs/runs-spin/{f}/{n}", "refs/runs-spin/{f}/0{n}", "refs/runs-spin/{n}", "refs/runs-spin/{f}/{n}/x",
        "refs/runs-spin/{f}/" + "9" * 200, "refs/runs-spin/{f}/{n}-abcdef1", "refs/runs-spin/{f};touch/{n}",
        "refs/runs-remotes/" + "0" * 64 + "/{f}/{n}", "refs/runs-trust/{n}", "refs/gitflowrun/{n}",
        "refs/notes/runs{n}",
        "refs/tags/runs/{f}/t/{n}-abcdef1", "refs/tags/runs/{f}/%1b%5b2J/{n}-abcdef1", "refs/tags/--output={n}",
        "refs/replace/{z}", "refs/runs/%2e%2e/{n}", "refs/runs/{f}/{n}%00", "refs/runs/HEAD/{n}",
        "refs/runs/{f}/HEAD{n}",
        "refs/runs/٣/{n}", "refs/runs/{f}/٣{n}", "refs/runs/CON/{n}", "refs/runs/x.y/{n}", "refs/runs/{f}/{n}.pack",
    ]  # fmt: skip
    for index, form in enumerate(forms):
        ref = form.format(f=flow, n=base + index, z=f"{base + index:040x}")
        yield Variant(f"ref {ref[:60]!a}", set_part("ref", ref))
    for index, what in enumerate(("tree", "blob", "first")):
        ref = f"refs/runs/{flow}/{base + 500 + index}"
        yield Variant(f"{ref} is a {what}", refer(ref, what))
    for index, text in enumerate(texts(canaries)):
        name = "".join([char for char in text if char.isprintable() and char not in " ~^:?*[\\{}"])
        name = name[:80].strip("./-")
        if name and not re.search(r"\.\.|//|/\.|\.lock$", name):
            ref = f"refs/runs/{name}/{base + 600 + index}"
            yield Variant(f"ref {ref[:60]!a}", set_part("ref", ref))


def tags() -> Iterator[Variant]:
    """Tags with names that decode to anything, on things that are no runs."""
    names = ["plain", "%1b%5d0;OWNED%07", "%00", "%2e%2e", "%2F%2e%2e%2Fx", "%", "%zz", "%e2%80%ae", "%ff",
    "%0a", "%3cscript%3e",
             "%ed%a0%80", "a/b", "%61", "x" * 230, "--output=x", "%2Doutput", "user:ada", "latest",
             "@latest", "1", "production"]  # fmt: skip
    for name, what in itertools.product(names, ("first", "tip", "tree", "blob")):

        def change(parts: RunParts, name: str = name, what: str = what) -> None:
            parts.refs[f"refs/runs/@tags/{parts.flow}/{name}/{parts.number}"] = what
            parts.refs[f"refs/tags/runs/{parts.flow}/{name}/{parts.number}-abcdef1"] = what

        yield Variant(f"tag {name[:24]} on {what}", change)
    for ref in ("{f}/t/1", "Other/t/{n}", "{f}/{n}", "{f}/t/0{n}", "{f}/t/{n}/x", "{f}/t/99{n}"):
        yield Variant(f"tag ref {ref}", partial(_tag, form=ref))


def _tag(parts: RunParts, form: str) -> None:
    parts.refs["refs/runs/@tags/" + form.format(f=parts.flow, n=parts.number)] = "first"


def histories() -> Iterator[Variant]:
    """Commits in every order and number that a run must not have."""
    for what, weave in shapes.histories():
        yield Variant(f"history: {what}", set_part("weave", weave))
