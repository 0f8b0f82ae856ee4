"""Which function, and which line, of a program's file an address is in: its symbol table, and DWARF.

The file is the target's choice, so what it says is not to be believed: sizes are bounded, reading stops at
the first thing that makes no sense, and then there are just no symbols. Tables are read at once with NumPy,
for a large program has hundreds of thousands of symbols; lines only of the units that are asked for.
"""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from numpy.typing import NDArray

_MOST_TABLE_BYTES: Final = 128 << 20
_MOST_NAME_BYTES: Final = 4096
_MOST_FILE_BYTES_FOR_LINES: Final = 4 << 30
_MOST_DEBUG_BYTES: Final = 256 << 20
"""Of all sections of a file together, unpacked."""
_UNPACK_BYTES: Final = 1 << 20
_COMPRESSION_HEADER_BYTES: Final = 24  # Elf64_Chdr
_DEBUG: Final = Path("/usr/lib/debug/.build-id")

_SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_FUNCTION: Final = (2, 10)
"""STT_FUNC and STT_GNU_IFUNC."""
_NO_TYPE: Final = 0

BROKEN: Final = (
    ELFError, DWARFError, ConstructError, struct.error, zlib.error,
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, StopIteration, TypeError, ValueError,
)  # fmt: skip
"""What reading a file that is none of what it says it is can end in."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is mapped: file offsets, and the address that goes with the first."""

    offset: int
    end: int
    address: int


@dataclass(frozen=True, slots=True)
class Line:
    """A place in the source, as the compiler named it."""

    file: str
    line: int


class ElfSymbols:
    """The symbols of one file. Empty where it has none, or is not what it says."""

    def __init__(self, path: str, debug_directory: Path = _DEBUG) -> None:
        """Read the headers, and the tables.

        Args:
            path: the file, where we can open it.
            debug_directory: where separate debug files are, by build id.
        """
        self.build_id = ""
        self.segments: tuple[Segment, ...] = ()
        self._starts: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._ends: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._names: list[tuple[bytes, int]] = []
        self._name_at: NDArray[np.int64] = np.empty(0, np.int64)
        self._strings = b""
        self._path = path
        self._debug_path = ""
        try:
            self._read(path, debug_directory)
        except BROKEN:
            return

    @property
    def is_empty(self) -> bool:
        """Whether no function is known by name."""
        return not len(self._starts)

    def address_of(self, offset: int) -> int | None:
        """The address that the file gives to what lies at this offset in it."""
        for segment in self.segments:
            if segment.offset <= offset < segment.end:
                return segment.address + offset - segment.offset
        return None

    def function_at(self, address: int) -> tuple[bytes, int] | None:
        """The name of the function that an address is in, as it is in the file, and how far into it."""
        at = int(np.searchsorted(self._starts, np.uint64(address), side="right")) - 1
        if at < 0 or address >= int(self._ends[at]):
            return None
        begin = int(self._name_at[at])
        end = self._strings.find(b"\0", begin, begin + _MOST_NAME_BYTES)
        name = self._strings[begin : end if end >= 0 else begin + _MOST_NAME_BYTES]
        return name, address - int(self._starts[at])

    def line_at(self, address: int) -> Line | None:
        """The line of the source that an address belongs to; None if the file does not tell."""
        try:
            return self._lines.find(address) if self._lines is not None else None
        except BROKEN:
            return None

    def close(self) -> None:
        """Close what was opened for lines; there are none any more."""
        if (lines := self.__dict__.get("_lines")) is not None:
            lines.close()
        self.__dict__["_lines"] = None

    @cached_property
    def _lines(self) -> _Lines | None:
        path = self._debug_path or self._path
        try:
            if os.stat(path).st_size > _MOST_FILE_BYTES_FOR_LINES:
                return None
            return _Lines(path)
        except BROKEN:
            return None

    def _read(self, path: str, debug_directory: Path) -> None:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            self.segments = tuple(
                Segment(part["p_offset"], part["p_offset"] + part["p_filesz"], part["p_vaddr"])
                for part in elf.iter_segments("PT_LOAD")
            )
            note = elf.get_section_by_name(".note.gnu.build-id")
            if note is not None:
                notes: Any = note
                self.build_id = next((str(each["n_desc"]) for each in notes.iter_notes()), "")
            tables = _tables(elf)
        if not tables or tables[0] != ".symtab":
            self._debug_path = _debug_file(self.build_id, debug_directory)
            if self._debug_path:
                with open(self._debug_path, "rb") as file:
                    tables = _tables(ELFFile(file)) or tables
        if tables:
            self._take(*tables[1:])

    def _take(self, symbols: NDArray[Any], strings: bytes) -> None:
        kinds = symbols["info"] & 0xF
        named = (symbols["name"] != 0) & (symbols["section"] != 0)
        functions = symbols[
            named & (np.isin(kinds, _FUNCTION) | ((kinds == _NO_TYPE) & (symbols["size"] > 0)))
        ]
        functions = functions[np.lexsort((functions["size"], functions["value"]))]
        # Of several names for one place the last is the one that covers most.
        last = np.append(functions["value"][1:] != functions["value"][:-1], True)[: len(functions)]
        functions = functions[last]
        starts = functions["value"].astype(np.uint64)
        nexts = np.append(starts[1:], np.uint64(1 << 63))[: len(starts)]
        sized = starts + functions["size"].astype(np.uint64)
        # Code in assembler has no size: it goes on to the next.
        self._starts = starts
        self._ends = np.where(functions["size"] > 0, sized, nexts)
        self._name_at = functions["name"].astype(np.int64)
        self._strings = strings


