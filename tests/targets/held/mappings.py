"""Mappings."""

from __future__ import annotations

import ctypes
import mmap

from tests.targets.held.things import PAGE, call, check, hold, kind, libc, memory, new_file, touched


def _guard(address: int) -> None:
    check(libc.madvise(address + PAGE, PAGE, 102))
    hold(address)


@kind
def guard_region() -> None:
    _guard(touched(memory(10), 10))


@kind
def guard_region_in_much_memory() -> None:
    _guard(touched(memory(2000), 20))


@kind
def guard_region_in_memory_never_written() -> None:
    _guard(memory(10))


@kind
def guard_region_in_unreadable_memory() -> None:
    address = touched(memory(10), 10)
    _guard(address)
    check(libc.mprotect(address, 10 * PAGE, 0))


@kind
def guard_region_in_a_private_file_mapping() -> None:
    _guard(memory(10, mmap.MAP_PRIVATE, new_file("mapped", b"x" * 10 * PAGE)))


@kind
def guard_region_in_a_shared_file_mapping() -> None:
    _guard(memory(10, mmap.MAP_SHARED, new_file("mapped", b"x" * 10 * PAGE)))


@kind
def guard_region_in_shared_memory() -> None:
    _guard(touched(memory(10, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), 10))


@kind
def droppable_memory() -> None:
    hold(touched(memory(10, 8 | mmap.MAP_ANONYMOUS), 10))


@kind
def aio_ring() -> None:
    call("io_setup", 16, ctypes.byref(ctypes.c_ulong(0)))


@kind
def system_v_memory() -> None:
    identifier = libc.shmget(0, 4 * PAGE, 0o1600)
    hold(touched(int(libc.shmat(identifier, None, 0)), 4))
    libc.shmctl(identifier, 0, None)


@kind
def shared_memory() -> None:
    hold(touched(memory(10, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), 10))


@kind
def huge_pages() -> None:
    hold(touched(memory(512, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000), 1))
