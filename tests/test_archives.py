"""Archives: what is packed comes back, reproducibly; what is hostile is refused by name."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.archives import pack, read_members, safe_name, unpack
from helpers.errors import ArchiveError

PARTS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=12)
FILES = st.dictionaries(PARTS, st.binary(max_size=2000), min_size=1, max_size=6)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], compress: bool = True) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue()) if compress else raw.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


@settings(max_examples=25, deadline=None)
@given(files=FILES, compress=st.booleans())
def test_what_is_packed_comes_back(tmp_path_factory, files, compress):
    folder = tmp_path_factory.mktemp("pack")
    path = pack(files, folder / "a.tar.gz", compress=compress)
    assert read_members(path) == files
    assert read_members(path.read_bytes()) == files
    names = unpack(path, folder / "out")
    assert {name: (folder / "out" / name).read_bytes() for name in names} == files


def test_a_folder_packs_to_the_same_bytes_wherever_and_whenever_it_lies(tmp_path):
    archives = []
    for place, time in (("one", 1_000_000_000), ("two", 1_600_000_000)):
        file = tmp_path / place / "deep" / "x.txt"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"same")
        os.utime(file, (time, time))
        archives.append(pack(tmp_path / place, tmp_path / f"{place}.tar.gz").read_bytes())
    assert archives[0] == archives[1]
    assert read_members(archives[0]) == {"deep/x.txt": b"same"}


@pytest.mark.promise(
    "A failed archive leaves the one before",
    fault="a file that is not there",
    outcome="the earlier archive is whole; no part",
)
def test_a_failed_pack_leaves_the_earlier_archive_and_no_part(tmp_path):
    path = pack({"a": b"first"}, tmp_path / "a.tar.gz")
    with pytest.raises(ArchiveError, match="cannot pack 'b'"):
        pack({"a": b"second", "b": tmp_path / "missing"}, path)
    assert read_members(path) == {"a": b"first"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]


HOSTILE = {
    "absolute": [(member("/etc/passwd"), b"x")],
    "drive": [(member("C:evil"), b"x")],
    "climbing": [(member("a/../../evil"), b"x")],
    "backslash": [(member("..\\evil"), b"x")],
    "symbolic link": [(member("link", tarfile.SYMTYPE, "/etc"), b"")],
    "hard link": [(member("a"), b"x"), (member("b", tarfile.LNKTYPE, "a"), b"")],
    "character device": [(member("dev", tarfile.CHRTYPE), b"")],
    "block device": [(member("dev", tarfile.BLKTYPE), b"")],
    "fifo": [(member("pipe", tarfile.FIFOTYPE), b"")],
    "contiguous": [(member("odd", tarfile.CONTTYPE), b"")],
    "twice": [(member("a"), b"x"), (member("./a"), b"y")],
    "file as folder": [(member("a"), b"x"), (member("a/b"), b"y")],
    "folder as file": [(member("a/b"), b"x"), (member("a"), b"y")],
    "directory over file": [(member("a"), b"x"), (member("a", tarfile.DIRTYPE), b"")],
    "climbing directory": [(member("../up", tarfile.DIRTYPE), b""), (member("a"), b"x")],
    "newline": [(member("a\nb"), b"x")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused_and_nothing_is_written(case, tmp_path):
    safe = (member("good.txt"), b"good")
    data = tar_of(safe, *HOSTILE[case])
    with pytest.raises(ArchiveError, match=r"member .* is refused"):
        read_members(data)
    with pytest.raises(ArchiveError):
        unpack(data, tmp_path / "room" / "into")
    assert not (tmp_path / "room").exists()


@settings(max_examples=150, deadline=None)
@given(
    prefix=st.sampled_from(["", "/", "../", "a/../../", "./", "//", "..\\", "C:/", "a/./", "~/"]),
    rest=st.text(max_size=30),
)
def test_a_safe_name_stays_below_its_folder(prefix, rest):
    name = prefix + rest
    try:
        safe = safe_name(name)
    except ArchiveError as error:
        assert str(error).isprintable()
        return
    root = Path("/top/of/all")
    assert (root / safe).resolve().is_relative_to(root) and safe_name(safe) == safe


def test_ordinary_archives_of_other_tools_are_read():
    root = (member(".", tarfile.DIRTYPE), b"")
    folder = (member("./photos", tarfile.DIRTYPE), b"")
    data = tar_of(root, folder, (member("./photos/a.jpg"), b"1"), (member("b.jpg"), b"2"))
    assert read_members(data) == {"photos/a.jpg": b"1", "b.jpg": b"2"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (tar_of(), "empty"),
        (gzip.compress(b""), "not a .tar.gz"),
        (b"{}", "not a .tar.gz"),
        (b"PK\x03\x04rest", "zip"),
        (b"\xff\xd8\xff\xe0" + bytes(5000), "not a .tar.gz"),
        (gzip.compress(b"text, no archive"), "not a .tar.gz"),
    ],
    # Not by content: gzip writes the time, and two processes must find the same tests.
    ids=["nothing", "no members", "empty gzip", "json", "zip", "jpeg", "gzip of text"],
)
def test_what_is_no_archive_says_so(data, words):
    with pytest.raises(ArchiveError, match=words):
        read_members(data)


def test_a_missing_archive_says_so(tmp_path):
    with pytest.raises(ArchiveError, match="No such file"):
        read_members(tmp_path / "none.tar.gz")


def test_bombs_stop_at_the_limit():
    data = tar_of((member("zeros"), bytes(30_000_000)))
    assert len(data) < 50_000
    with pytest.raises(ArchiveError, match="MiB"):
        read_members(data, limit_bytes=1_000_000)
    with pytest.raises(ArchiveError, match=r"'zeros'.*exceed"):
        read_members(data, limit_bytes=29_000_000)
    many = tar_of(*((member(f"f{i}"), b"") for i in range(20)))
    with pytest.raises(ArchiveError, match="more than 10 members"):
        read_members(many, limit_members=10)


def test_a_pax_header_cannot_smuggle_more_than_the_limit():
    info = member("a")
    info.pax_headers = {"comment": "x" * 20_000_000}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    with pytest.raises(ArchiveError, match="too big"):
        read_members(gzip.compress(raw.getvalue()), limit_bytes=1_000_000)


GOOD = {"one.jpg": b"1" * 700, "two.jpg": b"2" * 700, "three.jpg": b"3" * 700}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> bytes:
    return pack(GOOD, tmp_path_factory.mktemp("t") / "a.tar", compress=False).read_bytes()


@pytest.mark.promise(
    "A cut archive never loses files in silence",
    fault="an upload cut at any byte",
    outcome="refused",
)
@settings(max_examples=120, deadline=None)
@given(length=st.integers(0, 4607), zipped=st.booleans())
@example(length=1536, zipped=False)
@example(length=3072, zipped=False)
def test_a_truncated_archive_never_loses_files_in_silence(plain, length, zipped):
    short = plain[:length]
    with pytest.raises(ArchiveError):
        read_members(gzip.compress(short) if zipped else short)
    whole = gzip.compress(plain)
    with pytest.raises(ArchiveError):
        read_members(whole[: min(length, len(whole) - 1)])


@pytest.mark.promise(
    "Nor does a damaged one",
    fault="any byte changed",
    outcome="every file, or an error",
)
@settings(max_examples=200, deadline=None)
@given(where=st.integers(0, 4607), value=st.integers(0, 255))
def test_a_damaged_byte_gives_every_file_or_an_error(plain, where, value):
    data = plain[:where] + bytes([value]) + plain[where + 1 :]
    try:
        assert len(read_members(data)) == len(GOOD)
    except ArchiveError as error:
        assert str(error).isprintable()


def test_unpacking_neither_replaces_files_nor_follows_links(tmp_path):
    data = tar_of((member("a/b.txt"), b"new"))
    (tmp_path / "one" / "a").mkdir(parents=True)
    (tmp_path / "one" / "a" / "b.txt").write_bytes(b"old")
    with pytest.raises(ArchiveError, match="already there"):
        unpack(data, tmp_path / "one")
    assert (tmp_path / "one" / "a" / "b.txt").read_bytes() == b"old"
    (tmp_path / "outside").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="leads out"):
        unpack(data, tmp_path / "two")
    assert not list((tmp_path / "outside").iterdir())


def test_packing_refuses_links_doubles_and_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ArchiveError, match="nothing to pack"):
        pack(tmp_path / "in", tmp_path / "a.tar.gz")
    (tmp_path / "in" / "link").symlink_to("/etc/hostname")
    with pytest.raises(ArchiveError, match="link"):
        pack(tmp_path / "in", tmp_path / "a.tar.gz")
    with pytest.raises(ArchiveError, match="twice"):
        pack({"a": b"", "./a": b""}, tmp_path / "a.tar.gz")
    with pytest.raises(ArchiveError, match="file and a folder"):
        pack({"a": b"", "a/b": b""}, tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
