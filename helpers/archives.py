"""Tar archives that cross a trust border: written reproducibly, read with suspicion.

Every archive of the course (photos, adapters, avatars, training services) is packed and opened
here. Reading refuses what an attacker or a broken upload may hold, before anything is written:
absolute paths, ``..``, links, devices, sparse files, duplicates, too many members, too many bytes,
and damage that ``tarfile`` itself would pass over in silence.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from helpers.errors import ArchiveError

MIB = 1024**2
_BLOCK = 512
_HEADERS_PER_MEMBER = 4096  # generous: one tar header, one pax header and their padding
_CHUNK = MIB
_MOST_AT_ONCE = 2 * MIB
_PARSER_ERRORS = (
    tarfile.TarError,
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    OverflowError,
    RecursionError,
    IndexError,
    KeyError,
    AttributeError,
    TypeError,
)


def pack(
    source: Path | Mapping[str, Path | bytes],
    path: Path,
    *,
    compress: bool = True,
    executable: Collection[str] = (),
) -> Path:
    """Write a folder, or a mapping of member name to file or bytes, as ``path`` (.tar or .tar.gz).

    The same contents give the same bytes: names sorted, owners and times dropped, mode 0644, or
    0755 for the names in ``executable``. The file appears under its name only when it is complete.

    Raises ``ArchiveError`` for an unsafe or doubled name, a link, a missing file, or no file.
    """
    members = _folder_members(source) if isinstance(source, Path) else dict(source)
    if not members:
        raise ArchiveError(f"there is nothing to pack into {path.name}", "", "name some files")
    named = _without_clashes((safe_name(name), name) for name in members)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as raw:
            if compress:
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
                    _write_tar(stream, named, members, executable)
            else:
                _write_tar(raw, named, members, executable)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_members(
    data: bytes | Path, *, limit_bytes: int = 256 * MIB, limit_members: int = 1000
) -> dict[str, bytes]:
    """The files of a .tar or .tar.gz as name to content, without touching the disk's folders.

    ``limit_bytes`` bounds the unpacked contents together. Raises ``ArchiveError`` naming the
    member, also for an archive that is empty or is none.
    """
    with _opened(data, limit_bytes, limit_members) as archive:
        return {entry.name: archive.read(entry) for entry in archive.entries}


def unpack(
    data: bytes | Path, into: Path, *, limit_bytes: int = 4096 * MIB, limit_members: int = 10_000
) -> list[str]:
    """Unpack a .tar or .tar.gz below ``into`` and return the names of its files.

    The whole archive is checked first: a refused one leaves nothing behind. Files are plain
    (mode 0644 less the umask) and never replace one that exists. Raises ``ArchiveError``.
    """
    with _opened(data, limit_bytes, limit_members) as archive:
        into.mkdir(parents=True, exist_ok=True)
        root = into.resolve()
        for entry in archive.entries:
            target = root / entry.name
            if not target.parent.resolve().is_relative_to(root):
                raise _refused(entry.name, "a link in the target folder leads out of it")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    archive.copy(entry, file)
            except (FileExistsError, NotADirectoryError):
                raise _refused(entry.name, "a file of that name is already there") from None
            except OSError as error:
                raise ArchiveError(
                    f"the archive member {_shown(entry.name)} cannot be written",
                    error.strerror or type(error).__name__,
                    "make room on the disk, or unpack to another folder",
                ) from error
        return [entry.name for entry in archive.entries]


def safe_name(name: str) -> str:
    """``name`` as a plain relative path with ``/``; ``ArchiveError`` if it could lead elsewhere."""
    if name.startswith("/") or name[1:2] == ":":
        raise _refused(name, "its path is absolute")
    if "\\" in name or not name.isprintable():
        raise _refused(name, "its name holds a backslash or an unprintable character")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise _refused(name, "its path climbs out of the archive with ..")
    sizes = [len(part.encode()) for part in parts]
    if not parts or len(parts) > 32 or max(sizes) > 255 or sum(sizes) > 2048:
        raise _refused(name, "its name is empty, too long or too deep")
    return "/".join(parts)


@dataclass(frozen=True)
class _Entry:
    name: str
    member: tarfile.TarInfo


@dataclass(frozen=True)
class _Archive:
    tar: tarfile.TarFile
    entries: list[_Entry]

    def copy(self, entry: _Entry, target: IO[bytes]) -> None:
        source = self.tar.extractfile(entry.member)
        assert source is not None, "only regular files become entries"
        shutil.copyfileobj(source, target, _CHUNK)

    def read(self, entry: _Entry) -> bytes:
        content = io.BytesIO()
        self.copy(entry, content)
        return content.getvalue()


class _Wary:
    """A file for ``tarfile``, which reads what a member says of itself (a long name, a pax header)
    into memory at once: more than any name needs is refused."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise ArchiveError(
                "an archive member is refused",
                f"what it says of itself exceeds {_MOST_AT_ONCE // MIB} MiB",
                "pack and send it again",
            )
        return self._read(size)


