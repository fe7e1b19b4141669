"""IncludeFile: which files are taken, what they are worth, and what is said of those that are not."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.codecs import decode
from gitflowrun.errors import ParameterError, UnserializableArtifact, UsageError
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.includefile import FileContent, IncludeFile
from gitflowrun.flow.parameter_values import ParameterContext, check_parameters, resolve


class ForGraph(FlowSpec):
    """A flow whose source can be read."""

    notes = IncludeFile("notes")

    @step
    def start(self) -> None:
        """Begin and end."""


def flow_with(parameter: IncludeFile) -> type[FlowSpec]:
    """A flow with this parameter as `x`."""

    def start(self: Any) -> None:
        """Begin and end."""

    return type("Given", (FlowSpec,), {"x": parameter, "start": step(start)})


def value_of(text: str | None = None, **options: Any) -> Any:
    """The value of a parameter `x`, for a path in the environment or by default."""
    environ = {} if text is None else {"METAFLOW_RUN_X": text}
    return resolve(flow_with(IncludeFile("x", **options)), {}, environ=environ)["x"]


def stored(content: FileContent) -> tuple[str, bytes]:
    """Codec and payload that the store gets, after a message's journey."""
    made = content.encoded()
    return made.codec, made.payload()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A text file with two kinds of line ends."""
    path = tmp_path / "notes.txt"
    path.write_bytes("h\u00e9\r\nllo\n".encode())
    return path


def test_text_is_stored_as_it_is(file: Path) -> None:
    """Text keeps its line ends, under the codec of text."""
    content = value_of("notes.txt")
    assert content.read() == "h\u00e9\r\nllo\n"
    assert stored(content) == ("str/1", file.read_bytes())


def test_bytes_are_stored_as_they_are(tmp_path: Path) -> None:
    """Bytes need not be text."""
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    content = value_of("raw", is_text=False)
    assert content.read() == b"\xff\x00"
    assert stored(content) == ("bytes/1", b"\xff\x00")


@pytest.mark.parametrize("is_text", [True, False])
def test_an_empty_file_is_an_empty_value(tmp_path: Path, is_text: bool) -> None:
    """No content is content, too: not None."""
    (tmp_path / "empty").touch()
    content = value_of("empty", is_text=is_text)
    codec, payload = stored(content)
    assert decode(codec, payload, trusted=False) == ("" if is_text else b"")


@given(st.text(), st.sampled_from(["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-32-le", "utf-7"]))
def test_text_of_any_encoding_is_stored_as_utf8(
    tmp_path_factory: Any, text: str, name: str
) -> None:
    """Whatever the file's encoding, the store has UTF-8, and the value is what Python decodes."""
    path = tmp_path_factory.mktemp("texts") / "t"
    path.write_bytes(text.encode(name))
    content = FileContent.of(str(path), name)
    assert content.read() == text
    assert stored(content) == ("str/1", text.encode())


def test_a_character_across_two_pieces_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text is read in pieces; no character is torn."""
    monkeypatch.setattr("gitflowrun.flow.includefile._PIECE", 3)
    (tmp_path / "t").write_bytes("a\u20ac\U0001f600b".encode())
    assert value_of("t").read() == "a\u20ac\U0001f600b"


@pytest.mark.parametrize(
    ("data", "place"), [(b"abcd\xffe", 4), (b"abcd\xe2\x82", 4), (b"\xe2\x82\xacxy\xe2(", 5)]
)
def test_what_is_no_text_is_refused_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, place: int
) -> None:
    """Bytes that can't be decoded are named by their place in the file, wherever pieces begin."""
    monkeypatch.setattr("gitflowrun.flow.includefile._PIECE", 2)
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(UsageError, match=rf"'x': .*'t' is no utf-8 text: .* at byte {place}"):
        value_of("t")


