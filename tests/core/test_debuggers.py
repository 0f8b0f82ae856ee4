"""Debuggers say of our cores what they say of gcore's, made of the same stopped process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.kernel.maps import VmaKind, read_maps
from engine.pageset import PAGE_SHIFT
from tests.core.conftest import CoreOf
from tests.core.programs import Stopped, built, built_by_go, eu_stack, gcore, gdb
from tests.core.reading import PAGE, ElfCore

BACKTRACES = "thread apply all -ascending backtrace"
VARIABLES = (
    "print changed", "print untouched[0]", "print text", "print *list->next->next", "print unwritten[0]",
    "print heap[100 * 4096]@8", "print mapped[499 * 4096 + 5]", "thread apply all -ascending print own",
    "thread 2", "frame function deeper", "print local", "print depth",
)  # fmt: skip

GENERAL = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16)),
    "rip", "cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base",
)  # fmt: skip


def test_backtraces_and_variables_are_those_of_gcore(
    debugged: Stopped, core_of: CoreOf, tmp_path: Path
) -> None:
    ours, theirs = core_of(debugged), gcore(debugged, tmp_path)
    said = gdb(ours, debugged.program, BACKTRACES, *VARIABLES)
    assert said == gdb(theirs, debugged.program, BACKTRACES, *VARIABLES)
    assert said.count("in deeper (depth=0, thread=") == 3 + 1
    assert "number = 2" in said


def test_mappings_of_files_are_those_of_gcore(debugged: Stopped, core_of: CoreOf, tmp_path: Path) -> None:
    ours, theirs = core_of(debugged), gcore(debugged, tmp_path)
    said = gdb(ours, debugged.program, "info proc mappings", "info sharedlibrary")
    assert "libc.so" in said
    expected = gdb(theirs, debugged.program, "info proc mappings", "info sharedlibrary")
    assert _without_nameless(said) == _without_nameless(expected)


def _without_nameless(said: str) -> list[str]:
    """CRIU does not keep what the kernel calls memory without a file."""
    return [line for line in said.splitlines() if "(deleted)" not in line]


def test_our_own_links_know_what_shared_memory_was_called(
    debugged: Stopped, memory_core: CoreOf, tmp_path: Path
) -> None:
    ours, theirs = memory_core(debugged), gcore(debugged, tmp_path)
    said = gdb(ours, debugged.program, "info proc mappings")
    assert "(deleted)" in said
    assert said == gdb(theirs, debugged.program, "info proc mappings")


def test_every_page_is_as_gcore_has_it_and_none_that_was_written_is_missing(
    debugged: Stopped, core_of: CoreOf, tmp_path: Path
) -> None:
    theirs = gcore(debugged, tmp_path)
    compare(debugged, ElfCore(core_of(debugged)).saved(), ElfCore(theirs).saved())


def compare(target: Stopped, ours: dict[int, bytes], theirs: dict[int, bytes]) -> None:
    """For a core of gcore's made before ours: gdb puts breakpoints into a target, and leaves copies."""
    both = ours.keys() & theirs.keys()
    assert [hex(page) for page in sorted(both) if ours[page] != theirs[page]] == []
    # gcore has mappings with a build ID whole; we, as the kernel, have their first page. Both leave to the
    # file what is only in the file. And nobody can read [vsyscall], which is the same everywhere.
    maps = read_maps(target.pid)
    only_theirs = [page for page in theirs.keys() - both if theirs[page].strip(b"\0")]
    missing = set()
    for page in only_theirs:
        at = maps.index_at(page >> PAGE_SHIFT)
        vma = maps.vmas[at] if at is not None else None
        if vma is None or vma.kind is VmaKind.VSYSCALL:
            continue
        if vma.kind is VmaKind.FILE_PRIVATE and vma.offset == 0 and vma.start in ours:
            continue
        if vma.kind is VmaKind.SHMEM:  # our own links hold no shared memory, and say so
            continue
        missing.add((hex(page), vma.name))
    assert missing == set()
    written = [vma for vma in maps.vmas if vma.kind in (VmaKind.HEAP, VmaKind.STACK)]
    assert written
    assert all(page in ours for vma in written for page in range(vma.start, vma.end, PAGE))


def test_shared_memory_of_a_dump_of_criu_is_in_the_core(debugged: Stopped, criu_core: CoreOf) -> None:
    assert "in shared memory" in gdb(criu_core(debugged), debugged.program, "x/s shared + 3 * 4096")


