"""The values of secret parameters before a run begins: how they travel, and the keyed hashes that git gets of them.

A hash lets `resume` and `run --clone` refuse another value than the origin had. Who has the repository must not be able
to try out short passwords against it, so its key is derived from the one that never leaves this clone
(`runs.clone_key`). The price: another clone, or another user of this one, can't compare, takes the value that is given
and records its own hash. Equal values of one parameter have equal hashes here, so that `diff` tells runs apart; those
of two parameters have not.

    5d0c3a71-9f…      which key (its own hash), and the BLAKE2b of flow, parameter and value
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from gitflowrun.errors import UsageError
from gitflowrun.flow.secret_parameters import texts_of
from gitflowrun.limits import LONGEST_SECRET, MOST_SECRETS, SHORTEST_SECRET
from gitflowrun.masking import Mask
from gitflowrun.runs.clone_key import CloneKey
from gitflowrun.runtime.ipc.messages import SecretValue
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.flow.parameter import Parameter
    from gitflowrun.git.repository import Repository

_PURPOSE = b"gitflowrun secre"  # BLAKE2b takes 16 bytes


class KeyedHashes:
    """Makes and compares the hashes of one flow's secrets.

    Args:
        repository: Whose key is used.
        flow: The flow's name.
    """

    def __init__(self, repository: Repository, flow: str) -> None:
        self._key = CloneKey(repository).derived(_PURPOSE)
        self._flow = flow

    def of(self, name: str, secret: SecretValue) -> str:
        """The hash of a parameter's value; empty where this clone can keep no key."""
        if self._key is None:
            return ""
        made = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (self._flow, name, secret.codec):
            made.update(part.encode() + b"\0")
        made.update(secret.payload)
        return f"{self._name()}-{made.hexdigest()}"

    def is_same(self, name: str, secret: SecretValue, other: str) -> bool | None:
        """Whether a hash is that of a value; None where another clone or user made it."""
        if self._key is None or other.partition("-")[0] != self._name():
            return None
        return secrets.compare_digest(self.of(name, secret).encode(), other.encode())

    def _name(self) -> str:
        return hashlib.blake2b(self._key or b"", digest_size=4, person=_PURPOSE).hexdigest()


@frozen
class HiddenValues:
    """The secrets of a run that is about to begin.

    Attributes:
        values: Their values by attribute.
        hashes: Their keyed hashes by the parameters' names.
        notices: What the user should know of them.
        mask: What finds them; None where all are too short.
        names: The name of each parameter of the flow by attribute.
    """

    values: Mapping[str, SecretValue]
    hashes: Mapping[str, str]
    notices: tuple[str, ...]
    mask: Mask | None
    names: Mapping[str, str]

    def refuse_copies(self, encoded: Mapping[str, Encoded], tags: Iterable[str]) -> None:
        """See that neither another parameter nor a tag holds a secret: both are recorded.

        Args:
            encoded: The other parameters by attribute.
            tags: The new run's tags.

        Raises:
            UsageError: one does.
        """
        if self.mask is None:
            return
        for attribute, value in encoded.items():
            secret = self.mask.find(value.parts)
            if secret is not None:
                raise UsageError(
                    f"parameter {self.names[attribute]!r} holds the value of the secret parameter "
                    f"{self.names[secret]!r}, and would be recorded",
                    hint="give it another value, or declare it with secret=True as well",
                )
        if any(self.mask.text(tag) != tag for tag in tags):
            raise UsageError(
                "a tag holds the value of a secret parameter", hint="give the run another tag"
            )


def hide(
    hashes: KeyedHashes,
    parameters: Mapping[str, Parameter],
    values: Mapping[str, object],
    encoded: Mapping[str, Encoded],
    before: Mapping[str, str],
    computed: Container[str],
) -> HiddenValues:
    """The secrets of a run, compared with those of its origin.

    Args:
        hashes: Makes their hashes.
        parameters: The flow's parameters by attribute.
        values: The value of each.
        encoded: The values of those that are secret.
        before: The hashes of those that the run's origin had.
        computed: Attributes whose values a function has computed for this run.

    Raises:
        UsageError: a value is another one than the origin had, or too large.
    """
    found = {name: _travelling(parameters[name], values[name], it) for name, it in encoded.items()}
    made = {}
    notices = [_short(parameters[name], it) for name, it in found.items() if _has_short(it)]
    for name, value in found.items():
        option = parameters[name].name
        made[option] = hashes.of(option, value)
        is_same = hashes.is_same(option, value, before[name]) if name in before else True
        if is_same is False and name in computed:
            notices.append(
                f"The value of the secret parameter {option!r} is not the one that the run before had: its "
                "function has computed another one."
            )
        elif is_same is False:
            raise UsageError(
                f"the value of the secret parameter {option!r} is not the one that the run had which this one is "
                "made from",
                hint="give the same value; `run` without --clone starts with another one",
            )
        if is_same is None:
            notices.append(
                f"The value of the secret parameter {option!r} can't be compared with the one before: that was "
                "given in another clone, or to another user."
            )
    names = {attribute: it.name for attribute, it in parameters.items()}
    return HiddenValues(found, made, tuple(notices), Mask.of(found), names)


def _travelling(parameter: Parameter, value: object, encoded: Encoded) -> SecretValue:
    texts = tuple(dict.fromkeys(texts_of(value)))
    if encoded.size > LONGEST_SECRET or len(texts) > MOST_SECRETS:
        raise UsageError(
            f"the value of the secret parameter {parameter.name!r} is too large: it has more than "
            f"{LONGEST_SECRET >> 10} KiB, or more than {MOST_SECRETS} texts",
            hint="let a step read it from where it is",
        )
    return SecretValue(encoded.codec, encoded.payload(), texts)


def _has_short(value: SecretValue) -> bool:
    return any(len(text.strip()) < SHORTEST_SECRET for text in value.texts)


def _short(parameter: Parameter, value: SecretValue) -> str:
    has = "has" if len(value.texts) == 1 else "has a part of"
    return (
        f"warning: the value of the secret parameter {parameter.name!r} {has} fewer than {SHORTEST_SECRET} "
        "characters, so it is not hidden where steps print or store it."
    )
