"""Objects that are damaged, missing or not what they say are named, and never returned."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib

import pytest

from gitflowrun.errors import CorruptRecord, MissingObject, RepositoryError, TooLarge
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack import places
from gitflowrun.git.pack.reader import PackReader
from tests.git.pack.reader.made_packs import (
    ABSENT,
    deltas,
    entry,
    planted,
    ref_delta,
    used_memory,
    varint,
)
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo


def test_a_missing_object_is_named(repo: GitRepo) -> None:
    """Without a fallback, MissingObject says which object, where."""
    with pytest.raises(MissingObject, match=str(ABSENT)):
        PackReader(objects_dir(repo)).read(ABSENT)
    with pytest.raises(KeyError):
        PackReader(objects_dir(repo)).size(ABSENT)


def test_an_object_of_another_kind_or_size_is_refused(repo: GitRepo) -> None:
    """A tree is no blob, and a target must have the object's size."""
    reader = PackReader(objects_dir(repo))
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    with pytest.raises(CorruptRecord, match="is a tree, not a blob"):
        reader.blob(tree)
    with pytest.raises(CorruptRecord, match="bytes where 3 were expected"):
        reader.read_into(tree, memoryview(bytearray(3)))


@pytest.mark.parametrize("size", [50, 5_000, 200_000])
@pytest.mark.parametrize("hard", [True, False])
def test_every_flipped_byte_is_noticed(repo: GitRepo, size: int, hard: bool) -> None:
    """A flipped bit anywhere in a pack's entry yields the object or CorruptRecord, never other data."""
    data = noise(size) if hard else (b"0123456789" * size)[:size]
    store = pack_store(repo)
    pack = store.write([blob(data)])
    path = store.pack_dir / f"{pack.name}.pack"
    whole = path.read_bytes()
    path.chmod(0o600)
    positions = range(12, len(whole) - 20)
    for position in positions[:: max(1, len(positions) // 60)]:
        with path.open("r+b") as file:
            file.seek(position)
            file.write(bytes((whole[position] ^ 0x10,)))
        # Bits that deflate ignores may flip.
        assert _read_or_error(repo, pack.oids[0]) in {data, str(pack.oids[0])}
        with path.open("r+b") as file:
            file.write(whole)
    assert PackReader(objects_dir(repo)).blob(pack.oids[0]) == data


def _read_or_error(repo: GitRepo, oid: Oid) -> bytes | str:
    """The object, or the oid that the error names."""
    try:
        return PackReader(objects_dir(repo)).blob(oid)
    except CorruptRecord as error:
        return error.message.split()[1]


def test_a_small_object_beside_one_that_was_read(repo: GitRepo) -> None:
    """The short way to what lies in the same pack says nothing of damage, the long one does."""
    store = pack_store(repo)
    pack = store.write([blob(noise(200, 1)), blob(noise(300, 2))])
    path = store.pack_dir / f"{pack.name}.pack"
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:-320] + b"\xff" * 20 + content[-300:])
    reader = PackReader(objects_dir(repo))
    assert reader.blob(pack.oids[0]) == noise(200, 1)
    with pytest.raises(CorruptRecord, match=f"object {pack.oids[1]} can't be read"):
        reader.blob(pack.oids[1])


@pytest.mark.parametrize("damage", ["gone", "junk"])
def test_small_objects_beside_a_damaged_pack(repo: GitRepo, damage: str) -> None:
    """Those of other packs are found, whatever has become of one."""
    store = pack_store(repo)
    packs = [store.write([blob(noise(200, number))]) for number in range(3)]
    reader = PackReader(objects_dir(repo))
    reader.refresh()
    path = store.pack_dir / f"{packs[1].name}.idx"
    if damage == "junk":
        path.chmod(0o600)
        path.write_bytes(b"junk" * 300)
    else:
        path.unlink()
    store.write([blob(noise(200, 0)), blob(noise(200, 2))])  # each is told once all the same
    found = [oid for oid, _, _ in reader.small_ones([pack.oids[0] for pack in packs])]
    assert sorted(found) == sorted([packs[0].oids[0], packs[2].oids[0]])


def test_a_healthy_copy_replaces_a_damaged_one(repo: GitRepo) -> None:
    """When an object lies in two packs, damage to one of them goes unnoticed."""
    store = pack_store(repo)
    first, second = (store.write([blob(b"twice " * 100)]) for _ in range(2))
    for broken, whole in ((first, second), (second, first)):
        path = store.pack_dir / f"{broken.name}.pack"
        saved = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(saved[:-30] + bytes(10) + saved[-20:])
        assert PackReader(objects_dir(repo)).blob(whole.oids[0]) == b"twice " * 100
        path.write_bytes(saved)


