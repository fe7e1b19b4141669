"""Which changed files a task's code speaks of: it may have read them, or looked for them, when it was imported.

What a task opens itself is known. What its modules read when they were imported nobody has watched, so code counts as
text: a changed file is spoken of where there stands

1. its name (`"early.json"`),
2. the end of its name as that of whatever name (`f"{place}.json"`, `"*.json"`, `".json"`),
3. the beginning of its name with a gap behind it (`f"part-{n}"`), or a directory it is in as a whole (`"conf"`,
   `"conf/*"`), whose files may be listed,
4. of a module that is new or gone: its name as a word (`import fast`), for one that is found there now may not have
   been there then. A new one that is called like one of Python's may come instead of that for whoever imports it.

To parse the code would not tell more: what is read at import may be named anywhere.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from gitflowrun.runs.lookup.cache_limits import MENTIONS_SEARCHED
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_END = re.compile(rb"""(?:%[\d.]*[a-z]|[^\w])(\.\w[\w.]*)["'*?]""")
_BEGINNING = re.compile(rb"""["'/]([\w.+@-]+)[{%*?]""")
_DIRECTORY = re.compile(rb"""["'/]([\w.+@-]+)/?["'{%*?]""")
_WORD = re.compile(rb"\w+")
_LISTS = re.compile(rb"\b(?:iter_modules|walk_packages|iter_importer_modules)\b")


@frozen
class _Text:
    """What a piece of code speaks of."""

    text: bytes
    ends: tuple[bytes, ...]
    beginnings: tuple[bytes, ...]
    directories: frozenset[bytes]
    words: frozenset[bytes]

    @classmethod
    def of(cls, text: bytes) -> _Text:
        return cls(
            text,
            tuple({*_END.findall(text)}),
            tuple({*_BEGINNING.findall(text)}),
            frozenset(_DIRECTORY.findall(text)),
            frozenset(_WORD.findall(text)),
        )

    def speaks_of(self, path: bytes, *, is_new: bool) -> bool:
        """Whether it speaks of a file, which may be on one side only."""
        *folders, name = path.split(b"/")
        if name.endswith(self.ends) or name.startswith(self.beginnings) or self._has(name):
            return True
        if not self.directories.isdisjoint(folders):
            return True
        return is_new and name.endswith(b".py") and _module_name(folders, name) in self.words

    def _has(self, name: bytes) -> bool:
        return name in self.text and bool(
            re.search(rb"(?<!\w)" + re.escape(name) + rb"(?!\w)", self.text)
        )


class Mentions:
    """Finds files that code speaks of.

    Args:
        read: The text of a file of the snapshot.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._modules: dict[str, _Text] = {}

    def first(
        self, changes: Mapping[str, bool], modules: Sequence[str], code: Sequence[bytes]
    ) -> str | None:
        """The first of some changed files that code speaks of, by name; None where it speaks of none.

        Args:
            changes: The files that differ, and whether they are only on one side.
            modules: The modules of the repository that the code has loaded.
            code: The rest of it.
        """
        texts = [_Text.of(text) for text in code]
        for module in modules:
            if module not in self._modules:
                self._modules[module] = _Text.of(self._read(module))
            texts.append(self._modules[module])
        if len(changes) > MENTIONS_SEARCHED:
            return min(changes)
        listing = {
            file.rpartition("/")[0] for file in modules if _LISTS.search(self._modules[file].text)
        }
        for path in sorted(changes):
            name, is_new = os.fsencode(path), changes[path]
            if is_new and _may_be_imported(path, listing):
                return path
            if any(text.speaks_of(name, is_new=is_new) for text in texts):
                return path
        return None


def _may_be_imported(path: str, listing: set[str]) -> bool:
    """Whether a module that is new, or gone, may be imported by whoever does not name it."""
    *folders, name = os.fsencode(path).split(b"/")
    if not name.endswith(b".py"):
        return False
    if _module_name(folders, name).decode(errors="replace") in sys.stdlib_module_names:
        return True
    return path.rpartition("/")[0] in listing


def _module_name(folders: Sequence[bytes], name: bytes) -> bytes:
    is_package = name == b"__init__.py" and folders
    return folders[-1] if is_package else name.removesuffix(b".py")
