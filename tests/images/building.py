"""Links built by hand, of pages whose content says what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from engine.images.framing import Magic, pack
from engine.images.layout import PSTREE, LinkKind, core_name, mm_name
from engine.images.proto.core_aarch64_pb2 import (
    ThreadInfoAarch64,
    UserAarch64FpsimdContextEntry,
    UserAarch64RegsEntry,
)
from engine.images.proto.core_pb2 import CoreEntry, TaskCoreEntry, ThreadCoreEntry, ThreadSasEntry
from engine.images.proto.core_x86_pb2 import (
    ThreadInfoX86,
    UserX86FpregsEntry,
    UserX86RegsEntry,
    UserX86XsaveEntry,
)
from engine.images.proto.creds_pb2 import CredsEntry
from engine.images.proto.ids_pb2 import TaskKobjIdsEntry
from engine.images.proto.mm_pb2 import MmEntry, VmaEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.stats import DumpStats
from engine.images.writer import LinkWriter
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet

ALIVE = 1
VSYSCALL = 0xFFFFFFFFFF600000


def page_data(value: int) -> bytes:
    """A page that says which it is, all over."""
    return np.full(PAGE_SIZE // 8, value, np.uint64).tobytes()


def x86_core(tid: int, leader: bool) -> CoreEntry:
    registers = UserX86RegsEntry()
    for field in UserX86RegsEntry.DESCRIPTOR.fields[:27]:
        setattr(registers, field.name, 0xFFFF_0000_0000 + field.number)
    floats = UserX86FpregsEntry(
        cwd=0x37F, swd=0, twd=0, fop=0, rip=0, rdp=0, mxcsr=0x1F80, mxcsr_mask=0xFFFF,
        st_space=range(32), xmm_space=range(64),
        xsave=UserX86XsaveEntry(xstate_bv=7, ymmh_space=range(64)),
    )  # fmt: skip
    core = CoreEntry(
        mtype=CoreEntry.X86_64,
        thread_info=ThreadInfoX86(clear_tid_addr=tid << 20, gpregs=registers, fpregs=floats),
    )
    return _with_thread(core, leader)


def aarch64_core(tid: int, leader: bool) -> CoreEntry:
    core = CoreEntry(
        mtype=CoreEntry.AARCH64,
        ti_aarch64=ThreadInfoAarch64(
            clear_tid_addr=tid << 20,
            tls=0x7F00_0000_1000,
            gpregs=UserAarch64RegsEntry(
                regs=range(31), sp=0x7FFF_0000_0000, pc=0x40_0000, pstate=0x6000_0000
            ),
            fpsimd=UserAarch64FpsimdContextEntry(vregs=range(64), fpsr=0x10, fpcr=0),
        ),
    )
    return _with_thread(core, leader)


def _with_thread(core: CoreEntry, leader: bool) -> CoreEntry:
    core.thread_core.CopyFrom(
        ThreadCoreEntry(
            futex_rla=0x7F00_0000_2000, futex_rla_len=24, sched_nice=-5, sched_policy=0, blk_sigset=0,
            sas=ThreadSasEntry(ss_sp=0, ss_size=0, ss_flags=2), comm="a thread",
            creds=CredsEntry(
                uid=0, gid=0, euid=0, egid=0, suid=0, sgid=0, fsuid=0, fsgid=0, secbits=0, groups=[0, 10],
                cap_inh=[0, 0], cap_prm=[0xFFFFFFFF, 0x1FF], cap_eff=[0xFFFFFFFF, 0x1FF], cap_bnd=[1, 2],
            ),
        )
    )  # fmt: skip
    if leader:
        core.tc.CopyFrom(
            TaskCoreEntry(
                task_state=ALIVE, exit_code=0, personality=0, flags=0x400000, blk_sigset=0,
                comm="a process", oom_score_adj=-1,
            )
        )  # fmt: skip
        core.ids.CopyFrom(TaskKobjIdsEntry(vm_id=1, files_id=2, fs_id=3, sighand_id=4))
    return core


def pagemap_data(pages_id: int, *entries: PagemapEntry) -> bytes:
    """A pagemap of entries that may be as they never should."""
    return pack(Magic.PAGEMAP, [PagemapHead(pages_id=pages_id), *entries])


def memory_map(pages: PageSet) -> MmEntry:
    """One mapping for each range, and the one whose address needs 64 bits."""
    bounds = [(first << PAGE_SHIFT, end << PAGE_SHIFT) for first, end in pages.ranges()]
    vmas = [
        VmaEntry(start=start, end=end, pgoff=0, shmid=0, prot=3, flags=0x22, status=0x201, fd=-1)
        for start, end in [*bounds, (VSYSCALL, VSYSCALL + PAGE_SIZE)]
    ]
    return MmEntry(
        mm_start_code=0x1000, mm_end_code=0x2000, mm_start_data=0x3000, mm_end_data=0x4000,
        mm_start_stack=0x7FFF_0000_0000, mm_start_brk=0x5000, mm_brk=0x6000, mm_arg_start=1, mm_arg_end=2,
        mm_env_start=3, mm_env_end=4, exe_file_id=0, mm_saved_auxv=[6, 4096, 0, 0], vmas=vmas, dumpable=1,
    )  # fmt: skip


def write_link(
    path: Path,
    memory: Mapping[int, Mapping[int, int]],
    holes: Mapping[int, Iterable[int]] | None = None,
    *,
    kind: LinkKind = LinkKind.PRE_DUMP,
    parent: Path | None = None,
    pieces: int = 3,
) -> Path:
    """Write a link.

    Args:
        path: where.
        memory: for each pid its pages with data, as page number and value.
        holes: for each pid the pages left to the parent.
        kind: a dump also gets a tree, in which each pid has one more thread, `pid + 1000`.
        parent: the link before.
        pieces: how many pages to write at a time.
    """
    missing = {pid: PageSet.from_pages(sorted(pages)) for pid, pages in (holes or {}).items()}
    with LinkWriter(path, kind, parent) as link:
        for pages_id, pid in enumerate(sorted({*memory, *missing}), start=1):
            values = memory.get(pid, {})
            present = PageSet.from_pages(sorted(values))
            pages = link.open_pages(pid, pages_id)
            for part in present.chunks(pieces):
                pages.write(b"".join(page_data(values[page]) for page in part.pages().tolist()), part)
            pages.finish(missing.get(pid, EMPTY), lazy=present.clip(0, 1 << 30))
            if kind is LinkKind.DUMP:
                every = present | missing.get(pid, EMPTY)
                link.write_messages(mm_name(pid), Magic.MM, [memory_map(every)])
                for tid in (pid, pid + 1000):
                    link.write_messages(core_name(tid), Magic.CORE, [x86_core(tid, leader=tid == pid)])
        if kind is LinkKind.DUMP:
            tasks = [
                PstreeEntry(pid=pid, ppid=0, pgid=pid, sid=pid, threads=[pid, pid + 1000])
                for pid in sorted({*memory, *missing})
            ]
            link.write_messages(PSTREE, Magic.PSTREE, tasks)
        stats = DumpStats(
            pages_written=link.pages_written, pages_skipped_parent=link.pages_in_parent, frozen_us=1234
        )
        link.commit(stats, dump_uptime_us=1_000_000)
    return path


def write_chain(directory: Path) -> Path:
    """Two pre-dumps and a dump of process 42, which has pages 1 to 8, in a new directory."""
    directory.mkdir()
    first, second, third = (directory / str(number) for number in (1, 2, 3))
    write_link(first, {42: dict.fromkeys(range(1, 9), 1)})
    write_link(second, {42: {2: 2, 7: 2}}, {42: [1, 3, 4, 5, 6, 8]}, parent=first)
    write_link(third, {42: {3: 3}}, {42: [1, 2, 4, 5, 6, 7, 8]}, parent=second, kind=LinkKind.DUMP)
    return directory
