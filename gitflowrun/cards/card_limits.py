"""The limits of cards, which nothing else is measured by."""

from __future__ import annotations

CARD_SIZE = 64 << 20
"""Bytes of a card, and of what a task leaves for one: servers refuse files of 100 MB."""
CARD_TYPE = 100
"""Characters of the name of a type of cards, which is part of a file's name."""
