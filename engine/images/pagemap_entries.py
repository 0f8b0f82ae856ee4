"""Encodes and decodes the entries of a pagemap as columns, a whole column at a time.

A process with scattered writes has hundreds of thousands of entries, and one protobuf object for each
would hold Python's interpreter lock for a good part of a second. What comes out is, byte for byte, what
protobuf would write. Entries that are read and do not have that plain shape are left to protobuf.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from engine.errors import UnknownFormat
from engine.images.framing import NEWER_CRIU, bad, parse, unknown_fields
from engine.images.proto.pagemap_pb2 import PagemapEntry
from engine.pageset import Int64Array
from engine.printable import printable

UInt64Array = NDArray[np.uint64]
_Bytes = NDArray[np.uint8]

_VADDR, _COMPAT_NR_PAGES, _IN_PARENT, _FLAGS, _NR_PAGES = range(1, 6)
# A tag is the field's number and the wire type, which is 0 (varint) for all five.
_TAG: Final = {field: field << 3 for field in range(1, 6)}
_LONGEST_VARINT: Final = 10
# Protobuf lets a field come twice. More than this is not worth being fast at.
_MOST_FIELDS: Final = 8
_MOST_NUMBERS: Final = 4
_U32_MASK: Final = np.uint64(0xFFFFFFFF)


class Columns(NamedTuple):
    """What the entries of one pagemap say, one row each; 0 where a field is missing."""

    vaddr: UInt64Array
    compat_nr_pages: UInt64Array
    in_parent: UInt64Array
    flags: UInt64Array
    nr_pages: UInt64Array
    has_nr_pages: NDArray[np.bool_]
    """Whether the field is there, be it 0."""


def encode_entries(vaddr: UInt64Array, nr_pages: UInt64Array, flags: UInt64Array) -> bytes:
    """The framed entries of a pagemap; each length, below 2^32, goes into both fields for it."""
    fields = (
        (_VADDR, vaddr),
        (_COMPAT_NR_PAGES, nr_pages),
        (_FLAGS, flags),
        (_NR_PAGES, nr_pages),
    )
    lengths = [_varint_lengths(values) for _, values in fields]
    payload = np.add.reduce(lengths) + len(fields)
    ends = np.cumsum(payload + 4)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    at = ends - payload
    out[(at - 4)[:, np.newaxis] + np.arange(4)] = payload.astype(np.uint32).view(np.uint8).reshape(-1, 4)
    for (field, values), length in zip(fields, lengths, strict=True):
        out[at] = _TAG[field]
        _put_varints(out, at + 1, values, length)
        at = at + 1 + length
    return out.tobytes()


def _varint_lengths(values: UInt64Array) -> Int64Array:
    lengths = np.ones(len(values), np.int64)
    for bits in range(7, 64, 7):
        lengths += values >= np.uint64(1 << bits)
    return lengths


def _put_varints(out: _Bytes, at: Int64Array, values: UInt64Array, lengths: Int64Array) -> None:
    """Write each value at its place: seven bits a byte, low ones first, the top bit says "more"."""
    for index in range(int(lengths.max(initial=0))):
        rows = lengths > index
        byte = (values[rows] >> np.uint64(7 * index)) & np.uint64(0x7F)
        more = (lengths[rows] > index + 1).astype(np.uint64) << np.uint64(7)
        out[at[rows] + index] = byte | more


def decode_entries(data: bytes, bounds: Int64Array, path: Path, base: int) -> Columns:
    """What the entries of a part of a file say.

    Args:
        data: that part.
        bounds: where in it each entry begins and ends, shape (n, 2).
        path: the file's name, for errors.
        base: where in the file `data` begins, for errors.

    Raises:
        BadImage: one of them is no pagemap entry.
        UnknownFormat: one of them says more than we understand.
    """
    columns = _decode_plain(data, bounds)
    if columns is not None:
        return columns
    entries = []
    for start, end in bounds.tolist():
        entry = parse(PagemapEntry, data, start, end, path, base=base)
        require_known(entry, path, base + start)
        entries.append(entry)

    def column(value: Callable[[PagemapEntry], int]) -> UInt64Array:
        return np.fromiter(map(value, entries), np.uint64, len(entries))

    return Columns(
        column(lambda entry: entry.vaddr),
        column(lambda entry: entry.compat_nr_pages),
        column(lambda entry: entry.in_parent),
        column(lambda entry: entry.flags),
        column(lambda entry: entry.nr_pages),
        column(lambda entry: entry.HasField("nr_pages")) != 0,
    )


def require_known(message: Message, path: Path, offset: int) -> None:
    """Make sure that a message of a pagemap says nothing that we do not understand.

    CRIU from 4.3 on can compress pages, and then says so in further fields of each entry. A reader that
    passes over these takes compressed bytes for pages.

    Raises:
        UnknownFormat: it does. BadImage: a field that we know has a type that it never has.
    """
    unknown = {field.number for field in unknown_fields(message)}
    if not unknown:
        return
    if unknown & set(type(message).DESCRIPTOR.fields_by_number):
        raise bad(path, offset, f"not a {type(message).DESCRIPTOR.name} (a field of another type)")
    numbers = ", ".join(map(str, sorted(unknown)[:_MOST_NUMBERS]))
    raise unknown_entry(path, offset, f"fields that are not known here ({numbers})")


def unknown_entry(path: Path, offset: int, what: str) -> UnknownFormat:
    """The error for a pagemap that says more than we understand."""
    return UnknownFormat(
        f"{printable(str(path))}: at byte {offset}: {what}: made by a newer CRIU (compressed pages, perhaps)",
        hint=NEWER_CRIU,
    )


def _decode_plain(data: bytes, bounds: Int64Array) -> Columns | None:
    """All entries in step, a field of each at a time; None unless all hold just known varints."""
    # Padded, so that a varint that runs past the end is read without a check and found out after.
    octets = np.frombuffer(data + bytes(_LONGEST_VARINT + 1), np.uint8)
    at, ends = bounds[:, 0].copy(), bounds[:, 1]
    columns = np.zeros((6, len(at)), np.uint64)
    seen = np.zeros((6, len(at)), np.bool_)
    for _ in range(_MOST_FIELDS):
        rows = np.flatnonzero(at < ends)
        if not len(rows):
            break
        tags = octets[at[rows]]
        fields = tags >> 3
        if ((tags & 7) != 0).any() or (fields < _VADDR).any() or (fields > _NR_PAGES).any():
            return None
        read = _get_varints(octets, at[rows] + 1)
        if read is None:
            return None
        values, at[rows] = read
        columns[fields, rows] = values
        seen[fields, rows] = True
    if (at != ends).any() or not seen[[_VADDR, _COMPAT_NR_PAGES]].all():
        return None
    columns[[_COMPAT_NR_PAGES, _FLAGS]] &= _U32_MASK
    columns[_IN_PARENT] = columns[_IN_PARENT] != 0
    return Columns(
        columns[_VADDR],
        columns[_COMPAT_NR_PAGES],
        columns[_IN_PARENT],
        columns[_FLAGS],
        columns[_NR_PAGES],
        seen[_NR_PAGES],
    )


def _get_varints(octets: _Bytes, at: Int64Array) -> tuple[UInt64Array, Int64Array] | None:
    """The value at each place and the place after it; None if one is too long to be a varint."""
    values = np.zeros(len(at), np.uint64)
    after = at.copy()
    rows = np.arange(len(at))
    for index in range(_LONGEST_VARINT):
        byte = octets[after[rows]].astype(np.uint64)
        values[rows] |= (byte & np.uint64(0x7F)) << np.uint64(7 * index)
        after[rows] += 1
        rows = rows[byte >= 0x80]
        if not len(rows):
            return values, after
    return None
