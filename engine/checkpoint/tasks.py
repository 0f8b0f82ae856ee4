"""The images that describe processes beside their memory: tree, mappings, threads with registers.

What only code inside the target could tell (timers, signal handlers, alternate stacks) is not
here: that is CRIU's to do, and the reason why our own dumps are not restorable.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass, field

from engine.checkpoint.debug_image import (
    debug_process,
    debug_thread,
    read_coredump_filter,
    taken_signal,
    write_debug_image,
)
from engine.checkpoint.registers_image import Registers, core_registers
from engine.errors import kernel_errors
from engine.images.framing import Magic
from engine.images.layout import PSTREE, core_name, mm_name
from engine.images.proto.core_pb2 import CoreEntry, TaskCoreEntry, ThreadCoreEntry
from engine.images.proto.creds_pb2 import CredsEntry
from engine.images.proto.mm_pb2 import MmEntry, VmaEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.writer import LinkWriter
from engine.kernel.libc import system_call
from engine.kernel.maps import Maps, Vma, VmaKind
from engine.kernel.process import ProcessStat, read_stat, read_status
from engine.kernel.smaps import SmapsEntry
from engine.kernel.stopping import StoppedProcess

_ALIVE = 1
_STOPPED = 3
_SYS_GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100}

# criu/include/image.h
_REGULAR, _VSYSCALL, _VDSO, _HEAP = 1 << 0, 1 << 2, 1 << 3, 1 << 5
_FILE_PRIVATE, _FILE_SHARED, _ANON_SHARED, _ANON_PRIVATE = 1 << 6, 1 << 7, 1 << 8, 1 << 9
_VVAR, _MEMFD = 1 << 12, 1 << 14
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_GROWSDOWN = 0x1, 0x2, 0x20, 0x100
_MAP_LOCKED, _MAP_NORESERVE, _MAP_HUGETLB = 0x2000, 0x4000, 0x40000
_FLAG_OF = {"gd": _MAP_GROWSDOWN, "lo": _MAP_LOCKED, "nr": _MAP_NORESERVE, "ht": _MAP_HUGETLB}
_ADVICE_OF = {"sr": 2, "rr": 1, "dc": 10, "dd": 16, "mg": 12, "hg": 14, "nh": 15, "wf": 18}


@dataclass(slots=True)
class ThreadState:
    """One thread as it was when stopped."""

    inner_tid: int
    """As the process itself knows it."""
    command: bytes
    status: dict[str, str]
    registers: Registers
    robust_list: tuple[int, int]
    siginfo: bytes
    """Of the signal that it was about to take; empty if there was none."""
    times: tuple[int, int]
    """On a processor, in its program and in the kernel, in clock ticks."""

    @property
    def stack_page_address(self) -> int:
        """Where its stack is in use."""
        return self.registers.stack_pointer


@dataclass(slots=True)
class TaskState:
    """One process as it was when stopped; cheap to gather, turned into images later."""

    stat: ProcessStat
    status: dict[str, str]
    auxv: bytes
    personality: int
    coredump_filter: int
    """Which mappings the kernel's own core of it would hold (core(5))."""
    threads: list[ThreadState] = field(default_factory=list)

    @property
    def inner_pid(self) -> int:
        """The pid as the process itself knows it."""
        return innermost(self.status, "NSpid", self.stat.pid)


def innermost(status: dict[str, str], name: str, otherwise: int) -> int:
    """The last of the ids that a status field lists, one per pid namespace."""
    return int(status.get(name, str(otherwise)).split()[-1])


def gather(process: StoppedProcess) -> TaskState:
    """What can be told from outside of a stopped process.

    Raises:
        TargetGone: it was killed meanwhile.
    """
    pid = process.pid
    # The main thread may have ended before the others, and its memory is not to be found by it then.
    task = pid if pid in process.tracees else min(process.tracees)
    state = TaskState(
        read_stat(pid),
        read_status(pid),
        _read(pid, task, "auxv"),
        _personality(pid, task),
        read_coredump_filter(pid),
    )
    for tid, tracee in sorted(process.tracees.items(), key=lambda item: item[0] != pid):
        stat = read_stat(pid, tid)
        if stat.is_kernels_worker:
            continue
        status = read_status(pid, tid)
        state.threads.append(
            ThreadState(
                inner_tid=innermost(status, "NSpid", tid),
                command=stat.raw_command,
                status=status,
                registers=core_registers(tracee),
                robust_list=_robust_list(tid),
                siginfo=taken_signal(tracee),
                times=(int(stat.fields[11]), int(stat.fields[12])),
            )
        )
    return state


