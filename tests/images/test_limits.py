"""Whatever a file claims, reading it ends, takes bounded memory, and raises nothing but errors of ours."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import engine
from engine.errors import BadImage
from engine.images import limits
from engine.images.chain import read_chain, verify
from engine.images.framing import Magic, header, pack, read_message, read_messages
from engine.images.layout import LinkKind
from engine.images.link import read_link
from engine.images.mappings import read_mappings
from engine.images.pagemap import read_pagemap
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.inventory_pb2 import InventoryEntry, InventoryPluginsEntry
from engine.images.proto.mm_pb2 import MmEntry, VmaEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.proto.stats_pb2 import StatsEntry
from engine.pageset import PAGE_SHIFT
from tests.images.building import write_link

MOST_MIB = 256
_ROOT = Path(engine.__path__[0]).parent

# Reads one file with one reader, and says how much memory that took at most, in MiB.
_READING = """\
import sys
from pathlib import Path
from engine.checkpoint.sidecar import link_digest, read_sidecar
from engine.errors import DirtytopError
from engine.images.chain import *
from engine.images.framing import *
from engine.images.link import Link
from engine.images.pagemap import PagemapFile
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.tree import mapped_pages
from engine.images.verify import examine
from engine.images.never_lazy import never_lazy_pages
directory = Path(sys.argv[1])
def taken_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
before = taken_mib()
try:
    {reading}
    print("read")
except DirtytopError as error:
    print(type(error).__name__)