@pytest.mark.parametrize("opinion", [b"another", b"whole " * 100, None])
def test_gits_opinion_of_a_damaged_object_is_checked(repo: GitRepo, opinion: bytes | None) -> None:
    """What git reads of a damaged object counts if it has the id; else the damage is told, as where git fails."""
    store = pack_store(repo)
    pack = store.write([blob(b"whole " * 100)])
    path = store.pack_dir / f"{pack.name}.pack"
    path.chmod(0o600)
    content = path.read_bytes()
    path.write_bytes(content[:-30] + bytes(10) + content[-20:])

    def fallback(_oid: Oid, _limit: int) -> tuple[ObjectType, bytes]:
        if opinion is None:
            raise RepositoryError("git can't, either")
        return ObjectType.BLOB, opinion

    reader = PackReader(objects_dir(repo), fallback)
    if opinion == b"whole " * 100:
        assert reader.blob(pack.oids[0]) == opinion
        return
    with pytest.raises(CorruptRecord, match=f"object {pack.oids[0]} can't be read"):
        reader.blob(pack.oids[0])


def test_a_cut_pack_is_corruption(repo: GitRepo) -> None:
    """A pack that is shorter than its index says is refused, not read beyond its end."""
    store = pack_store(repo)
    pack = store.write([blob(noise(200_000))])
    path = store.pack_dir / f"{pack.name}.pack"
    path.chmod(0o600)
    for length in (0, 10, 100, 100_000):
        os.truncate(path, length)
        with pytest.raises(CorruptRecord):
            PackReader(objects_dir(repo)).read(pack.oids[0])


def test_a_loose_object_that_lies_about_its_size(repo: GitRepo) -> None:
    """A small file that claims to hold a terabyte costs no memory."""
    path = objects_dir(repo) / ABSENT.hex()[:2] / ABSENT.hex()[2:]
    path.parent.mkdir(exist_ok=True)
    reader = PackReader(objects_dir(repo))
    for content in (
        b"blob 1000000000000\0x",
        b"blob 3\0xyzzy",
        b"blob 9\0x",
        b"sponge 1\0x",
        b"blob",
        b"",
    ):
        path.write_bytes(zlib.compress(content))
        with pytest.raises(CorruptRecord):
            reader.read(ABSENT)
    path.write_bytes(b"")
    with pytest.raises(CorruptRecord):
        reader.read(ABSENT)


def test_a_delta_that_unfolds_is_refused_by_its_size(repo: GitRepo) -> None:
    """A few bytes announce 64 MiB: nothing of it is made, whether it is wanted or lies on the way."""
    large, small = 64 << 20, 1 << 20
    sizes = [0x10000, large, small]
    oids = planted(repo, deltas(large, small), sizes)
    reader = PackReader(objects_dir(repo))
    with used_memory(16 << 20):
        for oid in oids[1:]:
            with pytest.raises(TooLarge, match="67,108,864 bytes"):
                reader.read(oid, small)
    assert reader.blob(oids[0], small) == bytes(0x10000)


