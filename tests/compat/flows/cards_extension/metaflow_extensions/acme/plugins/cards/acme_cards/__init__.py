import json

from metaflow.plugins.cards.card_modules.basic import SectionComponent
from metaflow.plugins.cards.card_modules.card import MetaflowCard, MetaflowCardComponent
from metaflow.plugins.cards.card_modules.chevron import render


class Acme(MetaflowCardComponent):
    """A component of the package's own."""

    def __init__(self, text):
        self._text = text

    def render(self):
        return {"type": "acme", "text": self._text}


class AcmeCard(MetaflowCard):
    """A card of the package's own, from a template."""

    type = "acme"
    ALLOW_USER_COMPONENTS = True

    def __init__(self, options={}, components=[], graph=None, flow=None, **kwargs):  # noqa: B006
        self._options = options
        self._components = components
        self._steps = sorted(graph or {})

    def render(self, task):
        shown = {
            "task": task.pathspec.split("/")[2],
            "options": json.dumps(self._options),
            "components": json.dumps(self._components),
            "artifacts": [{"name": it.id, "value": repr(it.data)} for it in task if it.id == "x"],
            "section": json.dumps(SectionComponent("Title", contents=[]).render()),
        }
        return render(
            "<p>{{task}} {{{options}}}{{#artifacts}} {{name}}={{value}}{{/artifacts}}{{^none}} none{{/none}} "
            "{{{components}}} {{{section}}}</p>",
            shown,
        )


CARDS = [AcmeCard]
