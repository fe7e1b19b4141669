"""The secrets of a run in a task's process: what steps find in secret parameters, and what is kept out of results.

A task whose step has put a secret into an artifact fails: whether that is a copy, a part of a map or an address with a
password in it, it would be in git for good. All its other artifacts are stored. In texts that are recorded beside
artifacts (errors, previews, the items of a foreach) secrets are replaced. Output is masked by who reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.preview import Preview, pack_preview, read_preview
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.limits import LONGEST_SECRET, SHORTEST_SECRET
from gitflowrun.masking import Mask
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.flow.execute import StepOutcome
    from gitflowrun.runtime.ipc.messages import SecretValue

_EXCEPTION = "_exception"
VARIABLES = "@secrets "
_OF_NUMBERS = frozenset({int, list, tuple, set, dict})


def variables_of(step: str) -> str:
    """The name under which the variables of a step's `@secrets` travel; no parameter can have it."""
    return VARIABLES + step


class Secrets:
    """The secrets of one run.

    Args:
        values: The values of secret parameters by attribute.
    """

    def __init__(self, values: Mapping[str, SecretValue]) -> None:
        self._values = values
        self._mask = Mask.of(values)
        self._numbers = {
            text: name
            for name, secret in values.items()
            for text in secret.texts
            if text.isdigit() and len(text) >= SHORTEST_SECRET
        }

    def deliver(self, flow_cls: type, step: str) -> None:
        """Give a step the variables of its `@secrets`, if it has any."""
        key = variables_of(step)
        if key in self._values:
            from gitflowrun.flow.decorators.secrets import deliver  # few steps have them

            deliver(flow_cls, step, self.value(key))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def value(self, name: str) -> Any:
        """The value of a secret parameter, made anew at each call."""
        secret = self._values[name]
        return codecs.decode(secret.codec, memoryview(secret.payload), trusted=True)

    def text(self, text: str) -> str:
        """A text without secrets, which may end in the middle of one."""
        return self._mask.text(text, is_cut=True) if self._mask else text

    def without(self, outcome: StepOutcome) -> StepOutcome:
        """What a step left behind, without secrets in what we have written ourselves."""
        if self._mask is None:
            return outcome
        values = dict(outcome.values)
        if outcome.error is not None:
            values[_EXCEPTION] = self._mask.within(values[_EXCEPTION])
        items = tuple(map(self.text, outcome.split_values))
        return replace(outcome, values=values, split_values=items)

    def preview(self, packed: bytes) -> bytes:
        """A preview without secrets."""
        preview = read_preview(packed) if self._mask else None
        if preview is None:
            return packed
        facts = {self.text(name): self.text(value) for name, value in preview.facts.items()}
        return pack_preview(Preview(self.text(preview.text), preview.whole, facts))

    def refusal(self, name: str, value: object, made: Encoded) -> UnserializableArtifact | None:
        """Why an artifact must not be stored; None where it may be."""
        if self._mask is None:
            return None
        secret = self._mask.find((memoryview(name.encode()), *made.parts)) or self._number(
            value, made
        )
        if secret is None:
            return None
        shown = self._mask.text(name)
        if secret.startswith(VARIABLES):
            return UnserializableArtifact(
                f"artifact {shown!r} is not stored: it holds the value of a variable that @secrets has set",
                hint=f"`del self.{shown}` before the step ends, or keep only what is no secret",
            )
        return UnserializableArtifact(
            f"artifact {shown!r} is not stored: it holds the value of the secret parameter self.{secret}",
            hint=f"`del self.{shown}` before the step ends, or keep only what is no secret: "
            f"every step has self.{secret} (declare that with secret=False if it is none)",
        )

    def _number(self, value: object, made: Encoded) -> str | None:
        """The name of a secret number that a value is or lists: its payload has no text of it."""
        if not self._numbers or type(value) not in _OF_NUMBERS or made.size > LONGEST_SECRET:
            return None
        from gitflowrun.flow.secret_parameters import texts_of  # few secrets are numbers

        texts = texts_of(value)
        return next((self._numbers[text] for text in texts if text in self._numbers), None)
