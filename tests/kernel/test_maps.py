"""The map of a process, against what it did and what the kernel prints."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TargetGone
from engine.kernel.maps import Maps, MapsReader, Vma, VmaKind, parse_line, read_maps
from engine.kernel.smaps import read_smaps
from engine.pageset import PAGE_SIZE, PageSet
from tests.targets.scripted import ScriptedTarget


def test_every_line_is_one_vma_with_the_kernels_own_numbers(target: ScriptedTarget) -> None:
    with open(f"/proc/{target.pid}/maps") as file:
        lines = file.read().splitlines()
    vmas = read_maps(target.pid).vmas
    assert len(vmas) == len(lines)
    for vma, line in zip(vmas, lines, strict=True):
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....)", line)
        assert bounds is not None
        assert (vma.start, vma.end, vma.perms) == (int(bounds[1], 16), int(bounds[2], 16), bounds[3])


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        (b"55d4c000-55d4e000 rw-p 00000000 00:00 0   [heap]", VmaKind.HEAP, "[heap]"),
        (b"7ffc0000-7ffe0000 rw-p 00000000 00:00 0   [stack]", VmaKind.STACK, "[stack]"),
        (b"7f000000-7f001000 rw-p 00000000 00:00 0 ", VmaKind.ANON, "[anon]"),
        (b"7f000000-7f001000 ---p 00000000 00:00 0 ", VmaKind.GUARD, "[guard]"),
        (b"7f000000-7f001000 rw-p 00000000 00:00 0   [anon:a b]", VmaKind.NAMED_ANON, "[anon:a b]"),
        (b"7f000000-7f001000 r-xp 00002000 fe:00 338944 /lib/x y.so", VmaKind.FILE_PRIVATE, "/lib/x y.so"),
        (b"7f000000-7f001000 rw-s 00000000 fe:00 7    /data/t", VmaKind.FILE_SHARED, "/data/t"),
        (b"7f000000-7f001000 rw-s 00000000 00:01 9 /dev/zero (deleted)", VmaKind.SHMEM,
         "/dev/zero (deleted)"),
        (b"7f000000-7f001000 rw-s 00000000 00:01 0 /SYSV00000000 (deleted)", VmaKind.SHMEM,
         "/SYSV00000000 (deleted)"),
        (b"7f000000-7f001000 rw-s 00000000 00:01 9 /memfd:q (deleted)", VmaKind.MEMFD,
         "/memfd:q (deleted)"),
        (b"7f000000-7f001000 rw-p 00000000 00:0f 9   /anon_hugepage (deleted)", VmaKind.HUGETLB,
         "/anon_hugepage (deleted)"),
        (b"7f000000-7f001000 r--p 00000000 00:00 0   [vvar]", VmaKind.VVAR, "[vvar]"),
        (b"7f000000-7f001000 rw-s 00000000 00:01 9   /memfd:\x1b[31m\xff (deleted)", VmaKind.MEMFD,
         "/memfd:␛[31m\\xff (deleted)"),
    ],
)  # fmt: skip
def test_kinds_and_names(line: bytes, kind: VmaKind, name: str) -> None:
    vma = parse_line(line)
    assert (vma.kind, vma.name) == (kind, name)


def test_a_files_name_is_one_name_whatever_blanks_are_in_it(tmp_path: Path) -> None:
    name = b"x\r7fffff000000-7fffff100000 rw-p 00000000 00:00 0 \x0b\x0c\x1c\x85 [stack]"
    path = os.fsencode(tmp_path) + b"/" + name
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.truncate(descriptor, PAGE_SIZE)
    with mmap.mmap(descriptor, PAGE_SIZE, mmap.MAP_PRIVATE):
        (vma,) = (vma for vma in read_maps(os.getpid()).vmas if vma.raw_name.startswith(path[:-20]))
        assert vma.raw_name == path
        assert vma.end - vma.start == PAGE_SIZE
        assert vma.kind is VmaKind.FILE_PRIVATE
        assert len(read_smaps(os.getpid())) == len(read_maps(os.getpid()).vmas)
    os.close(descriptor)


def test_an_unchanged_map_is_the_same_object(target: ScriptedTarget) -> None:
    reader = MapsReader(target.pid)
    first = reader.read()
    assert reader.read() is first
    target.map(3)
    assert reader.read() is not first


def test_vmas_that_stay_are_the_same_objects_in_the_next_map(target: ScriptedTarget) -> None:
    reader = MapsReader(target.pid)
    before = {vma: id(vma) for vma in reader.read().vmas}
    base = target.map(100)
    after = reader.read()
    same = [vma for vma in after.vmas if before.get(vma) == id(vma)]
    assert len(same) >= len(before) - 2
    at = after.index_at(base // PAGE_SIZE)
    assert at is not None
    assert after.vmas[at].start <= base < after.vmas[at].end


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=8),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8),
)
def test_pages_are_counted_per_vma(gaps: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> None:
    vmas, at = [], 0
    for gap, length in gaps:
        at += gap
        bounds = at * PAGE_SIZE, (at + length) * PAGE_SIZE
        vmas.append(Vma(*bounds, "rw-p", 0, "00:00", 0, b"", "[anon]", VmaKind.ANON))
        at += length
    maps = Maps.of(tuple(vmas))
    pages = PageSet.from_ranges((first, first + length) for first, length in ranges)
    assert maps.count(pages).tolist() == pages.count_within(maps.starts, maps.ends).tolist()


def test_a_hostile_name_cannot_reach_the_terminal(target: ScriptedTarget) -> None:
    vma = parse_line(b"1000-2000 rw-s 00000000 00:01 9   /memfd:\x1b]0;x\x07[/b]\xe2\x80\xae (deleted)")
    assert vma.name.isprintable()
    assert vma.raw_name.startswith(b"/memfd:\x1b]0;x\x07")


def test_a_process_that_is_gone() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with pytest.raises(TargetGone, match=f"process {child} has exited"):
        read_maps(child)
