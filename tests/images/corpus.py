"""Chains to be damaged: of ours, of old and new CRIUs, with shared memory, sidecars and open files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from engine.checkpoint.sidecar import link_digest
from engine.images.framing import Magic, pack
from engine.images.layout import LinkKind
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.images.stats import DumpStats
from tests.images.building import page_data, write_link
from tests.images.reference import PAGE

FAR = 0x7F00_0000_0


def build(directory: Path) -> list[Path]:
    """Make them; where each is."""
    chains = [directory / name for name in ("ours", "of criu 4.2", "of an old criu", "alone")]
    for chain in chains:
        chain.mkdir()
    _ours(chains[0])
    _of_new_criu(chains[1])
    _of_old_criu(chains[2])
    write_link(chains[3] / "1", {42: {1: 1, 2: 2}})
    return chains


def _ours(chain: Path) -> None:
    write_link(chain / "1", {42: dict.fromkeys([*range(1, 9), FAR], 1), 43: {5: 5}})
    write_link(
        chain / "2", {42: {2: 2, FAR: 3}, 43: {}}, {42: [1, 3, 4, 5, 6, 7, 8], 43: [5]}, parent=chain / "1"
    )
    write_link(
        chain / "3",
        {42: {3: 3}, 43: {6: 6}},
        {42: [1, 2, 4, 5, 6, 7, 8, FAR], 43: [5]},
        parent=chain / "2",
        kind=LinkKind.DUMP,
    )
    for number in (1, 2):
        _add_sidecar(chain / str(number))


def _add_sidecar(link: Path) -> None:
    process = {
        "pid": 42, "inner_pid": 42, "start_ticks": 7, "memory_identity": ["4096", "8192"],
        "canary": {"planted": [1, 5], "left": [2]},
    }  # fmt: skip
    fields = {
        "schema": 2, "boot_id": "a boot", "tracker": "soft-dirty", "owner": "memory",
        "processes": [process, {**process, "pid": 43, "inner_pid": 43, "canary": None}],
        "digest": link_digest(link), "criu": "",
    }  # fmt: skip
    (link / "dirtytop.json").write_text(json.dumps(fields, indent=1))


def _of_new_criu(chain: Path) -> None:
    """A pre-dump and a dump that can be restored, with shared memory, as CRIU 4.2 writes lengths."""
    write_link(chain / "1", {42: {1: 1, 2: 2, 3: 3}})
    write_link(chain / "2", {42: {2: 9}}, {42: [1, 3]}, parent=chain / "1", kind=LinkKind.DUMP)
    shared = [PagemapHead(pages_id=7), PagemapEntry(vaddr=0, compat_nr_pages=0, flags=4, nr_pages=2)]
    last = chain / "2"
    (last / "pagemap-shmem-4711.img").write_bytes(pack(Magic.PAGEMAP, shared))
    (last / "pages-7.img").write_bytes(page_data(70) + page_data(71))
    private = [
        PagemapHead(pages_id=1),
        PagemapEntry(vaddr=PAGE, compat_nr_pages=0, flags=1, nr_pages=1),
        PagemapEntry(vaddr=2 * PAGE, compat_nr_pages=0, flags=6, nr_pages=1),
        PagemapEntry(vaddr=3 * PAGE, compat_nr_pages=0, flags=1, nr_pages=1),
    ]
    (last / "pagemap-42.img").write_bytes(pack(Magic.PAGEMAP, private))
    stats = DumpStats(pages_written=1, pages_skipped_parent=2, shpages_written=2, frozen_us=4711)
    (last / "stats-dump").write_bytes(pack(Magic.STATS, [stats.to_message()]))
    inventory = InventoryEntry(img_version=2, fdinfo_per_id=True, root_cg_set=1)
    (last / "inventory.img").write_bytes(pack(Magic.INVENTORY, [inventory]))
    (last / "files.img").write_bytes(b"files")


def _of_old_criu(chain: Path) -> None:
    """Two pre-dumps, with one field for the length and one for holes."""
    write_link(chain / "1", {42: {1: 1, 2: 2, 3: 3}})
    write_link(chain / "2", {42: {2: 9}}, {42: [1, 3]}, parent=chain / "1")
    first = [PagemapHead(pages_id=1), PagemapEntry(vaddr=PAGE, compat_nr_pages=3)]
    (chain / "1" / "pagemap-42.img").write_bytes(pack(Magic.PAGEMAP, first))
    second = [
        PagemapHead(pages_id=1),
        PagemapEntry(vaddr=PAGE, compat_nr_pages=1, in_parent=True),
        PagemapEntry(vaddr=2 * PAGE, compat_nr_pages=1),
        PagemapEntry(vaddr=3 * PAGE, compat_nr_pages=1, in_parent=True),
    ]
    (chain / "2" / "pagemap-42.img").write_bytes(pack(Magic.PAGEMAP, second))


def snapshot(directory: Path) -> dict[Path, bytes | str]:
    """What is in every file, and where every symbolic link leads."""
    found: dict[Path, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            found[path] = os.readlink(path)
        elif path.is_file():
            found[path] = path.read_bytes()
    return found
