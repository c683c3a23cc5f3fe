"""A SQLite database as files: the database, its write-ahead log, its shared memory, its journal.

Owns what can be known of a source without SQLite: what kind of file it is, which files belong to it,
how it is fingerprinted. Opens nothing through SQLite and changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

MAGIC = b"SQLite format 3\x00"
SIDECAR_SUFFIXES = ("-wal", "-shm", "-journal")

# https://www.sqlite.org/fileformat2.html, sections 1.3 (database header) and 4 (write-ahead log)
_HEADER_SIZE = 100
_WAL_HEADER_SIZE = 32
_FRAME_HEADER_SIZE = 24
_WAL_MAGIC: dict[int, Literal["<", ">"]] = {0x377F0682: "<", 0x377F0683: ">"}  # the checksums' byte order

# The sums are cut to 32 bits so often that Python's integers stay small.
_WORDS_BETWEEN_CUTS = 16

# Section 3 of the same document: a journal that begins otherwise holds nothing to roll back.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")

Kind = Literal["sqlite", "missing", "not_regular", "unreadable", "empty", "truncated", "not_sqlite"]

Stamp = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What identifies a source's content: equal before and after SQLite's own checkpoint.

    Attributes:
        sha256: over the pages as a checkpoint would leave them, in hex.
        size_bytes: of those pages.
        change_counter: the header's file change counter.
    """

    sha256: str
    size_bytes: int
    change_counter: int


def list_unit_files(path: Path) -> tuple[Path, ...]:
    """Return the files that are one unit with the database at `path`, itself first, those that exist."""
    candidates = (path, *(path.with_name(path.name + suffix) for suffix in SIDECAR_SUFFIXES))
    return tuple(candidate for candidate in candidates if os.path.lexists(candidate))


def spell(path: Path | str) -> str:
    """Return a path, or a text that holds one, so that UTF-8 takes it: bytes of another encoding escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def classify(path: Path) -> Kind:
    """Tell what stands at `path`, from its first bytes and its size alone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    if not stat.S_ISREG(status.st_mode):
        return "not_regular"
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError:
        return "unreadable"
    if not header:
        return "empty"
    if not header.startswith(MAGIC):
        return "truncated" if MAGIC.startswith(header) else "not_sqlite"
    if len(header) < _HEADER_SIZE or status.st_size < _expected_size(header):
        return "truncated"
    return "sqlite"


def find_unreadable_sidecar(path: Path) -> Path | None:
    """Return a file of the unit that holds data and may not be read: going on without it would lose rows."""
    sidecars = [path.with_name(path.name + suffix) for suffix in SIDECAR_SUFFIXES if suffix != "-shm"]
    return next((file for file in sidecars if file.exists() and not os.access(file, os.R_OK)), None)


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def _expected_size(header: bytes) -> int:
    """Return the size the header promises; 0 where an old SQLite left the page count unset."""
    change_counter, page_count = struct.unpack(">II", header[24:32])
    (valid_for,) = struct.unpack(">I", header[92:96])
    return _page_size(header) * page_count if change_counter == valid_for else 0


def is_wal_mode(path: Path) -> bool:
    """Tell whether the header says that the database uses a write-ahead log."""
    with path.open("rb") as file:
        return file.read(_HEADER_SIZE)[18:20] == b"\x02\x02"


