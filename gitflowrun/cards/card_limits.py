"""The limits of cards, which nothing else is measured by."""

from __future__ import annotations

CARD_SIZE = 64 << 20
"""Bytes of a card, and of what a task leaves for one: servers refuse files of 100 MB."""
CARD_ID = 80
"""Characters of the id of a card, which is part of a file's name as well."""
CARD_NAME = 150
"""Characters of a type as it is written in such a name, where letters beyond ASCII take six or more."""
CARD_TYPE = 100
"""Characters of the name of a type of cards, which is part of a file's name."""

CARD_SECONDS = 1_000_000
"""Seconds that a card may take at most, whatever its decorator says: what waits for it takes no more."""

COMPONENT_DEPTH = 60
"""Levels of what a component renders to, charts' specifications included."""
COMPONENT_MESSAGE = 20_000
"""Characters of what is said in the place of a component that can't be shown, and of a cell of a table."""
ARTIFACT_TEXT = 2_000
"""Characters that an `Artifact` shows of a value."""
ARTIFACT_TEXT_WHOLE = 200_000
"""The same where it is not to be compressed."""
TABLE_ROWS_OF_FRAME = 5
"""Rows that a table shows of a data frame that is to be truncated, as in Metaflow."""
PARTIALS = 20
"""Levels of templates of Mustache that include one another."""
TREE_NODES = 3_000
"""Values of JSON that are shown as a tree; more are shown as text."""
TREE_DEPTH = 40
"""Levels of such a tree."""
STEPS_DRAWN = 200
"""Steps of a graph that is drawn; one of more is listed."""
FOLDED_TEXT = 240
"""Characters of a value beyond which a page folds it."""
ARTIFACTS_LISTED = 200
"""Artifacts that the default card lists."""
PICTURE_SHOWN = 1 << 20
"""Bytes of a picture of an artifact that the default card shows."""
STEP_CODE = 20_000
"""Characters of a step's code that the default card shows."""
CARDS_AT_ONCE = 16 << 20
"""Bytes of cards that are published with one commit, but for the last of them."""
RENDERERS_LOST = 2
"""How often the process that renders a run's cards is replaced when it is killed."""
CARDS_TOLD = 3.0
"""Seconds that a run has waited for its cards when it says that it does."""