def test_a_long_chain_of_deltas_is_refused(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its length, and by the bytes that would be copied to apply it."""
    sizes = [0x10000 * (number + 1) for number in range(12)]
    oids = planted(repo, deltas(*sizes[1:]), sizes)
    reader = PackReader(objects_dir(repo))
    assert reader.blob(oids[-1], sizes[-1]) == bytes(sizes[-1])
    monkeypatch.setattr("gitflowrun.git.pack.places.DELTA_DEPTH", 10)
    assert len(reader.blob(oids[-2], sizes[-1])) == sizes[-2]
    with pytest.raises(TooLarge, match="more than 10 deltas"):
        reader.blob(oids[-1], sizes[-1])
    monkeypatch.setattr("gitflowrun.git.pack.places.DELTA_SHARE", 0)
    monkeypatch.setattr("gitflowrun.git.pack.places.INSTRUCTION_COST", 0)
    monkeypatch.setattr("gitflowrun.git.pack.places.DELTA_WORK", sum(sizes[1:-1]))
    assert len(reader.blob(oids[-2], sizes[-1])) == sizes[-2]
    monkeypatch.setattr("gitflowrun.git.pack.places.DELTA_WORK", sum(sizes[1:-1]) - 1)
    with pytest.raises(TooLarge, match="take longer"):
        reader.blob(oids[-2], sizes[-1])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.sample(1)
def test_zeros_are_read_in_pieces_or_refused(repo: GitRepo, packed: bool) -> None:
    """What unfolds to 24 MiB costs a few: whole it is refused before it is inflated."""
    size = 24 << 20
    repo.write("zeros", bytes(size))
    oid = Oid.from_hex(repo.git("hash-object", "-w", "zeros"))
    if packed:
        repo.commit()
        repo.git("repack", "-adq")
    reader = PackReader(objects_dir(repo))
    with used_memory(16 << 20):
        with pytest.raises(TooLarge, match=r"25,165,824 bytes, and no more than 8,388,608"):
            reader.blob(oid)
        assert sum(map(len, reader.pieces(oid))) == reader.size(oid) == size


def test_a_size_that_lies(repo: GitRepo) -> None:
    """A loose object that announces less, or more, than it holds is damaged."""
    for announced, held in ((10, 1 << 20), (1 << 20, 10), (1 << 60, 10)):
        oid = Oid(hashlib.sha1(b"%d" % announced).digest())
        path = objects_dir(repo) / oid.hex()[:2] / oid.hex()[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(b"blob %d\0" % announced + bytes(held)))
        reader = PackReader(objects_dir(repo))
        with pytest.raises(CorruptRecord):
            reader.blob(oid)
        with pytest.raises(CorruptRecord):
            list(reader.pieces(oid))


def test_packs_whose_bytes_are_not_what_they_say(repo: GitRepo) -> None:
    """Each file is named with what is wrong: changed, longer, gone, or no file at all."""
    store = pack_store(repo)
    names = [store.write([blob(noise(3 << 20, number))]).name for number in range(5)]
    reader = PackReader(objects_dir(repo))
    assert list(reader.pack_faults()) == []
    changed, longer, gone, odd, taken = (store.pack_dir / f"{name}.pack" for name in names)
    for path in (changed, longer):
        path.chmod(0o600)
    with changed.open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"x")
    with longer.with_suffix(".idx").open("r+b") as file:
        longer.with_suffix(".idx").chmod(0o600)
        file.seek(0, os.SEEK_END)
        file.write(b"x")
    reader.refresh()
    faults = reader.pack_faults()
    first = next(faults)
    for path in (gone, odd, taken):
        path.unlink()
    odd.mkdir()
    found = dict([first, *faults])
    for path in (taken,):
        assert found[path] == "it is missing"
    assert found[changed] == found[longer.with_suffix(".idx")] == "its checksum does not fit"
    assert found[gone] == "it is missing"
    assert found[odd] == "it can't be read: Is a directory"
    assert len(found) == 5
    taken.with_suffix(".idx").unlink()
    assert taken not in dict(faults)
    shutil.rmtree(store.pack_dir)
    store.pack_dir.write_text("")
    with pytest.raises(RepositoryError, match=r"can't list .*pack: Not a directory"):
        PackReader(objects_dir(repo)).refresh()


def test_deltas_that_lead_nowhere(repo: GitRepo) -> None:
    """Round in a circle, to an object or a place that the pack has not, or of no kind: each is told, and none read."""
    sizes = [0x10000 * number for number in range(1, 8)]
    ids = [hash_object(ObjectType.BLOB, bytes(size)) for size in sizes]
    grow = varint(0x10000) + varint(0x20000) + b"\x80\x80"
    cases = {
        "its deltas go round in a circle": [ref_delta(ids[1], grow), ref_delta(ids[0], grow)],
        f"its delta base {ABSENT} is not in": [ref_delta(ABSENT, grow)],
        "its delta base lies outside the pack": [entry(6, grow, back=99_999)],
        "its header is malformed": [entry(5, b"x")],
    }
    entries = [entry for case in cases.values() for entry in case]
    planted(repo, entries, sizes[: len(entries)])
    reader = PackReader(objects_dir(repo))
    words = [why for why, case in cases.items() for _ in case]
    assert list(reader.small_ones(ids)) == []
    for oid, why in zip(ids, words, strict=False):
        with pytest.raises(CorruptRecord, match=f"object {oid} can't be read: .*{why}") as caught:
            reader.read(oid, 1 << 20)
        assert not isinstance(caught.value, TooLarge)


def test_a_pack_that_is_none(repo: GitRepo) -> None:
    """Of other bytes, or of another index: what it holds is not read."""
    store = pack_store(repo)
    one, two = (store.write([blob(noise(100, number))]) for number in range(2))
    path = store.pack_dir / f"{one.name}.pack"
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"KCAP" + whole[4:])
    with pytest.raises(CorruptRecord, match=r"\.pack is not a pack"):
        PackReader(objects_dir(repo)).read(one.oids[0])
    path.write_bytes((store.pack_dir / f"{two.name}.pack").read_bytes())
    with pytest.raises(CorruptRecord, match="cut short or does not belong to its index"):
        PackReader(objects_dir(repo)).read(one.oids[0])
    path.with_suffix(".idx").chmod(0o600)
    path.with_suffix(".idx").write_bytes(b"rubbish")
    broken = places.Pack(path.with_suffix(".idx"))
    assert not broken.has(one.oids[0])
    assert not places.Pack(store.pack_dir / "nothing.idx").has(one.oids[0])
