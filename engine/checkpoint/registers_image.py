"""A stopped thread's registers: as CRIU's `core` images hold them (images/core-*.proto), and all of them.

CRIU's images have a field for each register that it knows of. What ptrace gives is kept besides, as it is, so
that nothing is lost of what a processor has and no field is for (AMX), or what lies elsewhere in the extended
state of one processor than of another (AVX-512): see `debug_image`.
"""

from __future__ import annotations

import errno
import struct
from typing import Final, NamedTuple

from engine.errors import NotSupported
from engine.images.proto.core_aarch64_pb2 import (
    ThreadInfoAarch64,
    UserAarch64FpsimdContextEntry,
    UserAarch64RegsEntry,
)
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.core_x86_pb2 import (
    ThreadInfoX86,
    UserX86FpregsEntry,
    UserX86RegsEntry,
    UserX86XsaveEntry,
)
from engine.kernel.libc import MACHINE
from engine.kernel.ptrace import NT_ARM_TLS, NT_FPREGSET, NT_PRSTATUS, NT_X86_XSTATE, Tracee
from engine.kernel.registers import NATIVE, X86_64_NAMES

_XSAVE_HEADER = 512
_YMM_HIGH = 576
_YMM_HIGH_WORDS = 64
_MORE_SETS: Final = {
    "x86_64": (0x204,),  # NT_X86_SHSTK
    # NT_ARM_SYSTEM_CALL, _SVE, _PAC_MASK, _TAGGED_ADDR_CTRL, _SSVE, _ZA, _ZT, _FPMR
    "aarch64": (0x404, 0x405, 0x406, 0x409, 0x40B, 0x40C, 0x40D, 0x40E),
}
"""Sets beyond those that CRIU's image is made of, which a processor may have (linux/elf.h)."""
_unknown_here: Final[set[int]] = set()
"""Sets that this kernel has never heard of: no thread is asked for them again, while a target is stopped."""


class Registers(NamedTuple):
    """Of one thread."""

    core: CoreEntry
    """An image with only registers in it."""
    stack_pointer: int
    sets: tuple[tuple[int, bytes], ...]
    """Every set that the processor has, as ptrace gives it, by its NT_* number; general registers first."""


def core_registers(thread: Tracee) -> Registers:
    """The registers of a stopped thread.

    Raises:
        NotSupported: we do not know this architecture's image.
    """
    general = thread.read_registers(NT_PRSTATUS)
    if NATIVE is None or not NATIVE.is_native(general):
        raise NotSupported(
            f"process {thread.pid}: registers of a program that is not native here cannot be saved",
            pid=thread.pid,
        )
    stack_pointer = NATIVE.stack_pointer(general)
    floating = thread.read_registers(NT_FPREGSET)
    number = NT_X86_XSTATE if MACHINE == "x86_64" else NT_ARM_TLS
    sets = {NT_PRSTATUS: general, NT_FPREGSET: floating}
    for kind in (number, *_MORE_SETS.get(MACHINE, ())):
        if found := _set_if_any(thread, kind):
            sets[kind] = found
    if MACHINE == "x86_64":
        core = _x86_64(general, floating, sets.get(NT_X86_XSTATE, b""))
    else:
        core = _aarch64(general, floating, sets[NT_ARM_TLS])
    return Registers(core, stack_pointer, tuple(sets.items()))


def _set_if_any(thread: Tracee, kind: int) -> bytes:
    """A set of registers; empty where the processor, or the kernel, has none such."""
    if kind in _unknown_here:
        return b""
    try:
        return thread.read_registers(kind)
    except OSError as error:
        if error.errno == errno.EINVAL:
            _unknown_here.add(kind)
        if error.errno not in (errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP, errno.EIO):
            raise
        return b""


def _x86_64(general: bytes, floating: bytes, extended: bytes) -> CoreEntry:
    values = dict(zip(X86_64_NAMES, struct.unpack("<27Q", general), strict=True))
    cwd, swd, twd, fop, rip, rdp, mxcsr, mxcsr_mask = struct.unpack_from("<HHHHQQII", floating)
    words = struct.unpack_from("<96I", floating, 32)
    registers = UserX86FpregsEntry(
        cwd=cwd, swd=swd, twd=twd, fop=fop, rip=rip, rdp=rdp, mxcsr=mxcsr, mxcsr_mask=mxcsr_mask,
        st_space=words[:32], xmm_space=words[32:],
    )  # fmt: skip
    if len(extended) >= _YMM_HIGH + 4 * _YMM_HIGH_WORDS:
        (in_use,) = struct.unpack_from("<Q", extended, _XSAVE_HEADER)
        registers.xsave.CopyFrom(
            UserX86XsaveEntry(
                xstate_bv=in_use & 0b111,
                ymmh_space=struct.unpack_from(f"<{_YMM_HIGH_WORDS}I", extended, _YMM_HIGH),
            )
        )
    info = ThreadInfoX86(clear_tid_addr=0, gpregs=UserX86RegsEntry(**values), fpregs=registers)
    return CoreEntry(mtype=CoreEntry.X86_64, thread_info=info)


def _aarch64(general: bytes, floating: bytes, thread_local: bytes) -> CoreEntry:
    words = struct.unpack("<34Q", general)
    vectors = struct.unpack_from("<64Q", floating)
    status, control = struct.unpack_from("<II", floating, 512)
    (tls,) = struct.unpack_from("<Q", thread_local)
    info = ThreadInfoAarch64(
        clear_tid_addr=0,
        tls=tls,
        gpregs=UserAarch64RegsEntry(regs=words[:31], sp=words[31], pc=words[32], pstate=words[33]),
        fpsimd=UserAarch64FpsimdContextEntry(vregs=vectors, fpsr=status, fpcr=control),
    )
    return CoreEntry(mtype=CoreEntry.AARCH64, ti_aarch64=info)