def test_what_a_program_keeps_from_cores_is_not_in_ours(debugged: Stopped, core_of: CoreOf) -> None:
    said = core_of(debugged).read_bytes()
    assert b"a constant" in said
    assert b"nobody is to see" not in said


def test_a_stripped_program_has_the_same_backtraces(core_of: CoreOf, tmp_path: Path) -> None:
    with Stopped(built("debugged.c", stripped=True)) as target:
        ours, theirs = core_of(target), gcore(target, tmp_path)
        said = gdb(ours, target.program, BACKTRACES, "info registers rip rsp")
        assert "pause" in said
        assert said == gdb(theirs, target.program, BACKTRACES, "info registers rip rsp")


def test_an_exception_in_flight_is_seen(core_of: CoreOf, tmp_path: Path) -> None:
    with Stopped(built("throwing.cpp")) as target:
        theirs = gcore(target, tmp_path)
        ours = core_of(target)
        asked = (BACKTRACES, "frame function Holder::~Holder", "print this->name", "up 3", "info locals")
        said = gdb(ours, target.program, *asked)
        assert "held at 0" in said
        assert said.count("in fail (depth=") >= 3
        assert said == gdb(theirs, target.program, *asked)
        compare(target, ElfCore(ours).saved(), ElfCore(theirs).saved())


@pytest.fixture
def snake() -> Iterator[Stopped]:
    script = "import os, signal, json; x = {'key': list(range(1000))}; os.kill(os.getpid(), signal.SIGSTOP)"
    with Stopped(sys.executable, "-I", "-S", "-c", script) as target:
        yield target


def test_a_python_is_as_gcore_has_it(snake: Stopped, core_of: CoreOf, tmp_path: Path) -> None:
    theirs = gcore(snake, tmp_path)
    ours = core_of(snake)
    assert gdb(ours, snake.program, BACKTRACES) == gdb(theirs, snake.program, BACKTRACES)
    compare(snake, ElfCore(ours).saved(), ElfCore(theirs).saved())


def test_a_program_in_go_is_as_gcore_has_it(memory_core: CoreOf, tmp_path: Path) -> None:
    with Stopped(built_by_go("gophers.go")) as target:
        theirs = gcore(target, tmp_path)
        ours = memory_core(target)
        asked = (BACKTRACES, "print 'main.table'", "info threads")
        said = gdb(ours, target.program, *asked)
        assert "runtime." in said  # its threads go on until the stop has come to each, so where is not known
        assert said == gdb(theirs, target.program, *asked)
        compare(target, ElfCore(ours).saved(), ElfCore(theirs).saved())


def test_elfutils_find_all_threads(debugged: Stopped, core_of: CoreOf, tmp_path: Path) -> None:
    said = eu_stack(core_of(debugged), debugged.program)
    assert said.count("TID ") == 4
    assert said.count("deeper") == 2 + 3 + 4 + 3
    assert said.count("start_thread") == 3


def test_all_registers_are_those_of_gcore(debugged: Stopped, core_of: CoreOf, tmp_path: Path) -> None:
    # Not those of AVX-512: gdb before 14 looks for them in the wrong place where the processor is AMD's.
    kinds = [f"{kind}{at}" for kind in ("xmm", "ymm") for at in (0, 7, 15)]
    names = [*GENERAL, "eflags", "mxcsr", "float", *kinds]
    asked = [f"thread apply all -ascending info registers {name}" for name in names]
    ours, theirs = core_of(debugged), gcore(debugged, tmp_path)
    said = gdb(ours, debugged.program, *asked)
    assert said.count("rip") == 4
    assert said == gdb(theirs, debugged.program, *asked)


def test_the_widest_registers_are_whole(core_of: CoreOf) -> None:
    if "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the processor has no AVX-512")
    with Stopped(built("debugged.c"), "go round") as target:
        target.go_on()
        target.wait_for_user_mode()
        said = gdb(
            core_of(target), target.program, "print/x $zmm16.v8_int64", "print/x $zmm3.v8_int64", "p/x $k3"
        )
    wide = "{" + ", ".join(["0x1122334455667788"] * 8) + "}"
    also = "{0x1122334455667788 <repeats 8 times>}"
    assert said.count(wide) + said.count(also) == 2
    assert "= 0x7788" in said
