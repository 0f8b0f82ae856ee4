"""Chains: found, read and flattened, against a dictionary of what each page held."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadImage, Cancelled, LinkFailed
from engine.images.chain import ChainMemory, flatten, read_chain, verify
from engine.images.framing import Magic, pack
from engine.images.layout import SIDECAR, LinkKind
from engine.images.pagemap import PagemapImage
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.stats import DumpStats
from engine.pageset import PAGE_SIZE, PageSet
from tests.images.building import page_data, write_chain, write_link

# Two regions far apart, so that page numbers are of different lengths on disk.
PAGE = st.one_of(st.integers(0, 30), st.integers(0x7F0000000, 0x7F0000000 + 30))
PAGE_SETS = st.sets(PAGE, max_size=25)
STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "written": st.dictionaries(st.sampled_from([42, 43]), PAGE_SETS, min_size=1),
            "gone": st.dictionaries(st.sampled_from([42, 43]), PAGE_SETS),
            "written_needlessly": PAGE_SETS,
            "exited": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


class Model:
    """The memory of two processes over time, and the links that an exact writer makes of it."""

    def __init__(self, directory: Path) -> None:
        self.memory: dict[int, dict[int, int]] = {42: {}}
        self._directory = directory
        self._listed: dict[int, set[int]] = {}
        self._last: Path | None = None
        self._version = 0

    def step(self, number: int, kind: LinkKind, change: dict[str, object]) -> None:
        written, gone = change["written"], change["gone"]
        assert isinstance(written, dict)
        assert isinstance(gone, dict)
        if change["exited"]:
            self.memory.pop(43, None)
        pending: dict[int, set[int]] = {}
        for pid, pages in written.items():
            for page in pages:
                self._version += 1
                self.memory.setdefault(pid, {})[page] = pid << 56 | self._version << 36 | page
            pending[pid] = set(pages)
        for pid, pages in gone.items():
            for page in pages:
                self.memory.get(pid, {}).pop(page, None)
        present, holes = {}, {}
        for pid, values in self.memory.items():
            clean = (values.keys() - pending.get(pid, set())) & self._listed.get(pid, set())
            holes[pid] = clean - change["written_needlessly"]  # type: ignore[operator]
            present[pid] = {page: value for page, value in values.items() if page not in holes[pid]}
        self._last = write_link(
            self._directory / str(number), present, holes, kind=kind, parent=self._last, pieces=1 + number % 5
        )
        self._listed = {pid: set(values) for pid, values in self.memory.items()}


def as_dict(memory: ChainMemory, pages: PageSet | None = None) -> dict[int, bytes]:
    found = {}
    for part, data in memory.read(pages):
        assert len(data) == part.size_bytes
        for at, page in enumerate(part.pages().tolist()):
            found[page] = bytes(data[at * PAGE_SIZE : (at + 1) * PAGE_SIZE])
    return found


@settings(deadline=None)
@given(steps=STEPS, kind=st.sampled_from(LinkKind), some=PAGE_SETS)
def test_a_chain_ends_in_the_memory_that_it_was_made_of(
    steps: list[dict[str, object]],
    kind: LinkKind,
    some: set[int],
) -> None:
    # In memory if there is such a place: hundreds of links, each made durable, are slow on a disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        directory = Path(name)
        model = Model(directory)
        for number, change in enumerate(steps, start=1):
            model.step(number, kind if number == len(steps) else LinkKind.PRE_DUMP, change)
        chain = read_chain(directory)
        assert len(chain.links) == len(steps)
        assert chain.links[-1].pids == tuple(sorted(model.memory))
        assert verify(chain) == ()

        flatten(chain, directory / "flat")
        flat = read_chain(directory / "flat")
        assert [link.kind for link in flat.links] == [kind]
        assert verify(flat) == ()
        for pid, values in model.memory.items():
            expected = {page: page_data(value) for page, value in values.items()}
            assert as_dict(ChainMemory(chain, pid)) == expected
            assert as_dict(ChainMemory(flat, pid)) == expected
            assert ChainMemory(flat, pid).lazy == ChainMemory(chain, pid).lazy
            pages = some & values.keys()
            part = as_dict(ChainMemory(chain, pid), PageSet.from_pages(sorted(pages)))
            assert part == {page: expected[page] for page in pages}


@pytest.fixture
def chain_dir(tmp_path: Path) -> Path:
    return write_chain(tmp_path / "chain")


def test_a_directory_of_links_means_the_newest_complete_one(chain_dir: Path) -> None:
    (chain_dir / "10").mkdir()
    (chain_dir / "4.partial").mkdir()
    (chain_dir / "notes").write_text("mine")
    assert [link.path.name for link in read_chain(chain_dir).links] == ["1", "2", "3"]


def test_a_link_means_the_chain_that_ends_there(chain_dir: Path) -> None:
    assert [link.path.name for link in read_chain(chain_dir / "2").links] == ["1", "2"]


def test_a_chain_is_told_in_figures(chain_dir: Path) -> None:
    first, second, third = read_chain(chain_dir).infos()
    assert (first.number, first.kind, first.pages_written, first.pages_in_parent) == (
        1, LinkKind.PRE_DUMP, 8, 0,
    )  # fmt: skip
    assert (second.size_bytes, second.pages_in_parent, second.pids) == (2 * PAGE_SIZE, 6, (42,))
    assert (third.kind, third.stopped_us, third.restorable) == (LinkKind.DUMP, 1234, False)
    assert third.made_at_s == (chain_dir / "3" / "stats-dump").stat().st_mtime
    assert third.as_json() == {
        "link": 3, "kind": "dump", "path": str(chain_dir / "3"), "bytes": PAGE_SIZE, "pages_written": 1,
        "pages_in_parent": 7, "stopped_us": 1234, "restorable": False, "pids": [42],
        "made_at": round(third.made_at_s, 3),
    }  # fmt: skip


def test_only_what_criu_dumped_is_restorable(chain_dir: Path) -> None:
    inventory = chain_dir / "3" / "inventory.img"
    inventory.write_bytes(
        pack(Magic.INVENTORY, [InventoryEntry(img_version=2, fdinfo_per_id=True, root_cg_set=1)])
    )
    assert [link.restorable for link in read_chain(chain_dir).links] == [False, False, True]
    (chain_dir / "3" / "pstree.img").unlink()
    assert not read_chain(chain_dir).links[-1].restorable


def test_a_directory_without_images_is_no_chain(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="holds no images"):
        read_chain(tmp_path)
    with pytest.raises(BadImage, match="is missing"):
        read_chain(tmp_path / "none")
    (tmp_path / "1").mkdir()
    with pytest.raises(BadImage, match="none of the links in it is complete"):
        read_chain(tmp_path)


def test_a_chain_whose_parent_is_absolute_is_listed(chain_dir: Path) -> None:
    (chain_dir / "3" / "parent").unlink()
    (chain_dir / "3" / "parent").symlink_to(chain_dir / "2")
    chain = read_chain(chain_dir)
    assert [info.number for info in chain.infos()] == [1, 2, 3]
    (problem,) = verify(chain)
    assert problem.text.startswith("parent is absolute")


# -- reading


def test_pages_that_were_not_there_cannot_be_read(chain_dir: Path) -> None:
    memory = ChainMemory(read_chain(chain_dir), 42)
    with pytest.raises(ValueError, match="does not hold"):
        list(memory.read(PageSet.from_pages([8, 9])))


def test_a_process_that_is_not_in_the_last_link_is_not_in_the_chain(chain_dir: Path) -> None:
    with pytest.raises(BadImage, match=r"pagemap-43\.img is missing"):
        ChainMemory(read_chain(chain_dir), 43)


def test_a_pages_file_cut_short_is_found_while_reading(chain_dir: Path) -> None:
    memory = ChainMemory(read_chain(chain_dir), 42)
    os.truncate(chain_dir / "1" / "pages-1.img", 3 * PAGE_SIZE + 5)
    with pytest.raises(BadImage, match=r"1/pages-1\.img: at byte \d+: the file ends"):
        list(memory.read())


def test_memory_larger_than_one_piece_comes_in_bounded_pieces(tmp_path: Path) -> None:
    count = 5000
    write_link(tmp_path / "1", {42: {page: page for page in range(count)}}, pieces=count)
    fresh = {page: page + count for page in range(0, count, 2)}
    write_link(tmp_path / "2", {42: fresh}, {42: range(1, count, 2)}, parent=tmp_path / "1", pieces=count)
    memory = ChainMemory(read_chain(tmp_path), 42)
    sizes = []
    for part, data in memory.read():
        sizes.append(len(data))
        expected = (page_data(fresh.get(page, page)) for page in part.pages().tolist())
        assert bytes(data) == b"".join(expected)
    assert sum(sizes) == count * PAGE_SIZE
    assert max(sizes) <= 8 << 20
    assert len(sizes) > 1


# -- flattening


def test_images_other_than_memory_are_copied_unchanged(chain_dir: Path, tmp_path: Path) -> None:
    others = {
        "files.img": b"files",
        "fs-42.img": b"fs",
        "tmpfs-dev-7:1.tar.gz.img": b"tar",
        "irmap-cache": b"i",
    }
    for name, data in others.items():
        (chain_dir / "3" / name).write_bytes(data)
    (chain_dir / "3" / "dump.log").write_text("not an image")
    flatten(read_chain(chain_dir), tmp_path / "flat")
    for name in [*others, "core-42.img", "core-1042.img", "mm-42.img", "pstree.img", "inventory.img"]:
        assert (tmp_path / "flat" / name).read_bytes() == (chain_dir / "3" / name).read_bytes()
    assert not (tmp_path / "flat" / "dump.log").exists()
    assert not (tmp_path / "flat" / "parent").is_symlink()


def test_shared_memory_is_flattened_like_that_of_a_process(chain_dir: Path, tmp_path: Path) -> None:
    # As criu numbers them: shared memory first, and no number twice.
    shared = PagemapImage.of(65537, PageSet.from_pages([0, 5]))
    (chain_dir / "3" / "pagemap-shmem-4711.img").write_bytes(shared.encode())
    (chain_dir / "3" / "pages-65537.img").write_bytes(b"A" * PAGE_SIZE + b"B" * PAGE_SIZE)
    stats = DumpStats(pages_written=1, pages_skipped_parent=7, shpages_written=2)
    (chain_dir / "3" / "stats-dump").write_bytes(pack(Magic.STATS, [stats.to_message()]))
    chain = read_chain(chain_dir)
    assert verify(chain) == ()
    flatten(chain, tmp_path / "flat")
    flat = read_chain(tmp_path / "flat")
    assert verify(flat) == ()
    assert flat.links[0].stats == DumpStats(pages_written=8, shpages_written=2)
    for name in ("pagemap-shmem-4711.img", "pages-65537.img"):
        assert (tmp_path / "flat" / name).read_bytes() == (chain_dir / "3" / name).read_bytes()


def test_progress_runs_to_the_total(chain_dir: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    flatten(read_chain(chain_dir), tmp_path / "flat", lambda done, total: calls.append((done, total)))
    assert calls[-1] == (8 * PAGE_SIZE, 8 * PAGE_SIZE)


def test_flattening_can_be_ended_and_leaves_nothing(chain_dir: Path, tmp_path: Path) -> None:
    def cancel(done: int, total: int) -> None:
        raise Cancelled("ended by the user")

    with pytest.raises(Cancelled):
        flatten(read_chain(chain_dir), tmp_path / "flat", cancel)
    assert [found.name for found in tmp_path.iterdir()] == ["chain"]


@pytest.mark.parametrize("size_pages", [1, 9], ids=["too short", "too long"])
def test_an_unsound_chain_is_not_flattened(chain_dir: Path, tmp_path: Path, size_pages: int) -> None:
    os.truncate(chain_dir / "1" / "pages-1.img", size_pages * PAGE_SIZE)
    with pytest.raises(BadImage, match="the chain is not sound"):
        flatten(read_chain(chain_dir), tmp_path / "flat")
    assert [found.name for found in tmp_path.iterdir()] == ["chain"]


def test_what_two_processes_claim_is_given_to_neither(chain_dir: Path, tmp_path: Path) -> None:
    last = chain_dir / "3"
    (last / "pagemap-43.img").write_bytes((last / "pagemap-42.img").read_bytes())
    with pytest.raises(BadImage, match="claimed both by"):
        flatten(read_chain(chain_dir), tmp_path / "flat")


def test_more_than_there_is_room_for_is_refused_before_anything_is_written(
    chain_dir: Path, tmp_path: Path
) -> None:
    with open(chain_dir / "3" / "files.img", "wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(LinkFailed, match=r"bytes are to be written, and \d+ are free"):
        flatten(read_chain(chain_dir), tmp_path / "flat")
    assert [found.name for found in tmp_path.iterdir()] == ["chain"]


def test_what_dirtytop_says_of_a_dump_stays_with_it_flattened(chain_dir: Path, tmp_path: Path) -> None:
    (chain_dir / "3" / SIDECAR).write_text("{}")
    (chain_dir / "2" / SIDECAR).write_text("{}")
    flatten(read_chain(chain_dir), tmp_path / "flat")
    assert (tmp_path / "flat" / SIDECAR).read_text() == "{}"
    flatten(read_chain(chain_dir / "2"), tmp_path / "flat of a pre-dump")
    assert not (tmp_path / "flat of a pre-dump" / SIDECAR).exists()


def test_flattening_does_not_copy_what_a_symbolic_link_points_to(chain_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (chain_dir / "3" / "files.img").symlink_to(tmp_path / "secret")
    with pytest.raises(BadImage, match="symbolic link"):
        flatten(read_chain(chain_dir), tmp_path / "flat")
    assert not (tmp_path / "flat").exists()


def test_flattening_never_overwrites(chain_dir: Path) -> None:
    with pytest.raises(LinkFailed, match="already exists"):
        flatten(read_chain(chain_dir), chain_dir / "2")
    assert verify(read_chain(chain_dir)) == ()
