"""Mapped files of a process that runs: read without anybody being told, and as they were."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.core.process import CoreMapping, CoreProcess
from engine.core.running import Running
from engine.kernel.maps import Vma, VmaKind, read_maps
from engine.pageset import PAGE_SHIFT, PageSet
from tests.core.programs import Stopped
from tests.core.reading import PAGE


def mapping_of(vma: Vma) -> CoreMapping:
    return CoreMapping(
        vma.start,
        vma.end,
        3,
        is_shared=not vma.is_private,
        offset=vma.offset,
        name=vma.raw_name,
        inode=vma.inode,
    )


def pages_of(vma: Vma) -> PageSet:
    return PageSet.from_ranges([(vma.start >> PAGE_SHIFT, vma.end >> PAGE_SHIFT)])


def read(pid: int, vma: Vma) -> dict[int, bytes] | None:
    """Every page that is found, by its number in the mapping; None if the mapping is not to be had."""
    found: dict[int, bytes] = {}
    with ExitStack() as held:
        filler = Running({1: pid}, held).filler_of(CoreProcess(pid=1), mapping_of(vma), pages_of(vma))
        if filler is None:
            return None
        for pages, data in filler.fill(pages_of(vma)):
            for at, number in enumerate(pages.pages().tolist()):
                found[number - (vma.start >> PAGE_SHIFT)] = bytes(data[at * PAGE : (at + 1) * PAGE])
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mapped"
    path.write_bytes(b"".join(bytes([65 + at]) * PAGE for at in range(3)) + b"tail")
    return path


def mapping_script(path: Path) -> str:
    return (
        "import ctypes, os, signal\n"
        "libc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p\n"
        f"fd = os.open({str(path)!r}, os.O_RDWR)\n"
        "at = libc.mmap(None, ctypes.c_size_t(6 * 4096), 3, 2, fd, ctypes.c_long(0))\n"
        "ctypes.memset(at + 4096, 122, 4096)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )


def test_what_the_process_changed_comes_from_the_file_and_what_is_behind_its_end_is_nothing(
    file: Path,
) -> None:
    with Stopped("/usr/bin/env", "python3", "-I", "-S", "-c", mapping_script(file)) as target:
        (vma,) = [vma for vma in read_maps(target.pid).vmas if vma.raw_name == os.fsencode(file)]
        assert vma.kind is VmaKind.FILE_PRIVATE
        found = read(target.pid, vma)
    assert found is not None
    assert sorted(found) == [0, 1, 2, 3]
    assert [found[at] for at in range(3)] == [b"A" * PAGE, b"B" * PAGE, b"C" * PAGE]
    assert found[3] == b"tail".ljust(PAGE, b"\0")


def test_a_mapping_that_is_no_more_is_not_taken_for_zeros(file: Path) -> None:
    with Stopped("/usr/bin/env", "python3", "-I", "-S", "-c", mapping_script(file)) as target:
        (vma,) = [vma for vma in read_maps(target.pid).vmas if vma.raw_name == os.fsencode(file)]
        elsewhere = vma._replace(start=vma.start - (1 << 40), end=vma.end - (1 << 40))
        assert read(target.pid, elsewhere) is None