def has_pending_files(path: Path) -> bool:
    """Tell whether a log or a hot journal holds data that the database file does not show by itself."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > _WAL_HEADER_SIZE:
        return True
    journal = path.with_name(path.name + "-journal")
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        return file.read(len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC


def read_stamp(path: Path) -> Stamp:
    """Return size in bytes and modification time in ns of the files that hold data, by suffix.

    Two equal stamps of one path mean that nobody wrote in between; an empty log counts as none.
    """
    stamp: Stamp = {}
    for file in list_unit_files(path):
        suffix = file.name[len(path.name) :]
        status = file.stat()
        if suffix != "-shm" and status.st_size:
            stamp[suffix] = (status.st_size, status.st_mtime_ns)
    return stamp


def compute_fingerprint(path: Path, *, database: BinaryIO | None = None) -> Fingerprint:
    """Hash the unit's content without opening it through SQLite.

    Committed frames of the log take the place of the pages they will overwrite, so that the result is
    the same whether or not a checkpoint has happened. The log ends where SQLite says it does: before the
    first frame whose salts or checksum do not follow from those before it.

    Args:
        path: the database.
        database: the same file, opened earlier. A process that closes any descriptor of a file loses its
            POSIX locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2), so whoever holds
            the source open through SQLite passes a descriptor that outlives that connection.
    """
    if database is None:
        with path.open("rb") as opened:
            return compute_fingerprint(path, database=opened)
    wal_path = path.with_name(path.name + "-wal")
    if wal_path.exists():
        with wal_path.open("rb") as wal:
            return _hash_pages(database, wal)
    return _hash_file(database)


def _hash_pages(database: BinaryIO, wal: BinaryIO) -> Fingerprint:
    database.seek(0)
    page_size = _page_size(database.read(_HEADER_SIZE))
    frames, page_count = _read_committed_frames(wal, page_size)
    if not frames:
        return _hash_file(database)
    digest = hashlib.sha256()
    counter = b""
    for number in range(1, page_count + 1):
        file, offset = (wal, frames[number]) if number in frames else (database, (number - 1) * page_size)
        file.seek(offset)
        page = file.read(page_size)
        counter = counter or page[24:28]
        digest.update(page)
    return Fingerprint(
        sha256=digest.hexdigest(),
        size_bytes=page_count * page_size,
        change_counter=int.from_bytes(counter, "big"),
    )


def _hash_file(database: BinaryIO) -> Fingerprint:
    digest = hashlib.sha256()
    database.seek(0)
    header = database.read(_HEADER_SIZE)
    digest.update(header)
    size_bytes = len(header)
    while chunk := database.read(1 << 20):
        digest.update(chunk)
        size_bytes += len(chunk)
    return Fingerprint(
        sha256=digest.hexdigest(),
        size_bytes=size_bytes,
        change_counter=int.from_bytes(header[24:28], "big"),
    )


def _read_committed_frames(wal: BinaryIO, page_size: int) -> tuple[dict[int, int], int]:
    """Return where in the log each page's newest committed content begins, and the pages in all."""
    header = wal.read(_WAL_HEADER_SIZE)
    if int.from_bytes(header[:4], "big") not in _WAL_MAGIC:
        return {}, 0
    committed: dict[int, int] = {}
    uncommitted: dict[int, int] = {}
    page_count = 0
    for number, size_after_commit, offset in _iterate_frames(wal, page_size, header):
        uncommitted[number] = offset
        if size_after_commit:
            committed |= uncommitted
            uncommitted.clear()
            page_count = size_after_commit
    return committed, page_count


def _iterate_frames(wal: BinaryIO, page_size: int, header: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield page number, pages after a commit (else 0) and offset of the content of every valid frame."""
    order = _WAL_MAGIC[int.from_bytes(header[:4], "big")]
    checksum = _extend_checksum((0, 0), header[:24], order)
    if checksum != struct.unpack(">II", header[24:32]):
        return
    offset = _WAL_HEADER_SIZE
    wal.seek(offset)
    while len(frame := wal.read(_FRAME_HEADER_SIZE + page_size)) == _FRAME_HEADER_SIZE + page_size:
        checksum = _extend_checksum(checksum, frame[:8] + frame[_FRAME_HEADER_SIZE:], order)
        if frame[8:16] != header[16:24] or checksum != struct.unpack(">II", frame[16:24]):
            return
        number, size_after_commit = struct.unpack(">II", frame[:8])
        yield number, size_after_commit, offset + _FRAME_HEADER_SIZE
        offset += len(frame)


def _extend_checksum(checksum: tuple[int, int], data: bytes, order: Literal["<", ">"]) -> tuple[int, int]:
    """Return SQLite's cumulative checksum after `data`, a multiple of 8 bytes (section 4.2)."""
    first, second = checksum
    words = list(struct.iter_unpack(f"{order}2I", data))
    for start in range(0, len(words), _WORDS_BETWEEN_CUTS):
        for even, odd in words[start : start + _WORDS_BETWEEN_CUTS]:
            first += even + second
            second += odd + first
        first &= 0xFFFFFFFF
        second &= 0xFFFFFFFF
    return first, second
