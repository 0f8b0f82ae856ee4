"""A stopped thread's registers, as CRIU's `core` images hold them (images/core-*.proto)."""

from __future__ import annotations

import struct

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
_WIDER_THAN_YMM = 0b1110_0000  # xstate components 5 to 7: the parts of AVX-512


def core_registers(thread: Tracee) -> tuple[CoreEntry, int, set[str]]:
    """The registers of a stopped thread.

    Returns:
        A core image with only registers in it, the stack pointer, and what it leaves out, in words.

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
    if MACHINE == "x86_64":
        core, missing = _x86_64(thread, general)
    else:
        core, missing = _aarch64(thread, general), set()
    return core, stack_pointer, missing


def _x86_64(thread: Tracee, general: bytes) -> tuple[CoreEntry, set[str]]:
    values = dict(zip(X86_64_NAMES, struct.unpack("<27Q", general), strict=True))
    floating = thread.read_registers(NT_FPREGSET)
    cwd, swd, twd, fop, rip, rdp, mxcsr, mxcsr_mask = struct.unpack_from("<HHHHQQII", floating)
    words = struct.unpack_from("<96I", floating, 32)
    registers = UserX86FpregsEntry(
        cwd=cwd, swd=swd, twd=twd, fop=fop, rip=rip, rdp=rdp, mxcsr=mxcsr, mxcsr_mask=mxcsr_mask,
        st_space=words[:32], xmm_space=words[32:],
    )  # fmt: skip
    missing: set[str] = set()
    try:
        extended = thread.read_registers(NT_X86_XSTATE)
    except OSError:  # a processor without XSAVE
        extended = b""
    if len(extended) >= _YMM_HIGH + 4 * _YMM_HIGH_WORDS:
        (in_use,) = struct.unpack_from("<Q", extended, _XSAVE_HEADER)
        registers.xsave.CopyFrom(
            UserX86XsaveEntry(
                xstate_bv=in_use & 0b111,
                ymmh_space=struct.unpack_from(f"<{_YMM_HIGH_WORDS}I", extended, _YMM_HIGH),
            )
        )
        if in_use & _WIDER_THAN_YMM:
            missing.add("the AVX-512 part of the vector registers")
    info = ThreadInfoX86(clear_tid_addr=0, gpregs=UserX86RegsEntry(**values), fpregs=registers)
    return CoreEntry(mtype=CoreEntry.X86_64, thread_info=info), missing


def _aarch64(thread: Tracee, general: bytes) -> CoreEntry:
    words = struct.unpack("<34Q", general)
    floating = thread.read_registers(NT_FPREGSET)
    vectors = struct.unpack_from("<64Q", floating)
    status, control = struct.unpack_from("<II", floating, 512)
    (tls,) = struct.unpack_from("<Q", thread.read_registers(NT_ARM_TLS))
    info = ThreadInfoAarch64(
        clear_tid_addr=0,
        tls=tls,
        gpregs=UserAarch64RegsEntry(regs=words[:31], sp=words[31], pc=words[32], pstate=words[33]),
        fpsimd=UserAarch64FpsimdContextEntry(vregs=vectors, fpsr=status, fpcr=control),
    )
    return CoreEntry(mtype=CoreEntry.AARCH64, ti_aarch64=info)