print(taken_mib() - before)
"""


def read_apart(directory: Path, reading: str) -> tuple[str, int]:
    """What came of it, and how many MiB it took."""
    done = subprocess.run(
        [sys.executable, "-c", _READING.format(reading=reading), directory],
        cwd=_ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:] or f"signal {-done.returncode}"
    said, mib = done.stdout.split()
    return said, int(mib)


def framed(magic: Magic, payload: bytes) -> bytes:
    return header(magic) + struct.pack("<I", len(payload)) + payload


def full_inventory(directory: Path) -> str:
    plugins = InventoryPluginsEntry(plugins=[""] * (limits.INVENTORY.most_bytes // 2 - 40))
    entry = InventoryEntry(img_version=1, plugins_entry=plugins)
    (directory / "inventory.img").write_bytes(pack(Magic.INVENTORY, [entry]))
    return "read_message(directory / 'inventory.img', Magic.INVENTORY, InventoryEntry)"


def many_processes(directory: Path) -> str:
    task = PstreeEntry(pid=1, ppid=0, pgid=1, sid=1).SerializeToString()
    one = struct.pack("<I", len(task)) + task
    (directory / "pstree.img").write_bytes(header(Magic.PSTREE) + one * limits.PSTREE.most_messages)
    return "read_messages(directory / 'pstree.img', Magic.PSTREE, PstreeEntry)"


def many_threads(directory: Path) -> str:
    task = PstreeEntry(pid=1, ppid=0, pgid=1, sid=1).SerializeToString()
    payload = task + b"\x28\x01" * (limits.PSTREE.most_bytes // 2 - 40)
    (directory / "pstree.img").write_bytes(framed(Magic.PSTREE, payload))
    return "read_messages(directory / 'pstree.img', Magic.PSTREE, PstreeEntry)"


def a_mapping() -> bytes:
    zeros = dict.fromkeys(("start", "end", "pgoff", "shmid", "prot", "flags", "status", "fd"), 0)
    vma = VmaEntry(**zeros).SerializeToString()
    return b"\x72" + bytes([len(vma)]) + vma


def an_address_space() -> bytes:
    entry = MmEntry()
    for field in MmEntry.DESCRIPTOR.fields:
        if field.is_required:
            setattr(entry, field.name, 0)
    return entry.SerializeToString()


def many_mappings(directory: Path) -> str:
    # An eighth of the limit, which is 700,000 of them: they come in pieces, and all would take long.
    one = a_mapping()
    payload = an_address_space() + one * ((limits.MM.most_bytes >> 3) // len(one))
    (directory / "mm-1.img").write_bytes(framed(Magic.MM, payload))
    return "mapped_pages(type('Link', (), {'path': directory}), 1)"


def many_signals(directory: Path) -> str:
    payload = CoreEntry(mtype=CoreEntry.X86_64).SerializeToString()
    payload += b"\xf8\x07\x01" * ((limits.CORE.most_bytes - 64) // 3)
    (directory / "core-1.img").write_bytes(framed(Magic.CORE, payload))
    return "read_message(directory / 'core-1.img', Magic.CORE, CoreEntry)"


def a_long_sidecar(directory: Path) -> str:
    values = b'{"a":[]},' * (limits.SIDECAR_VALUES // 3 - 40)
    (directory / "dirtytop.json").write_bytes(b'{"schema":2,"x":[' + values + b"0]}")
    return "read_sidecar(directory)"


def a_wide_sidecar(directory: Path) -> str:
    text = b'{"schema":2,"x":"' + b"a" * (limits.SIDECAR_BYTES - 100) + b'"}'
    (directory / "dirtytop.json").write_bytes(text)
    return "read_sidecar(directory)"


def a_million_runs(directory: Path) -> str:
    """Of every other page, in a link and in the one before."""
    for number, flags in ((1, 4), (2, 1)):
        link = directory / str(number)
        link.mkdir()
        entries = (
            PagemapEntry(vaddr=page << PAGE_SHIFT, compat_nr_pages=1, flags=flags).SerializeToString()
            for page in range(0, 1_000_000, 2)
        )
        head = pack(Magic.PAGEMAP, [PagemapHead(pages_id=1)])
        framed_entries = b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
        (link / "pagemap-1.img").write_bytes(head + framed_entries)
        with open(link / "pages-1.img", "wb") as pages:
            pages.truncate(500_000 << PAGE_SHIFT if number == 1 else 0)
        (link / "inventory.img").write_bytes(pack(Magic.INVENTORY, [InventoryEntry(img_version=0)]))
        (link / "stats-dump").write_bytes(pack(Magic.STATS, [StatsEntry()]))
    (directory / "2" / "parent").symlink_to("../1")
    return "assert len(examine(read_chain(directory)).problems) == 2"


FULL: list[Callable[[Path], str]] = [
    full_inventory, many_processes, many_threads, many_mappings, many_signals, a_long_sidecar,
    a_wide_sidecar, a_million_runs,
]  # fmt: skip


@pytest.mark.parametrize("fill", FULL, ids=lambda fill: fill.__name__)
def test_as_much_as_a_file_may_hold_is_read_in_bounded_memory(
    tmp_path: Path, fill: Callable[[Path], str]
) -> None:
    said, mib = read_apart(tmp_path, fill(tmp_path))
    assert said in ("read", "BadImage")
    assert mib < MOST_MIB


def grown(path: Path, content: bytes, size_bytes: int) -> Path:
    """A file of this content, and of zeros from there on, which take no room."""
    path.write_bytes(content)
    os.truncate(path, size_bytes)
    return path


@pytest.mark.parametrize("size_bytes", [1 << 16, 50 << 20, 1 << 40], ids=["64 KiB", "50 MiB", "1 TiB"])
def test_zeros_are_no_statistics_however_many(tmp_path: Path, size_bytes: int) -> None:
    path = grown(tmp_path / "stats-dump", header(Magic.STATS), size_bytes)
    with pytest.raises(BadImage, match=r"more than 16 messages|never has more than"):
        read_message(path, Magic.STATS, StatsEntry)


@pytest.mark.parametrize("size_bytes", [1 << 16, 1 << 30, 1 << 40], ids=["64 KiB", "1 GiB", "1 TiB"])
@pytest.mark.parametrize("name", ["pagemap-1.img", "pagemap-shmem-1.img"])
def test_zeros_are_no_pagemap_however_many(tmp_path: Path, name: str, size_bytes: int) -> None:
    path = grown(tmp_path / name, pack(Magic.PAGEMAP, [PagemapHead(pages_id=1)]), size_bytes)
    with pytest.raises(BadImage, match=r"not a PagemapEntry|never has more than"):
        read_pagemap(path)


@pytest.mark.parametrize(
    ("magic", "kind"),
    [(Magic.INVENTORY, InventoryEntry), (Magic.PSTREE, PstreeEntry), (Magic.CORE, CoreEntry)],
)
def test_what_is_larger_than_any_of_its_kind_is_not_read(
    tmp_path: Path, magic: Magic, kind: type[PstreeEntry]
) -> None:
    path = grown(tmp_path / "x.img", header(magic), 1 << 40)
    with pytest.raises(BadImage, match=r"x\.img has 1099511627776 bytes"):
        read_messages(path, magic, kind)


@pytest.mark.parametrize("field", ["pages_written", "pages_skipped_parent", "shpages_written"])
def test_more_pages_than_any_memory_has_are_not_counted_with(tmp_path: Path, field: str) -> None:
    link = write_link(tmp_path / "1", {42: {1: 1}})
    stats = read_message(link / "stats-dump", Magic.STATS, StatsEntry)
    setattr(stats.dump, field, 2**64 - 1)
    (link / "stats-dump").write_bytes(pack(Magic.STATS, [stats]))
    with pytest.raises(BadImage, match="tells of 18446744073709551615 pages"):
        read_link(link)


def test_an_entry_more_than_a_pagemap_may_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGEMAP_ENTRIES", 3)
    entries = [PagemapEntry(vaddr=2 * page << PAGE_SHIFT, compat_nr_pages=1) for page in range(4)]
    path = tmp_path / "pagemap-1.img"
    path.write_bytes(pack(Magic.PAGEMAP, [PagemapHead(pages_id=1), *entries[:3]]))
    assert read_pagemap(path).covered.count == 3
    path.write_bytes(pack(Magic.PAGEMAP, [PagemapHead(pages_id=1), *entries]))
    with pytest.raises(BadImage, match="more than 3 entries"):
        read_pagemap(path)


def test_a_directory_of_more_files_than_a_link_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = write_link(tmp_path / "1", {42: {1: 1}})
    monkeypatch.setattr(limits, "LINK_FILES", 4)
    assert read_link(link).pids == (42,)
    (link / "one-more").touch()
    with pytest.raises(BadImage, match="holds more than 4 files"):
        read_link(link)


def test_a_chain_longer_than_any_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 5):
        parent = tmp_path / str(number - 1) if number > 1 else None
        write_link(tmp_path / str(number), {42: {1: 1}}, parent=parent)
    monkeypatch.setattr(limits, "CHAIN_LINKS", 3)
    assert len(read_chain(tmp_path / "3").links) == 3
    with pytest.raises(BadImage, match="more than 3 links"):
        read_chain(tmp_path)


def test_only_so_many_problems_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = write_link(tmp_path / "1", {pid: {1: 1} for pid in range(1, 20)})
    for pages in link.glob("pages-*.img"):
        pages.unlink()
    assert len(verify(read_chain(tmp_path))) == 19
    monkeypatch.setattr(limits, "PROBLEMS", 5)
    problems = verify(read_chain(tmp_path))
    assert len(problems) == 6
    assert problems[-1].text == "more is wrong than is told here"


def test_threads_without_number_are_not_looked_for_one_by_one(tmp_path: Path) -> None:
    link = write_link(tmp_path / "1", {42: {1: 1}}, kind=LinkKind.DUMP)
    task = PstreeEntry(pid=42, ppid=0, pgid=1, sid=1, threads=range(limits.LINK_FILES + 1))
    (link / "pstree.img").write_bytes(pack(Magic.PSTREE, [task]))
    (problem,) = verify(read_chain(tmp_path))
    assert problem.text == "pstree.img names more threads than a link has files"


# -- mappings, which are taken apart by hand


def mm_image(directory: Path, payload: bytes) -> Path:
    (directory / "mm-7.img").write_bytes(framed(Magic.MM, payload))
    return directory


def test_mappings_come_in_pieces_and_all_of_them(tmp_path: Path) -> None:
    count = 100_000
    mm_image(tmp_path, a_mapping() * (count // 2) + an_address_space() + a_mapping() * (count // 2))
    pieces = [len(vmas) for vmas in read_mappings(tmp_path, 7)]
    assert sum(pieces) == count
    assert len(pieces) > 1


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (a_mapping(), "not a MmEntry .a required field is missing"),
        (an_address_space() + b"\x72\x02\x08\x01", "not a VmaEntry .a required field is missing"),
        (an_address_space() + b"\x72\x7f\x08", "a field that is longer than its message"),
        (an_address_space() + b"\x72", "a number without end"),
        (an_address_space() + b"\x72" + b"\xff" * 11, "a number without end"),
        (an_address_space() + b"\x73", "a field of a type that there is not"),
        (an_address_space() + b"\x09\x00", "a field that is longer than its message"),
        (an_address_space() + b"\x72\x02\x0f\x00", "not a MmEntry"),
        (an_address_space() + b"\x68\x01" * (limits.MM_OTHER_FIELDS + 1), "fields besides the mappings"),
    ],
)
def test_a_damaged_address_space_is_refused(tmp_path: Path, payload: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        list(read_mappings(mm_image(tmp_path, payload), 7))


def test_two_address_spaces_are_not_one(tmp_path: Path) -> None:
    one = an_address_space()
    (tmp_path / "mm-7.img").write_bytes(framed(Magic.MM, one) + struct.pack("<I", len(one)) + one)
    with pytest.raises(BadImage, match="2 messages instead of one"):
        list(read_mappings(tmp_path, 7))