def _read(pid: int, task: int, name: str) -> bytes:
    with kernel_errors(pid, f"read its {name}"), open(f"/proc/{task}/{name}", "rb", 0) as file:
        return file.read()


def _personality(pid: int, task: int) -> int:
    return int(_read(pid, task, "personality"), 16)


def _robust_list(tid: int) -> tuple[int, int]:
    """Address and length of the thread's list of robust futexes (get_robust_list(2))."""
    head, length = ctypes.c_uint64(), ctypes.c_size_t()
    try:
        system_call(
            _SYS_GET_ROBUST_LIST[os.uname().machine],
            tid,
            ctypes.c_void_p(ctypes.addressof(head)),
            ctypes.c_void_p(ctypes.addressof(length)),
        )
    except PermissionError:  # stricter than ptrace under some security modules
        return 0, 0
    return head.value, length.value


def write_images(
    link: LinkWriter, states: list[TaskState], maps: dict[int, Maps], smaps: dict[int, list[SmapsEntry]]
) -> None:
    """Write `pstree`, and for each process `mm`, the `core` of each thread, and `debug`.

    Args:
        link: where to.
        states: the tree, the root first.
        maps: mappings by pid as we know it.
        smaps: flags of mappings by pid, as far as known.

    Raises:
        LinkFailed: the disk would not take it.
    """
    inner = {state.stat.pid: state.inner_pid for state in states}
    root = states[0]
    entries = []
    for state in states:
        # A process whose parent has exited hangs below the root: CRIU knows one tree only.
        parent = 0 if state is root else inner.get(state.stat.parent_pid, root.inner_pid)
        entries.append(
            PstreeEntry(
                pid=state.inner_pid,
                ppid=parent,
                pgid=innermost(state.status, "NSpgid", state.stat.process_group),
                sid=innermost(state.status, "NSsid", state.stat.session),
                threads=[thread.inner_tid for thread in state.threads],
            )
        )
        mm = _mm(state, maps[state.stat.pid], smaps.get(state.stat.pid, []))
        link.write_messages(mm_name(state.inner_pid), Magic.MM, [mm])
        for thread in state.threads:
            link.write_messages(core_name(thread.inner_tid), Magic.CORE, [_core(state, thread)])
        _write_debug_image(link, state, maps[state.stat.pid], smaps.get(state.stat.pid, []))
    link.write_messages(PSTREE, Magic.PSTREE, entries)


def _write_debug_image(link: LinkWriter, state: TaskState, maps: Maps, smaps: list[SmapsEntry]) -> None:
    process = debug_process(
        state.auxv,
        (int(state.stat.fields[45]), int(state.stat.fields[46])),  # 48 and 49 of proc_pid_stat(5)
        state.stat.raw_command,
        state.coredump_filter,
        maps,
        smaps,
    )
    threads = [
        debug_thread(thread.inner_tid, thread.registers.sets, thread.siginfo, thread.times)
        for thread in state.threads
    ]
    write_debug_image(link, state.inner_pid, process, threads)


def _core(state: TaskState, thread: ThreadState) -> CoreEntry:
    core = CoreEntry()
    core.CopyFrom(thread.registers.core)
    blocked = int(thread.status.get("SigBlk", "0"), 16)
    command = thread.command.decode("utf-8", "replace")
    if thread is state.threads[0]:
        core.tc.CopyFrom(
            TaskCoreEntry(
                task_state=_STOPPED if state.stat.state == "T" else _ALIVE,
                exit_code=state.stat.exit_code,
                personality=state.personality,
                flags=state.stat.flags,
                blk_sigset=blocked,
                comm=command,
            )
        )
    head, length = thread.robust_list
    core.thread_core.CopyFrom(
        ThreadCoreEntry(
            futex_rla=head,
            futex_rla_len=length,
            sched_nice=int(state.stat.fields[16]),
            blk_sigset=blocked,
            comm=command,
            creds=_credentials(thread.status),
        )
    )
    return core