def _tables(elf: ELFFile) -> tuple[str, NDArray[Any], bytes] | None:
    """The better of the tables there are: its name, its symbols and the strings that these name."""
    for name in (".symtab", ".dynsym"):
        table = elf.get_section_by_name(name)
        if table is None or table["sh_type"] == "SHT_NOBITS" or elf.elfclass != 64 or not elf.little_endian:
            continue
        strings = elf.get_section(table["sh_link"])
        if max(table["sh_size"], strings["sh_size"]) > _MOST_TABLE_BYTES:
            continue
        data = table.data()
        symbols = np.frombuffer(data[: len(data) // _SYMBOL.itemsize * _SYMBOL.itemsize], _SYMBOL)
        if len(symbols):
            return name, symbols, strings.data()
    return None


def _debug_file(build_id: str, directory: Path) -> str:
    """Where the debug information of a stripped program is, if it is installed."""
    if len(build_id) < 8 or not build_id.isalnum():
        return ""
    path = directory / build_id[:2] / f"{build_id[2:]}.debug"
    return str(path) if path.exists() else ""


def _require_honest_sizes(elf: ELFFile) -> None:
    """Refuse sections that would unpack to more than they say, or than we take. Raises ValueError."""
    all_bytes = 0
    for section in elf.iter_sections():
        if not section.name.startswith(".debug_"):
            continue
        all_bytes += section.data_size
        if all_bytes > _MOST_DEBUG_BYTES:
            raise ValueError("too much debug information")
        if section.compressed:
            elf.stream.seek(section["sh_offset"] + _COMPRESSION_HEADER_BYTES)
            packed = elf.stream.read(section["sh_size"] - _COMPRESSION_HEADER_BYTES)
            unpacking, size = zlib.decompressobj(), 0
            while packed and size <= section.data_size:
                size += len(unpacking.decompress(packed, _UNPACK_BYTES))
                packed = unpacking.unconsumed_tail
            if size != section.data_size:
                raise ValueError("debug information of another size than it says")


class _Lines:
    """The line tables of a file, read unit by unit as they are asked for."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - read from until `close`
        elf = ELFFile(self._file)
        _require_honest_sizes(elf)
        self._dwarf = elf.get_dwarf_info(follow_links=False)
        self._ranges = self._dwarf.get_aranges() if self._dwarf.has_debug_info else None
        self._units: dict[int, tuple[list[int], list[Line | None]]] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, address: int) -> Line | None:
        """The line of an address."""
        if self._ranges is None:
            return None
        at = self._ranges.cu_offset_at_addr(address)
        if at is None:
            return None
        if at not in self._units:
            self._units[at] = self._read_unit(at)
        addresses, lines = self._units[at]
        index = bisect_right(addresses, address) - 1
        return lines[index] if index >= 0 else None

    def _read_unit(self, offset: int) -> tuple[list[int], list[Line | None]]:
        unit = self._dwarf.get_CU_at(offset)
        program = self._dwarf.line_program_for_CU(unit)
        if program is None:
            return [], []
        shift = 1 if program["version"] < 5 else 0
        files = [entry.name for entry in program["file_entry"]]
        rows: list[tuple[int, Line | None]] = []
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            number = state.file - shift
            name = files[number].decode("utf-8", "replace") if 0 <= number < len(files) else ""
            rows.append((state.address, None if state.end_sequence or not name else Line(name, state.line)))
        rows.sort(key=lambda row: row[0])
        return [address for address, _ in rows], [line for _, line in rows]
