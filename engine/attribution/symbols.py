"""From an instruction's address to words: the function, the line, or at least the file and the offset."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from demangle import demangleb

from engine.attribution.elf_symbols import BROKEN, ElfSymbols
from engine.attribution.perf_map import PerfMap
from engine.errors import DirtytopError
from engine.kernel.in_root import open_in_root
from engine.kernel.maps import Maps, Vma, VmaKind
from engine.kernel.process import read_status
from engine.pageset import PAGE_SHIFT
from engine.printable import printable

_DELETED: Final = b" (deleted)"
_MOST_FILES: Final = 4096
"""Beyond so many, addresses stay numbers: each takes a descriptor."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One instruction of a call chain; all text is printable."""

    function: str
    """Its function; where that has no name, the file and the offset in it, or the address."""
    module: str
    """The last part of the path of the file that the code is from, or what the kernel calls the mapping."""
    source: str = ""
    """The file of its source, if the program says."""
    line: int = 0
    """0 if it does not."""
    is_named: bool = True
    """Whether `function` is a name."""

    @property
    def place(self) -> str:
        """The source line as in "main.c:12"; the function where that is not known."""
        return f"{os.path.basename(self.source)}:{self.line}" if self.source else self.function


class Symbols:
    """Looks up addresses of several processes, each while it lives, and remembers what it found."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int], tuple[int, ElfSymbols]] = {}
        self._frames: dict[tuple[int, int], Frame] = {}
        self._perf_maps: dict[int, PerfMap] = {}

    def look_up(self, pid: int, maps: Maps, address: int, *, is_caller: bool = False) -> Frame:
        """What is at an address of a process.

        Args:
            pid: whose.
            maps: its mappings when it was there.
            address: of an instruction.
            is_caller: whether it is where a call returns to: then the call is the instruction before.
        """
        known = self._frames.get((pid, address))
        if known is None:
            known = self._frames[pid, address] = self._find(pid, maps, address - is_caller, address)
        return known

    def close(self) -> None:
        """Close the files; may be called twice."""
        files, self._files = self._files, {}
        for descriptor, symbols in files.values():
            symbols.close()
            if descriptor >= 0:
                os.close(descriptor)

    def _find(self, pid: int, maps: Maps, address: int, shown: int) -> Frame:
        at = maps.index_at(address >> PAGE_SHIFT)
        if at is None:
            return Frame(f"0x{shown:x}", "?", is_named=False)
        vma = maps.vmas[at]
        if not vma.inode:
            name = self._perf_map(pid).name_at(address)
            if name is not None:
                return Frame(printable(name), "jit")
            return Frame(f"{vma.name}+0x{shown - vma.start:x}", vma.name, is_named=False)
        module = printable(os.path.basename(vma.raw_name.removesuffix(_DELETED)))
        symbols = self._symbols(pid, vma)
        offset = address - vma.start + vma.offset
        inside = symbols.address_of(offset) if symbols is not None else None
        if symbols is None or inside is None:
            return Frame(f"{module}+0x{offset:x}", module, is_named=False)
        line = symbols.line_at(inside)
        source, number = (printable(line.file), line.line) if line is not None else ("", 0)
        found = symbols.function_at(inside)
        if found is None:
            return Frame(f"{module}+0x{inside:x}", module, source, number, is_named=False)
        return Frame(printable(demangled(found[0])), module, source, number)

    def _perf_map(self, pid: int) -> PerfMap:
        if pid not in self._perf_maps:
            inner = pid
            with suppress(DirtytopError, ValueError):
                inner = int(read_status(pid).get("NSpid", str(pid)).split()[-1])
            self._perf_maps[pid] = PerfMap(pid, inner)
        return self._perf_maps[pid]

    def _symbols(self, pid: int, vma: Vma) -> ElfSymbols | None:
        if vma.kind is VmaKind.SPECIAL or len(self._files) >= _MOST_FILES:
            return None
        key = vma.device, vma.inode
        if key not in self._files:
            descriptor = _open(pid, vma)
            self._files[key] = descriptor, ElfSymbols(f"/proc/self/fd/{descriptor}")
        return self._files[key][1]


def _open(pid: int, vma: Vma) -> int:
    """The file that is mapped there, whatever has its name now; -1 if it is not to be had."""
    with suppress(OSError):
        return os.open(f"/proc/{pid}/map_files/{vma.start:x}-{vma.end:x}", os.O_RDONLY | os.O_CLOEXEC)
    path = vma.raw_name.replace(b"\\012", b"\n")
    try:
        descriptor = open_in_root(pid, path)
    except OSError:
        return -1
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_ino == vma.inode:
        return descriptor
    os.close(descriptor)
    return -1


def demangled(name: bytes) -> bytes:
    """A name as the source has it; itself, if it is not mangled or cannot be read."""
    try:
        spelled = demangleb(name)
    except BROKEN:
        return name
    return spelled if isinstance(spelled, bytes) else name
