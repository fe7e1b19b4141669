"""Users' codecs: found by entry point, asked when ours decline, named when they are missing or wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.artifacts.codecs import decode, encode, is_safe, registry, suffix
from gitflowrun.errors import CorruptRecord, UntrustedArtifact

MODULE = """
class Mesh:
    def __init__(self, points):
        self.points = points

class MeshCodec:
    id = "mesh/1"
    suffix = ".mesh"
    types = ("meshes.Mesh",)
    safe = True

    def encode(value):
        return [b"mesh ", bytearray(value.points)]

    def decode(payload, trusted):
        return Mesh(bytes(payload[5:]))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "site").mkdir()
    registry.user_codecs.cache_clear()
    yield tmp_path / "site"
    registry.user_codecs.cache_clear()
    sys.modules.pop("meshes", None)


def _install(site: Path, *, target: str = "meshes:MeshCodec") -> None:
    (site / "meshes.py").write_text(MODULE)
    info = site / "meshes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: meshes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gitflowrun.codecs]\nmesh = {target}\n")


def test_a_users_codec_takes_its_type(site: Path) -> None:
    """Its payload is what it says, with its id and suffix."""
    _install(site)
    import meshes  # type: ignore[import-not-found]

    made = encode(meshes.Mesh(b"123"))
    assert (made.codec, made.type, made.payload()) == ("mesh/1", "meshes.Mesh", b"mesh 123")
    assert suffix("mesh/1") == ".mesh"
    assert decode("mesh/1", made.payload(), trusted=True).points == b"123"


def test_a_users_codec_needs_trust(site: Path) -> None:
    """Whatever it says of itself, its package is not even imported for a stranger's payload."""
    _install(site)
    assert not is_safe("mesh/1")
    with pytest.raises(UntrustedArtifact):
        decode("mesh/1", b"mesh 1", trusted=False)
    assert "meshes" not in sys.modules
    assert decode("mesh/1", b"mesh 1", trusted=True).points == b"1"


def test_a_codec_that_is_gone_is_named(site: Path) -> None:
    """The payload of a package that isn't installed says what it needs."""
    assert site.is_dir()
    with pytest.raises(CorruptRecord, match="mesh/1"):
        decode("mesh/1", b"", trusted=True)


@pytest.mark.parametrize("target", ["meshes:Mesh", "meshes:Nothing", "nowhere:Codec"])
def test_a_broken_codec_is_warned_about(site: Path, target: str) -> None:
    """The warning names the entry point; the run goes on without it."""
    _install(site, target=target)
    import meshes

    with pytest.warns(RuntimeWarning, match=r"'mesh'.*no codec"):
        assert encode(meshes.Mesh(b"1")).codec == "pickle/5"


def test_without_codecs_no_metadata_is_read(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no package offers a codec, importlib.metadata is not even imported."""
    assert site.is_dir()
    monkeypatch.setitem(sys.modules, "importlib.metadata", None)
    assert encode(object()).codec == "pickle/5"


def test_a_codec_that_fails_is_named(site: Path) -> None:
    """The value is pickled, which its author is told."""
    _install(site)
    import meshes

    mesh = meshes.Mesh("not bytes")
    with pytest.warns(RuntimeWarning, match=r"mesh/1 failed: TypeError.* pickled instead"):
        made = encode(mesh)
    assert made.codec == "pickle/5"
    assert decode("pickle/5", made.payload(), trusted=True).points == "not bytes"
