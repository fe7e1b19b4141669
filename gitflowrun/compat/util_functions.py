"""The small functions of Metaflow's module `util`, which extension packages use."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import tempfile
import zlib
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from gitflowrun.errors import CorruptRecord

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Iterator, Mapping

bytes_type = bytes
unicode_type = str
cached_property = functools.cached_property
which = shutil.which
TempDir = tempfile.TemporaryDirectory
__all__ = ["Path", "cached_property", "which"]


def get_username() -> str:
    """Who runs."""
    from gitflowrun.settings import Settings, user_name

    return user_name(Settings(), os.environ)


def resolve_identity_as_tuple() -> tuple[str, str]:
    """What kind of user runs, and who."""
    return "user", get_username()


def resolve_identity() -> str:
    """Who runs, as `user:<name>`."""
    return ":".join(resolve_identity_as_tuple())


def is_stringish(x: object) -> bool:
    """Whether it is text or bytes."""
    return isinstance(x, str | bytes)


def to_bytes(x: Any) -> bytes:
    """The bytes of a text; of anything else, those of what `str` makes of it."""
    return x if isinstance(x, bytes) else str(x).encode()


def to_unicode(x: Any) -> str:
    """The text of bytes; of anything else, what `str` makes of it."""
    return x.decode() if isinstance(x, bytes) else str(x)


def to_fileobj(x: Any) -> BytesIO:
    """A file of the bytes of something."""
    return BytesIO(to_bytes(x))


def to_pod(value: Any) -> Any:
    """Something as what JSON has: dictionaries, lists, texts and numbers."""
    if isinstance(value, dict):
        return {to_pod(key): to_pod(it) for key, it in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_pod(it) for it in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return getattr(value, "__name__", None) or str(value)


def _renamed(obj: Any, rename: Any) -> Any:
    if isinstance(obj, dict):
        return {rename(key): _renamed(it, rename) for key, it in obj.items()}
    return [_renamed(it, rename) for it in obj] if isinstance(obj, list) else obj


def to_camelcase(obj: Any) -> Any:
    """The keys of dictionaries with a capital in place of each underscore, the first letter as it is."""

    def renamed(key: str) -> str:
        first, *rest = key.split("_")
        return first + "".join(it[:1].upper() + it[1:] for it in rest)

    return _renamed(obj, renamed)


def to_pascalcase(obj: Any) -> Any:
    """The keys of dictionaries with a capital at their beginning."""
    return _renamed(obj, lambda key: key[:1].upper() + key[1:])


def url_quote(url: str | bytes) -> bytes:
    """A text with `%xx` for what may not be in an address; slashes stay."""
    return quote(to_bytes(url)).encode()


def url_unquote(url_bytes: bytes | str) -> str:
    """What `url_quote` was given."""
    return unquote(to_unicode(url_bytes))


unquote_bytes = url_unquote


def all_equal(it: Iterable[Any]) -> bool:
    """Whether there is one value, or none."""
    values = list(it)
    return all(value == values[0] for value in values)


def longest_common_prefix(lst: list[str]) -> str:
    """The text with which all begin."""
    return os.path.commonprefix(lst)  # noqa: RUF071  (of characters, as it says)


def compress_list(
    lst: list[str],
    separator: str = ",",
    rangedelim: str = ":",
    zlibmarker: str = "!",
    zlibmin: int = 500,
) -> str:
    """Texts as one, with what they begin with said once.

    Raises:
        CorruptRecord: one has a character that separates.
    """
    for item in lst:
        if any(it in item for it in (separator, rangedelim, zlibmarker)):
            raise CorruptRecord(f"{item!r} has a character that separates texts")
    if not lst:
        return ""
    if len(lst) == 1:
        return lst[0]
    shared = longest_common_prefix(lst)
    text = shared + rangedelim + separator.join(it[len(shared) :] for it in lst)
    if len(text) <= zlibmin:
        return text
    return zlibmarker + b64encode(zlib.compress(text.encode())).decode()


def decompress_list(
    lststr: str, separator: str = ",", rangedelim: str = ":", zlibmarker: str = "!"
) -> list[str]:
    """What `compress_list` was given."""
    text = lststr
    if text.startswith(zlibmarker):
        text = zlib.decompress(b64decode(text[len(zlibmarker) :])).decode()
    shared, found, rest = text.partition(rangedelim)
    return [shared + it for it in rest.split(separator)] if found else [text]


def dict_to_cli_options(params: Mapping[str, Any]) -> Iterator[str]:
    """A command's options as its words, quoted for a shell; what is None or False is left out."""
    for key, value in params.items():
        if value is None or value is False:
            continue
        option = "--with" if key == "decospecs" else f"--{key.replace('_', '-')}"
        for it in value if isinstance(value, list | tuple) else [value]:
            yield option
            if it is not True:
                yield shlex.quote(str(it))


def get_object_package_version(obj: Any) -> tuple[str | None, str | None]:
    """The package that an object's class is from, and the version that this says of itself."""
    import sys

    package = type(obj).__module__.partition(".")[0]
    return package, getattr(sys.modules.get(package), "__version__", None)


def get_metaflow_root() -> str:
    """The directory that the package lies in."""
    return str(Path(__file__).resolve().parents[2])


def walk_without_cycles(
    top_root: str, exclude_dirs: list[str] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """What `os.walk` gives, links to directories as well, each directory once."""
    seen: set[str] = set()
    for root, dirs, files in os.walk(top_root, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            dirs.clear()
            continue
        seen.add(real)
        dirs[:] = [it for it in dirs if it not in (exclude_dirs or ())]
        yield root, dirs, files


def tar_safe_extract(
    tar: tarfile.TarFile, path: str = ".", members: Any = None, *, numeric_owner: bool = False
) -> None:
    """Unpack an archive whose members all lie below a directory.

    Raises:
        tarfile.FilterError: one does not.
    """
    tar.extractall(path, members, numeric_owner=numeric_owner, filter="data")
