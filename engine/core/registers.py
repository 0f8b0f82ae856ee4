"""Registers of CRIU's images as the kernel's sets: what a core has, and ptrace gives (linux/elf.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from engine.errors import NotSupported
from engine.images.proto.core_aarch64_pb2 import ThreadInfoAarch64
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.core_x86_pb2 import ThreadInfoX86, UserX86FpregsEntry, UserX86XsaveEntry
from engine.kernel.ptrace import NT_ARM_TLS, NT_FPREGSET, NT_PRSTATUS, NT_X86_XSTATE
from engine.kernel.registers import X86_64_NAMES

Sets = tuple[tuple[int, bytes], ...]

_LEGACY_BYTES: Final = 512
_ENABLED_AT: Final = 464
"""Where the kernel says which components the processor has (arch/x86, xstate_fx_sw_bytes)."""
_HEADER_AT: Final = 512
_AREA_BYTES: Final = 2696
_AVX512: Final = 0b1110_0000
_PKRU: Final = 1 << 9
_PKRU_AT: Final = 2688
_MOVED: Final = {
    # Length of an area, and what lies elsewhere in it than on Intel's processors: from, to, length.
    2432: ((832, 1088, 64), (896, 1152, 512), (1408, 1664, 1024)),
    2440: ((832, 1088, 64), (896, 1152, 512), (1408, 1664, 1024), (2432, _PKRU_AT, 8)),
    840: ((832, _PKRU_AT, 8),),
}
"""AMD's, which have no room left for MPX; with AVX-512, with protection keys too, and with those alone."""
_X87_AND_SSE: Final = 0b11
_PARTS: Final = (
    # field, struct format of a word, words, offset, bit
    ("ymmh_space", "I", 64, 576, 2),
    ("bndreg_state", "Q", 8, 960, 3),
    ("bndcsr_state", "Q", 2, 1024, 4),
    ("opmask_reg", "Q", 8, 1088, 5),
    ("zmm_upper", "Q", 64, 1152, 6),
    ("hi16_zmm", "Q", 128, 1664, 7),
    ("pkru", "I", 2, 2688, 9),
)
"""Where Intel's processors have each component, and debuggers look for it where a core is of this length."""


def architecture(core: CoreEntry) -> str:
    """By the name that the kernel gives it.

    Raises:
        NotSupported: it is none that we make cores for.
    """
    if core.mtype == CoreEntry.X86_64:
        return "x86_64"
    if core.mtype == CoreEntry.AARCH64:
        return "aarch64"
    raise NotSupported(f"a core for a program of {CoreEntry.March.Name(core.mtype)} cannot be made")


def register_sets(core: CoreEntry) -> Sets:
    """All sets that an image of CRIU's holds of one thread, the general registers first.

    Raises:
        NotSupported: it is of an architecture that we do not know, or has none.
    """
    kind = architecture(core)
    if kind == "x86_64" and core.HasField("thread_info"):
        return _x86_64(core.thread_info)
    if kind == "aarch64" and core.HasField("ti_aarch64"):
        return _aarch64(core.ti_aarch64)
    raise NotSupported(f"the image of a thread has no registers of {kind}")


def for_debuggers(sets: Sets) -> Sets:
    """The same sets, with the extended state of x86-64 laid out where debuggers look for it.

    The area has its parts where the processor puts them, and a core does not say where that is
    (NT_X86_XSAVE_LAYOUT does since Linux 6.12, which debuggers do not know yet). gdb before 14 takes it for
    Intel's, and later ones go by its length, which does not tell all processors apart. What is of an unknown
    length stays as it is.
    """
    return tuple((kind, _as_intels(data) if kind == NT_X86_XSTATE else data) for kind, data in sets)


def _as_intels(area: bytes) -> bytes:
    if len(area) not in _MOVED:
        return area
    (has,) = struct.unpack_from("<Q", area, _ENABLED_AT)
    if (len(area) == 840 and not has & _PKRU) or (len(area) > 840 and not has & _AVX512):
        return area
    laid_out = bytearray(_AREA_BYTES if has & _PKRU else _PKRU_AT)
    first_moved = _MOVED[len(area)][0][0]
    laid_out[:first_moved] = area[:first_moved]
    for source, to, length in _MOVED[len(area)]:
        laid_out[to : to + length] = area[source : source + length]
    return bytes(laid_out)


def _x86_64(info: ThreadInfoX86) -> Sets:
    general = struct.pack("<27Q", *(getattr(info.gpregs, name) for name in X86_64_NAMES))
    floating = _legacy(info.fpregs)
    sets = [(NT_PRSTATUS, general), (NT_FPREGSET, floating)]
    if info.fpregs.HasField("xsave"):
        sets.append((NT_X86_XSTATE, _extended(floating, info.fpregs.xsave)))
    return tuple(sets)


def _legacy(registers: UserX86FpregsEntry) -> bytes:
    head = struct.pack(
        "<HHHHQQII",
        registers.cwd & 0xFFFF,
        registers.swd & 0xFFFF,
        registers.twd & 0xFFFF,
        registers.fop & 0xFFFF,
        registers.rip,
        registers.rdp,
        registers.mxcsr,
        registers.mxcsr_mask,
    )
    words = _words("I", registers.st_space, 32) + _words("I", registers.xmm_space, 64)
    return (head + words).ljust(_LEGACY_BYTES, b"\0")


def _extended(legacy: bytes, saved: UserX86XsaveEntry) -> bytes:
    """The standard form of the extended state, with what the image has of it."""
    area = bytearray(_AREA_BYTES)
    area[:_LEGACY_BYTES] = legacy
    has = _X87_AND_SSE
    for field, word, count, at, bit in _PARTS:
        values = getattr(saved, field)
        if values:
            data = _words(word, values, count)
            area[at : at + len(data)] = data
            has |= 1 << bit
    struct.pack_into("<Q", area, _ENABLED_AT, has)
    struct.pack_into("<Q", area, _HEADER_AT, saved.xstate_bv & has)
    return bytes(area)


def _words(kind: str, values: Sequence[int], count: int) -> bytes:
    """So many words, with zeros where an image has fewer."""
    given = list(values[:count])
    return struct.pack(f"<{count}{kind}", *given, *[0] * (count - len(given)))


def _aarch64(info: ThreadInfoAarch64) -> Sets:
    general = info.gpregs
    floating = info.fpsimd
    return (
        (
            NT_PRSTATUS,
            _words("Q", general.regs, 31) + struct.pack("<3Q", general.sp, general.pc, general.pstate),
        ),
        (
            NT_FPREGSET,
            _words("Q", floating.vregs, 64) + struct.pack("<IIxxxxxxxx", floating.fpsr, floating.fpcr),
        ),
        (NT_ARM_TLS, struct.pack("<Q", info.tls)),
    )
