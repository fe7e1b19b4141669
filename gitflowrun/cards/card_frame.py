"""How a card is shown: in a frame that keeps it apart from what is around it, and in a file for a browser.

A card is a page that may hold any script. In a sandboxed frame its origin is none: it sees neither what is around it
nor other cards. One of a run that is not trusted is shown without scripts, forms, and anything from a network: the
frame's sandbox has no exceptions, which also keeps it from leading elsewhere by itself, and the policy of the page
around it, which the document in the frame inherits, allows nothing but its own styles, fonts and pictures. No policy
keeps a browser from connecting to where a `<link>` or a frame says that something is wanted, so there are none in it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from html import escape
from pathlib import Path

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
"""What a page around a card that is not trusted allows, and so the card."""
_TAGS = (
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
)
_CONNECTS = re.compile(
    r"<(?=(?:link|i?frame|frameset|object|embed|portal|fencedframe)[\s/>])", re.IGNORECASE
)
TRUSTED_SANDBOX = "allow-scripts allow-popups allow-popups-to-escape-sandbox allow-downloads"
_HEIGHT = 600
_PREFIX = "gitflowrun-card-"
_PAGE_KEPT = 24 * 3600
_STYLE = (
    "html,body{margin:0;height:100%}body{display:flex;flex-direction:column;font:14px/1.5 system-ui,sans-serif;"
    "color-scheme:light dark}p{margin:0;padding:.5em 1em;border-bottom:1px solid GrayText}iframe{flex:1;border:0;"
    "background:#fff;color-scheme:light}code{font-family:ui-monospace,monospace}"
)


def frame(html: str, *, is_trusted: bool) -> str:
    """A card in a frame, for notebooks."""
    sandbox = TRUSTED_SANDBOX if is_trusted else ""
    content = html if is_trusted else harmless(html)
    return (
        f'<iframe sandbox="{sandbox}" srcdoc="{escape(content)}" '
        f'style="width:100%;height:{_HEIGHT}px;border:0"></iframe>'
    )


def harmless(html: str) -> str:
    """A card that runs nothing and reaches no network: with a policy, and without what that does not stop."""
    return f"<!DOCTYPE html>{_TAGS}{_CONNECTS.sub('<no-', html)}"


def framed_page(html: str, name: str, told: str) -> str:
    """A page that shows a card whose run is not trusted, and says that it is not.

    Args:
        html: The card.
        name: What the page is called.
        told: What it says.
    """
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"{_TAGS}<title>{escape(name)}</title>"
        f"<style>{_STYLE}</style></head><body><p>{escape(told)}</p>"
        f'<iframe sandbox="" srcdoc="{escape(harmless(html))}"></iframe></body></html>'
    )


def write_page(name: str, html: str) -> Path:
    """Write a page to a file of a directory that is this user's alone, and return the file; old ones are removed.

    Args:
        name: The name of the file.
        html: The page.

    Raises:
        OSError: it can't be written.
    """
    _remove_old_pages()
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    file = directory / name
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="replace") as out:  # noqa: PTH123
        out.write(html)
    return file


def _remove_old_pages() -> None:
    """Remove what was written for a browser on a day before, which nobody else does."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                found = path.lstat()
                is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
                if is_ours and found.st_mtime < time.time() - _PAGE_KEPT:
                    shutil.rmtree(path, ignore_errors=True)


def open_in_browser(file: Path) -> bool:
    """Open a file in a browser; whether there is one. A browser for terminals is none: cards are pages to look at."""
    has_screen = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not has_screen:
        return False
    import webbrowser  # few programs look at cards

    return webbrowser.open(file.as_uri())