def test_text_that_utf8_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Lone surrogates, which some encodings can write, are no text that could be stored."""
    (tmp_path / "t").write_bytes(b"\\ud800")
    with pytest.raises(UsageError, match=r"is no unicode_escape text: .*surrogate"):
        value_of("t", encoding="unicode_escape")


def test_a_missing_file_is_refused() -> None:
    """The message names the parameter and the path."""
    with pytest.raises(
        UsageError, match="'x': can't read the file 'no/such': No such file"
    ) as error:
        value_of("no/such")
    assert error.value.exit_code == 2
    assert error.value.hint == "give the path of a file that you can read"


@pytest.mark.parametrize("path", [" ", "a\0b", "x" * 5000])
def test_what_can_be_no_path_is_refused(path: str) -> None:
    """No such path is a mistake of the user, not a crash."""
    with pytest.raises(UsageError, match="parameter 'x': can't read the file"):
        value_of(path)


def test_directories_and_pipes_are_refused(tmp_path: Path) -> None:
    """What is no regular file is refused at once: a pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (".", "pipe", "/dev/null"):
        with pytest.raises(UsageError, match=f"'x': '{path}' is not a file"):
            value_of(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such file system")
def test_a_file_without_a_size_is_refused() -> None:
    """The kernel's own files say they are empty, and are not."""
    with pytest.raises(UsageError, match="no size"):
        value_of("/proc/self/status")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(file: Path) -> None:
    """Permissions are said to be the reason."""
    file.chmod(0)
    with pytest.raises(UsageError, match=r"'notes\.txt': Permission denied"):
        value_of("notes.txt")


def test_odd_names_are_no_problem(tmp_path: Path) -> None:
    """Blanks, newlines and bytes that are no text may be in a path; messages stay one line."""
    for name in (b"two words\nand lines", b"\xff\xfe"):
        path = str(tmp_path / os.fsdecode(name))
        Path(path).write_text("text")
        assert stored(value_of(path)) == ("str/1", b"text")
        with pytest.raises(UsageError) as error:
            value_of(path + "!")
        assert "\n" not in error.value.message
        error.value.message.encode()


def test_links_and_home_are_followed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is its target, `~` the home directory."""
    (tmp_path / "link").symlink_to(file)
    monkeypatch.setenv("HOME", str(tmp_path))
    content = value_of("~/link")
    assert (content.path, str(content)) == (str(file.resolve()), "~/link")


def test_nothing_given_is_none(file: Path) -> None:
    """Without a file the value is None, unless one is required."""
    assert value_of() is None
    with pytest.raises(UsageError, match="parameter 'x' must be given"):
        value_of(required=True)
    assert value_of(required=True, default=str(file)).name == str(file)


def test_the_default_is_a_path_or_a_function(file: Path) -> None:
    """The default's file is read when the run starts; a function may say which one, or that there is none."""

    def choose(context: ParameterContext) -> str:
        assert context.parameter_name == "x"
        return "notes.txt"

    for default in ("notes.txt", file, choose):
        assert value_of(default=default).read() == "h\u00e9\r\nllo\n"
    assert value_of(default=lambda _: None) is None
    with pytest.raises(UsageError, match="'x': 5 is not the path of a file"):
        value_of(default=lambda _: 5)
    with pytest.raises(UsageError, match="'x': can't read the file 'gone'"):
        value_of(default="gone")


def test_declaring_reads_nothing() -> None:
    """A flow whose default file is not there can be checked and described."""
    notes = IncludeFile("x", default="gone", help="Some notes.")
    check_parameters(flow_with(notes))
    assert (notes.kind, notes.default, notes.help) == ("file", "gone", "Some notes.")
    assert not notes.required
    info = FlowGraph.of(ForGraph).to_map()
    assert info["parameters"] == [{"name": "notes", "type": "IncludeFile"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "klingon"}, "'klingon' is no encoding"),
        ({"encoding": "hex"}, "'hex' is no encoding"),
        ({"encoding": 8}, "8 is no encoding"),
        ({"parser": 3}, "3 is no parser"),
        ({"parser": "loads"}, "'loads' is no parser"),
        ({"parser": "json."}, "'json.' is no parser"),
        ({"default": 3}, "the default 3 is not the path"),
        ({"default": b"x"}, "the default b'x' is not the path"),
    ],
)
def test_declarations_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    """A wrong declaration is refused without a run."""
    with pytest.raises(
        ParameterError, match=f"parameter 'x': .*{message}|parameter 'x': {message}"
    ):
        check_parameters(flow_with(IncludeFile("x", **options)))


def test_metaflows_order_of_arguments(file: Path) -> None:
    """Arguments may be given by position as in Metaflow; None means what is usual."""
    arguments = ("x", False, None, None, "Help.", str.upper, "notes.txt")
    parameter = IncludeFile(*arguments)
    assert resolve(flow_with(parameter), {}, environ={})["x"] == "H\u00c9\r\nLLO\n"
    assert file.exists()


def test_a_parser_makes_the_value(tmp_path: Path) -> None:
    """A function, or the place of one, gets text or bytes; the value is what it returns."""
    (tmp_path / "t").write_text("[1, 2]")
    assert value_of("t", parser="json.loads") == [1, 2]
    assert value_of("t", parser=len) == 6
    assert value_of("t", parser=bytes.hex, is_text=False) == b"[1, 2]".hex()


@pytest.mark.parametrize(
    ("parser", "message"),
    [
        ("json.loads", "the parser can't read the file 'notes.txt': JSONDecodeError"),
        ("no_such_package.load", "'no_such_package.load' can't be imported: ModuleNotFoundError"),
        ("json.no_such", "'json.no_such' can't be imported: AttributeError"),
        ("json.__name__", "'json.__name__' is not a function"),
    ],
)
def test_a_parser_that_fails_is_a_usage_error(file: Path, parser: str, message: str) -> None:
    """The parameter, the file and the parser's own words are in the message."""
    with pytest.raises(UsageError, match=f"parameter 'x': .*{message}"):
        value_of(file.name, parser=parser)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", None])
@pytest.mark.parametrize("change", ["content", "size", "replaced", "gone"])
def test_a_file_that_changes_before_it_is_stored_is_refused(
    file: Path, encoding: str | None, change: str
) -> None:
    """What is stored is what was looked at, or nothing."""
    content = FileContent.of("notes.txt", encoding)
    if change == "gone":
        file.unlink()
    elif change == "replaced":
        copy = file.with_name("copy")
        copy.write_bytes(file.read_bytes())
        copy.replace(file)
    else:
        file.write_bytes(b"x" * (file.stat().st_size + (change == "size")))
        os.utime(file, ns=(1, 1))
    with pytest.raises(
        UnserializableArtifact, match=r"'notes\.txt' was not stored: .* after the run"
    ):
        content.encoded()


def test_a_large_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    """Of a large file the encoded value is a view of its pages, whose changes the store must look for."""
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    for encoding, is_volatile in (("utf-8", True), (None, True), ("latin-1", False)):
        made = FileContent.of("big", encoding).encoded()
        (part,) = made.parts
        assert (type(part.obj).__name__, made.size) == ("mmap", 3 << 20)
        assert made.is_volatile is is_volatile


def test_every_alias_of_utf8_is_known() -> None:
    """Whatever UTF-8 is called, its bytes are stored as they are."""
    for name in ("utf-8", "UTF8", "utf_8", "u8", "cp65001"):
        expected = codecs.lookup(name).name == "utf-8"
        assert FileContent("n", "p", name, ()).is_utf8 is expected
    assert not FileContent("n", "p", "utf-8-sig", ()).is_utf8
