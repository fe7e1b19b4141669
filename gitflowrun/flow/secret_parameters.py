"""Secret parameters: what is told of their declarations, and the texts that a value consists of.

A parameter is secret with `secret=True`, and where it is called as secrets are called (`secret_names`) and nothing is
said. Its value reaches the tasks of its run and nothing else: git gets `***` and a hash
(`runtime.launch.secret_values`).
A value that is the declared default stands in the code for all to read, so it is treated like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.masking import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitflowrun.flow.parameter import Parameter


def warnings_of(parameters: Mapping[str, Parameter]) -> list[str]:
    """What to tell of a flow's parameters before it runs, a line for each kind of doubt.

    Args:
        parameters: The parameters by attribute.
    """
    guessed = [it for it in parameters.values() if it.is_secret and it.secret is None]
    maybe = [it for it in parameters.values() if it.may_be_secret]
    known = [it for it in parameters.values() if it.is_secret and it.default and not it.deploy_time]
    said = []
    if guessed:
        said.append(
            f"{_named(guessed)} counts as secret because of its name: git gets *** in its place. "
            "secret=True in its declaration says so, secret=False lets it be recorded"
        )
    if maybe:
        said.append(
            f"{_named(maybe)} may be a secret by its name, and is recorded: secret=True in its declaration "
            "keeps it out of git, secret=False says that it is none"
        )
    if known:
        said.append(
            f"the default of {_named(known)} stands in the code, where it is no secret: leave it out, and "
            f"{known[0].envvars[0]} or the option gives the value"
        )
    return said


def _named(parameters: list[Parameter]) -> str:
    names = ", ".join(repr(parameter.name) for parameter in parameters)
    return f"parameter {names}" if len(parameters) == 1 else f"each of the parameters {names}"


def texts_of(value: Any) -> Iterator[bytes]:
    """The texts and numbers that a value consists of, as bytes; of a map without its keys."""
    if isinstance(value, str):
        yield value.encode(errors="surrogatepass")
    elif isinstance(value, (bytes, bytearray)):
        yield bytes(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from texts_of(item)
    elif not isinstance(value, bool) and value is not None:
        yield str(value).encode(errors="surrogatepass")


def redacted(argv: Iterable[str], parameters: Iterable[Parameter]) -> tuple[str, ...]:
    """A command line without the values that it gives secret parameters."""
    arity = {f"--{it.name}": it.arity for it in parameters if it.is_secret}
    shown: list[str] = []
    left = 0
    for word in argv:
        name, equals, _ = word.partition("=")
        is_value, left = left > 0, max(0, left - 1)
        if is_value:
            shown.append(SHOWN)
        elif equals and name in arity:
            shown.append(f"{name}={SHOWN}")
            left = arity[name] - 1
        else:
            shown.append(word)
            left = arity.get(word, 0)
    return tuple(shown)