def _credentials(status: dict[str, str]) -> CredsEntry:
    uid, euid, suid, fsuid = map(int, status["Uid"].split())
    gid, egid, sgid, fsgid = map(int, status["Gid"].split())

    def words(name: str) -> list[int]:
        value = int(status.get(name, "0"), 16)
        return [value & 0xFFFFFFFF, value >> 32]

    return CredsEntry(
        uid=uid, euid=euid, suid=suid, fsuid=fsuid, gid=gid, egid=egid, sgid=sgid, fsgid=fsgid,
        cap_inh=words("CapInh"), cap_prm=words("CapPrm"), cap_eff=words("CapEff"), cap_bnd=words("CapBnd"),
        cap_amb=words("CapAmb"), secbits=0, groups=map(int, status.get("Groups", "").split()),
        no_new_privs=int(status.get("NoNewPrivs", "0")),
    )  # fmt: skip


def _mm(state: TaskState, maps: Maps, smaps: list[SmapsEntry]) -> MmEntry:
    # Fields as numbered in proc_pid_stat(5), of which ours begin with the third.
    number = {field: int(state.stat.fields[field - 3]) for field in (26, 27, 28, 45, 46, 47, 48, 49, 50, 51)}
    flags = {(entry.start, entry.end): entry.flags for entry in smaps}
    heap = [vma.end for vma in maps.vmas if vma.kind is VmaKind.HEAP]
    return MmEntry(
        mm_start_code=number[26],
        mm_end_code=number[27],
        mm_start_data=number[45],
        mm_end_data=number[46],
        mm_start_stack=number[28],
        mm_start_brk=number[47],
        mm_brk=max(heap, default=number[47]),
        mm_arg_start=number[48],
        mm_arg_end=number[49],
        mm_env_start=number[50],
        mm_env_end=number[51],
        exe_file_id=0,
        mm_saved_auxv=struct.unpack(f"<{len(state.auxv) // 8}Q", state.auxv),
        vmas=[_vma(vma, flags.get((vma.start, vma.end), frozenset())) for vma in maps.vmas],
    )


def _vma(vma: Vma, flags: frozenset[str]) -> VmaEntry:
    protection = sum(bit for bit, letter in ((1, "r"), (2, "w"), (4, "x")) if letter in vma.perms)
    mapping = _MAP_PRIVATE if vma.is_private else _MAP_SHARED
    status = _REGULAR
    shared_id = 0
    match vma.kind:
        case VmaKind.VDSO:
            status |= _VDSO | _ANON_PRIVATE
        case VmaKind.VVAR:
            status |= _VVAR | _ANON_PRIVATE
        case VmaKind.VSYSCALL:
            status = _VSYSCALL | _ANON_PRIVATE
        case VmaKind.MEMFD | VmaKind.SHMEM if not vma.is_private:
            status |= _FILE_SHARED | (_MEMFD if vma.kind is VmaKind.MEMFD else _ANON_SHARED)
            shared_id = vma.inode
        case VmaKind.FILE_SHARED:
            status |= _FILE_SHARED
        case VmaKind.FILE_PRIVATE:
            status |= _FILE_PRIVATE
        case _ if vma.is_private:
            status |= _ANON_PRIVATE | (_HEAP if vma.kind is VmaKind.HEAP else 0)
        case _:
            status |= _ANON_SHARED
            shared_id = vma.inode
    if status & _ANON_PRIVATE and not status & (_VDSO | _VVAR):
        mapping |= _MAP_ANONYMOUS
    mapping |= sum(bit for name, bit in _FLAG_OF.items() if name in flags)
    advice = sum(1 << number for name, number in _ADVICE_OF.items() if name in flags)
    return VmaEntry(
        start=vma.start,
        end=vma.end,
        pgoff=vma.offset,
        shmid=shared_id,
        prot=protection,
        flags=mapping,
        status=status,
        fd=-1,
        madv=advice or None,
    )
