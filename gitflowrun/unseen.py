"""The characters of a text that are not seen, or that command, reorder and hide what is.

As the sources of regular expressions, for `re` to compile, and keep, when one is asked for: for most commands nothing.
"""

from __future__ import annotations

# By Unicode's categories: controls (Cc), formats (Cf), what breaks lines (Zl, Zp), halves of surrogates (Cs), private
# characters (Co), which look as a font likes. Also letters and marks that are drawn as nothing, all of U+E0000 to
# U+E0FFF but the variants of ideographs, and what is no character. Not the signs of Arabic numbers and the like, which
# are formats by name and can be seen.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\uf8ff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U0010ffff"
)
# Joiners and selectors of variants are part of many scripts and of emoji. Nothing follows ASCII in those but a keycap,
# and nothing one of its own kind: it would be a message that nobody sees.
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
UNSAFE = f"[{_HIDDEN}\u200c\u200d{_SELECTORS}]"
"""One character that is not shown as it is, unless it is one of `JOINS`."""
JOINS = f"(?<=[^\x00-\x7f\u200c\u200d])(?:\u200c|\u200d|(?<![{_SELECTORS}])[{_SELECTORS}])|[{_SELECTORS}](?=\u20e3)"
"""Such a one where it is a part of a script or an emoji."""
