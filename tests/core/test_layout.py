"""The bytes of cores, without any process."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from engine.core.elf import MACHINES, Segment, head, note, place
from engine.core.process import CoreMapping
from engine.core.registers import for_debuggers, register_sets
from engine.core.selection import ALL, Filter, Rest, segments_of, wanted_bytes
from engine.errors import NotSupported
from engine.images.proto.core_aarch64_pb2 import (
    ThreadInfoAarch64,
    UserAarch64FpsimdContextEntry,
    UserAarch64RegsEntry,
)
from engine.images.proto.core_pb2 import CoreEntry
from engine.kernel.ptrace import NT_ARM_TLS, NT_FPREGSET, NT_PRSTATUS, NT_X86_XSTATE
from engine.pageset import EMPTY, PageSet
from tests.core.reading import PAGE, ElfCore

ANONYMOUS = CoreMapping(0x10000, 0x14000, 3, is_shared=False)
OF_FILE = CoreMapping(0x20000, 0x24000, 5, is_shared=False, name=b"/lib/x.so", inode=5)
SHARED = CoreMapping(0x30000, 0x34000, 3, is_shared=True, name=b"/dev/zero (deleted)", inode=6)
OF_SHARED_FILE = CoreMapping(0x40000, 0x44000, 3, is_shared=True, name=b"/var/db", inode=7)


def test_more_segments_than_the_header_can_count_are_found_all_the_same(tmp_path: Path) -> None:
    segments = [Segment(at * 2 * PAGE, at * 2 * PAGE + PAGE, 3, 0) for at in range(1, 70_000)]
    segments.append(Segment(1 << 40, (1 << 40) + PAGE, 3, PAGE))
    notes = note(b"CORE", 6, b"12345678")
    placed = place(segments, len(notes), len(segments))
    core = tmp_path / "core"
    core.write_bytes(head(MACHINES["x86_64"], notes, placed).ljust(placed[-1].offset, b"\0") + b"x" * PAGE)
    found = ElfCore(core)
    assert len(found.loads) == 70_000
    assert found.saved() == {1 << 40: b"x" * PAGE}
    assert found.of_kind(6) == [b"12345678"]


@pytest.mark.parametrize(
    ("mapping", "is_modified", "chosen", "pages"),
    [
        (ANONYMOUS, True, Filter.ANON_PRIVATE, 4),
        (ANONYMOUS, False, Filter.ANON_PRIVATE, 4),
        (ANONYMOUS, True, Filter.ANON_SHARED, 0),
        (OF_FILE, True, Filter.ANON_PRIVATE, 4),
        (OF_FILE, False, Filter.ANON_PRIVATE, 0),
        (OF_FILE, False, Filter.ELF_HEADERS, 1),
        (OF_FILE, False, Filter.FILE_PRIVATE, 4),
        (SHARED, False, Filter.ANON_SHARED, 4),
        (SHARED, False, Filter.FILE_SHARED, 0),
        (OF_SHARED_FILE, False, Filter.FILE_SHARED, 4),
        (OF_SHARED_FILE, False, Filter.ANON_SHARED, 0),
    ],
)
def test_mappings_are_chosen_as_the_kernel_does(
    mapping: CoreMapping, is_modified: bool, chosen: Filter, pages: int
) -> None:
    assert wanted_bytes(mapping, chosen, is_modified=is_modified) == pages * PAGE


def test_neither_devices_nor_secrets_are_chosen_whatever_is_asked_for() -> None:
    for secret in (
        CoreMapping(0x1000, 0x2000, 3, is_shared=False, is_left_out=True),
        CoreMapping(0x1000, 0x2000, 3, is_shared=True, name=b"/dev/fb0", inode=1, is_device=True),
    ):
        assert wanted_bytes(secret, ALL, is_modified=True) == 0


def test_what_is_not_to_be_had_is_no_part_of_the_core() -> None:
    held = PageSet.from_ranges([(0x21, 0x22)])
    assert list(segments_of(OF_FILE, 4 * PAGE, held, Rest.MISSING)) == [
        Segment(0x20000, 0x21000, 5, 0),
        Segment(0x21000, 0x22000, 5, PAGE),
        Segment(0x22000, 0x24000, 5, 0),
    ]
    assert list(segments_of(OF_FILE, 4 * PAGE, EMPTY, Rest.MISSING)) == [Segment(0x20000, 0x24000, 5, 0)]
    assert list(segments_of(OF_FILE, 4 * PAGE, held, Rest.FOUND)) == [Segment(0x20000, 0x24000, 5, 4 * PAGE)]


def test_a_mapping_longer_than_files_may_be_is_cut_where_nothing_is() -> None:
    first, end = 1 << 30, (1 << 30) + (20 << 40 >> 12)
    reserved = CoreMapping(first << 12, end << 12, 3, is_shared=False)
    held = PageSet.from_ranges([(first, first + 1), (first + 9, first + 10), (end - 1, end)])
    found = list(segments_of(reserved, reserved.length, held, Rest.ZEROS))
    assert [segment.file_bytes // PAGE for segment in found] == [10, 0, 1]
    (whole,) = segments_of(reserved, reserved.length, held, Rest.FOUND)
    assert whole.file_bytes == reserved.length
    assert found[0].start == reserved.start
    assert found[-1].end == reserved.end


def an_area(length: int, enabled: int, **parts: tuple[int, bytes]) -> bytes:
    area = bytearray(length)
    struct.pack_into("<Q", area, 464, enabled)
    struct.pack_into("<Q", area, 512, enabled)
    for at, data in parts.values():
        area[at : at + len(data)] = data
    return bytes(area)


@pytest.mark.parametrize(("length", "enabled", "becomes"), [(2432, 0xE7, 2688), (2440, 0x2E7, 2696)])
def test_the_extended_state_of_amd_is_laid_out_as_debuggers_look_for_it(
    length: int, enabled: int, becomes: int
) -> None:
    area = an_area(
        length, enabled, ymm=(576, b"y" * 256), k=(832, b"k" * 64), h=(896, b"h" * 512), z=(1408, b"z" * 1024)
    )
    ((_, data),) = for_debuggers(((NT_X86_XSTATE, area),))
    assert len(data) == becomes
    assert data[:832] == area[:832]
    assert data[1088:2688] == b"k" * 64 + b"h" * 512 + b"z" * 1024


def test_an_extended_state_of_intel_or_unknown_stays_as_it_is() -> None:
    for length, enabled in ((832, 7), (2696, 0x2E7), (11008, 0x602E7), (2432, 7), (999, 0xE7)):
        sets = ((NT_PRSTATUS, b"r"), (NT_X86_XSTATE, an_area(length, enabled)))
        assert for_debuggers(sets) == sets


def test_registers_of_aarch64_are_as_the_kernel_has_them() -> None:
    image = CoreEntry(
        mtype=CoreEntry.AARCH64,
        ti_aarch64=ThreadInfoAarch64(
            clear_tid_addr=0,
            tls=0x77,
            gpregs=UserAarch64RegsEntry(regs=range(31), sp=100, pc=101, pstate=102),
            fpsimd=UserAarch64FpsimdContextEntry(vregs=range(64), fpsr=8, fpcr=9),
        ),
    )
    sets = dict(register_sets(image))
    assert sets[NT_PRSTATUS] == struct.pack("<34Q", *range(31), 100, 101, 102)
    assert sets[NT_FPREGSET] == struct.pack("<64QIIxxxxxxxx", *range(64), 8, 9)
    assert sets[NT_ARM_TLS] == struct.pack("<Q", 0x77)


def test_an_architecture_that_is_not_known_is_named() -> None:
    with pytest.raises(NotSupported, match="S390"):
        register_sets(CoreEntry(mtype=CoreEntry.S390))