@contextmanager
def _opened(data: bytes | Path, limit_bytes: int, limit_members: int) -> Iterator[_Archive]:
    """A checked archive, unpacked to memory or a nameless temporary file, never to names."""
    with tempfile.SpooledTemporaryFile(max_size=64 * MIB) as plain:
        with _understood():
            ceiling = limit_bytes + (limit_members + 8) * _HEADERS_PER_MEMBER
            _decompress(data, plain, ceiling)
            tar = tarfile.open(fileobj=_Wary(plain), mode="r:")  # type: ignore[arg-type]  # noqa: SIM115
            entries = list(_checked(tar, limit_bytes, limit_members))
            _require_end(plain, tar)
        if not entries:
            raise ArchiveError("the archive is empty", "it holds no file", "pack it again")
        yield _Archive(tar, entries)


def _decompress(data: bytes | Path, plain: IO[bytes], ceiling: int) -> None:
    with io.BytesIO(data) if not isinstance(data, Path) else data.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if not magic:
            raise ArchiveError("the archive is empty", "it has 0 bytes", "pack and send it again")
        if magic == b"PK\x03\x04":
            raise ArchiveError("this is a .zip file", "", "pack the files as .tar.gz instead")
        stream = gzip.GzipFile(fileobj=raw) if magic[:2] == b"\x1f\x8b" else raw
        while chunk := stream.read(_CHUNK):
            if plain.tell() + len(chunk) > ceiling:
                raise ArchiveError(
                    "the archive is too big once it is unpacked",
                    f"the limit is {ceiling // MIB} MiB",
                    "pack fewer or smaller files",
                )
            plain.write(chunk)
    plain.seek(0)


def _checked(tar: tarfile.TarFile, limit_bytes: int, limit_members: int) -> Iterator[_Entry]:
    total, files, folders, alike = 0, set[str](), set[str](), dict[str, str]()
    for count, member in enumerate(tar, start=1):
        if count > limit_members:
            raise ArchiveError(
                f"the archive has more than {limit_members} members", "", "pack fewer files"
            )
        if member.isdir() and member.name in (".", "./"):
            continue
        name = safe_name(member.name)
        if member.issym() or member.islnk():
            raise _refused(name, "it is a link")
        if not member.isdir() and (
            member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse()
        ):
            raise _refused(name, "it is a device, a sparse file or another special member")
        parents = _parents(name)
        if member.isdir():
            parents.add(name)
        else:
            total += member.size
            if member.size < 0 or total > limit_bytes:
                raise _refused(name, f"with it the files exceed {limit_bytes // MIB} MiB")
            if name in files:
                raise _refused(name, "it is there twice")
            # Some disks hold only one of two names that differ in how their accents are composed.
            if alike.setdefault(unicodedata.normalize("NFC", name), name) != name:
                raise _refused(name, "another member has the same name, its accents written apart")
            files.add(name)
        folders |= parents
        if parents & files or (name in files and name in folders):
            raise _refused(name, "it is a file and a folder at once")
        if not member.isdir():
            yield _Entry(name, member)


def _require_end(plain: IO[bytes], tar: tarfile.TarFile) -> None:
    """``tarfile`` stops without a word at a damaged header: insist on the closing zeros."""
    members = tar.getmembers()
    end = 0
    if members:
        blocks = -(-members[-1].size // _BLOCK) if members[-1].isreg() else 0
        end = members[-1].offset_data + blocks * _BLOCK
    plain.seek(end)
    if plain.read(_BLOCK) != bytes(_BLOCK):
        after = f"after {_shown(members[-1].name)}" if members else "at its beginning"
        raise ArchiveError(f"the archive is damaged {after}", "", "pack and send it again")


@contextmanager
def _understood() -> Iterator[None]:
    """Whatever the parsers trip over in hostile bytes becomes one error of the course."""
    try:
        yield
    except _PARSER_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise ArchiveError("the archive cannot be read", str(error.strerror)) from error
        raise ArchiveError(
            "this is not a .tar.gz archive, or it is damaged",
            f"reading it ended with {type(error).__name__}",
            "pack and send it again",
        ) from error


def _folder_members(folder: Path) -> dict[str, Path | bytes]:
    if not folder.is_dir():
        raise ArchiveError(f"there is no folder {folder}")
    members: dict[str, Path | bytes] = {}
    for file in folder.rglob("*"):
        if file.is_symlink():
            raise _refused(file.relative_to(folder).as_posix(), "it is a link")
        if file.is_file():
            members[file.relative_to(folder).as_posix()] = file
    return members


def _without_clashes(names: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Safe name to given name, refusing names that could not lie side by side in a folder."""
    named: dict[str, str] = {}
    for safe, given in names:
        if safe in named:
            raise _refused(safe, "it is there twice")
        named[safe] = given
    for safe in named:
        if clash := _parents(safe) & named.keys():
            raise _refused(min(clash), "it is a file and a folder at once")
    return named


def _parents(name: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(name).parents} - {"."}


def _write_tar(
    stream: IO[bytes] | gzip.GzipFile,
    named: Mapping[str, str],
    members: Mapping[str, Path | bytes],
    executable: Collection[str] = (),
) -> None:
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(named):
            content = members[named[name]]
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if name in executable else 0o644
            if isinstance(content, Path):
                if not content.is_file():
                    raise ArchiveError(f"cannot pack {_shown(name)}", f"no file {content}")
                info.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(info, file)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _refused(name: str, why: str) -> ArchiveError:
    return ArchiveError(f"the archive member {_shown(name)} is refused", why, "pack it without it")


def _shown(name: str) -> str:
    """A hostile name, fit to be printed."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}..."
