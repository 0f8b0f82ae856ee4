"""A link is there whole, private and nobody else's, or it is not there."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import LinkFailed
from engine.images.chain import read_chain, verify
from engine.images.framing import Magic, read_message
from engine.images.layout import LinkKind
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.stats import DumpStats
from engine.images.writer import LinkWriter
from engine.pageset import EMPTY, PAGE_SIZE, PageSet

PAGES = PageSet.from_ranges([(16, 20), (32, 33)])
STATS = DumpStats(pages_written=PAGES.count)


def pre_dump(path: Path, parent: Path | None = None) -> LinkWriter:
    """A writer with one process in it, ready to be committed."""
    link = LinkWriter(path, LinkKind.PRE_DUMP, parent)
    pages = link.open_pages(42, 1)
    pages.write(bytes(PAGES.size_bytes), PAGES)
    pages.finish(lazy=PAGES)
    return link


def everything_in(directory: Path) -> set[str]:
    return {str(found.relative_to(directory)) for found in directory.rglob("*")}


def test_nothing_has_the_name_before_the_link_is_complete(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1") as link:
        assert not (tmp_path / "1").exists()
        assert not (tmp_path / "1.partial" / "stats-dump").exists()
        committed = link.commit(STATS, dump_uptime_us=7)
    assert committed.path == tmp_path / "1"
    assert committed.size_bytes == PAGES.size_bytes
    assert everything_in(tmp_path) == {
        "1", "1/pagemap-42.img", "1/pages-1.img", "1/inventory.img", "1/stats-dump",
    }  # fmt: skip


def test_stats_are_written_after_all_else(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    times = {found.name: found.stat().st_mtime_ns for found in (tmp_path / "1").iterdir()}
    assert times["stats-dump"] == max(times.values())


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1"):
        pass
    assert everything_in(tmp_path) == set()


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), pre_dump(tmp_path / "1"):
        raise RuntimeError
    assert everything_in(tmp_path) == set()


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277])
def test_only_the_owner_can_look_into_a_link(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with pre_dump(tmp_path / "1") as link:
            link.commit(STATS, dump_uptime_us=7)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "1").stat().st_mode) == 0o700
    assert {stat.S_IMODE(found.stat().st_mode) for found in (tmp_path / "1").iterdir()} == {0o600}


def test_the_parent_is_relative_so_that_a_chain_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pre_dump(tmp_path / "here" / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    with pre_dump(tmp_path / "here" / "2", tmp_path / "here" / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    assert os.readlink(tmp_path / "here" / "2" / "parent") == "../1"
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(read_chain(tmp_path / "there").links) == 2


def test_the_parent_is_found_from_a_directory_reached_by_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "short").symlink_to("deep/er")
    with pre_dump(tmp_path / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    with pre_dump(tmp_path / "short" / "2", tmp_path / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    assert [link.path for link in read_chain(tmp_path / "short" / "2").links] == [
        tmp_path / "1", tmp_path / "deep" / "er" / "2",
    ]  # fmt: skip


def test_nothing_is_built_on_a_link_that_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for parent in (tmp_path / "1", tmp_path / "none"):
        with pytest.raises(LinkFailed):
            LinkWriter(tmp_path / "2", LinkKind.PRE_DUMP, parent)
    assert everything_in(tmp_path) == {"1"}


def test_the_inventory_is_that_of_a_pre_dump_so_that_criu_will_not_restore_it(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1") as link:
        link.commit(STATS, dump_uptime_us=123_450_000)
    found = read_message(tmp_path / "1" / "inventory.img", Magic.INVENTORY, InventoryEntry)
    assert found == InventoryEntry(img_version=0, dump_uptime=123_450_000, pre_dump_mode=1)


def test_times_beyond_what_fits_are_the_longest_that_does() -> None:
    dump = DumpStats(frozen_us=2**40, memwrite_us=5).to_message().dump
    assert (dump.frozen_time, dump.memwrite_time) == (2**32 - 1, 5)


def test_pages_come_from_any_buffer_in_any_number_of_pieces(tmp_path: Path) -> None:
    data = np.arange(PAGES.size_bytes // 8, dtype=np.uint64).reshape(-1, 512)
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        pages = link.open_pages(42, 1)
        pages.write(data[:2].data, PAGES.clip(0, 18))
        pages.write(b"", EMPTY)
        pages.write(bytearray(data[2:].tobytes()), PAGES.clip(18, 99))
        pages.finish()
        link.commit(STATS, dump_uptime_us=7)
    assert (tmp_path / "1" / "pages-1.img").read_bytes() == data.tobytes()


def test_a_process_without_a_page_has_both_files_all_the_same(tmp_path: Path) -> None:
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        link.open_pages(42, 1).finish()
        link.commit(DumpStats(), dump_uptime_us=7)
    assert {"1/pagemap-42.img", "1/pages-1.img"} <= everything_in(tmp_path)
    assert verify(read_chain(tmp_path)) == ()


# -- mistakes of the caller


def test_pages_have_to_ascend_and_to_be_all_there(tmp_path: Path) -> None:
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        pages = link.open_pages(42, 1)
        pages.write(bytes(PAGES.size_bytes), PAGES)
        with pytest.raises(ValueError, match="ascending"):
            pages.write(bytes(PAGE_SIZE), PageSet.from_pages([20]))
        with pytest.raises(ValueError, match="not the data of 1 pages"):
            pages.write(bytes(PAGE_SIZE - 1), PageSet.from_pages([40]))


def test_a_pages_file_belongs_to_one_process(tmp_path: Path) -> None:
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        link.open_pages(42, 1)
        with pytest.raises(ValueError, match="already used"):
            link.open_pages(43, 1)


def test_an_unfinished_process_cannot_be_committed(tmp_path: Path) -> None:
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        link.open_pages(42, 1)
        with pytest.raises(ValueError, match="not been finished"):
            link.commit(DumpStats(), dump_uptime_us=7)
    assert everything_in(tmp_path) == set()


@pytest.mark.parametrize(
    "stats",
    [
        DumpStats(pages_written=PAGES.count - 1),
        DumpStats(pages_written=PAGES.count, pages_skipped_parent=1),
    ],
)
def test_stats_that_are_not_those_of_the_link_are_refused(tmp_path: Path, stats: DumpStats) -> None:
    with pre_dump(tmp_path / "1") as link, pytest.raises(ValueError, match="stats"):
        link.commit(stats, dump_uptime_us=7)
    assert everything_in(tmp_path) == set()


def test_a_dump_has_a_tree_and_a_pre_dump_has_none(tmp_path: Path) -> None:
    tree = [PstreeEntry(pid=42, ppid=0, pgid=42, sid=42, threads=[42])]
    with LinkWriter(tmp_path / "1", LinkKind.DUMP) as link, pytest.raises(ValueError, match="pstree"):
        link.commit(DumpStats(), dump_uptime_us=7)
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        link.write_messages("pstree.img", Magic.PSTREE, tree)
        with pytest.raises(ValueError, match="pstree"):
            link.commit(DumpStats(), dump_uptime_us=7)


# -- what is in the way


@pytest.mark.parametrize("kind", ["empty directory", "images", "file", "dangling link"])
def test_whatever_has_the_name_already_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "1"
    if kind == "file":
        path.write_text("mine")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
        if kind == "images":
            (path / "pstree.img").write_text("mine")
    before = everything_in(tmp_path)
    with pytest.raises(LinkFailed, match="already exists"):
        LinkWriter(path, LinkKind.PRE_DUMP)
    assert everything_in(tmp_path) == before


def test_what_takes_the_name_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1") as link:
        (tmp_path / "1").write_text("mine")
        with pytest.raises(LinkFailed):
            link.commit(STATS, dump_uptime_us=7)
    assert everything_in(tmp_path) == {"1"}
    assert (tmp_path / "1").read_text() == "mine"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LinkFailed, match="none") as caught:
        LinkWriter(tmp_path / "none" / "1", LinkKind.PRE_DUMP)
    assert "make the directory" in caught.value.hint


def test_a_partial_that_is_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir(mode=0o700)
    (tmp_path / "victim" / "pages-1.img").write_text("precious")
    (tmp_path / "1.partial").symlink_to("victim")
    with pytest.raises(LinkFailed, match="in the way"):
        LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP)
    assert (tmp_path / "victim" / "pages-1.img").read_text() == "precious"
    assert (tmp_path / "1.partial").is_symlink()


def test_a_symbolic_link_in_place_of_a_file_to_be_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        (tmp_path / "1.partial" / "pages-1.img").symlink_to(victim)
        with pytest.raises(LinkFailed):
            link.open_pages(42, 1)
    assert victim.read_text() == "precious"


def test_a_file_of_somebody_else_in_a_partial_survives_it(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1"):
        (tmp_path / "1.partial" / "notes.txt").write_text("mine")
    assert everything_in(tmp_path) == {"1.partial", "1.partial/notes.txt"}


def test_pages_that_somebody_else_cut_short_are_not_committed(tmp_path: Path) -> None:
    with pre_dump(tmp_path / "1") as link:
        os.truncate(tmp_path / "1.partial" / "pages-1.img", PAGE_SIZE)
        with pytest.raises(LinkFailed, match="something else has changed"):
            link.commit(STATS, dump_uptime_us=7)
    assert everything_in(tmp_path) == set()


# -- what a kill leaves behind

CHILD = """
import sys
from pathlib import Path
from engine.images.layout import LinkKind
from engine.images.writer import LinkWriter
from engine.pageset import PAGE_SIZE, PageSet
link = LinkWriter(Path(sys.argv[1]), LinkKind.PRE_DUMP)
link.open_pages(42, 1).write(bytes(PAGE_SIZE), PageSet.from_pages([1]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing `tmp_path/1`."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "1")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.communicate()


def test_a_killed_writer_leaves_a_partial_that_the_next_one_replaces(
    tmp_path: Path, other_writer: subprocess.Popen[str]
) -> None:
    other_writer.send_signal(signal.SIGKILL)
    other_writer.wait()
    assert everything_in(tmp_path) == {"1.partial", "1.partial/pages-1.img"}
    with pre_dump(tmp_path / "1") as link:
        link.commit(STATS, dump_uptime_us=7)
    assert verify(read_chain(tmp_path)) == ()
    assert not (tmp_path / "1.partial").exists()


@pytest.mark.usefixtures("other_writer")
def test_a_living_writer_is_not_disturbed(tmp_path: Path) -> None:
    with pytest.raises(LinkFailed, match="another dirtytop is writing it"):
        LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP)
    assert everything_in(tmp_path) == {"1.partial", "1.partial/pages-1.img"}


def spoil_mode(partial: Path) -> None:
    partial.chmod(0o755)


def spoil_name(partial: Path) -> None:
    (partial / "thesis.txt").write_text("precious")


def spoil_stats(partial: Path) -> None:
    (partial / "stats-dump").write_text("complete")


def spoil_file(partial: Path) -> None:
    (partial / "core-1.img").symlink_to("elsewhere")


def spoil_directory(partial: Path) -> None:
    (partial / "core-1.img").mkdir()


def spoil_owner(partial: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(partial, 12345, -1)


@pytest.mark.parametrize(
    "spoil", [spoil_mode, spoil_name, spoil_stats, spoil_file, spoil_directory, spoil_owner]
)
def test_a_partial_that_may_be_something_else_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    partial = tmp_path / "1.partial"
    partial.mkdir(mode=0o700)
    (partial / "pages-1.img").write_text("precious")
    (partial / "parent").symlink_to("../0")
    spoil(partial)
    before = everything_in(tmp_path)
    with pytest.raises(LinkFailed, match="in the way") as caught:
        LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP)
    assert caught.value.hint
    assert everything_in(tmp_path) == before


# -- a disk that will not take it


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 pages."""
    mount = tmp_path / "tiny"
    mount.mkdir()
    options = f"size={64 * PAGE_SIZE},nr_inodes=64"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "dirtytop-test", mount], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_disk_leaves_nothing_and_says_so(tiny_disk: Path) -> None:
    pages = PageSet.from_ranges([(0, 100)])
    with LinkWriter(tiny_disk / "1", LinkKind.PRE_DUMP) as link:
        writer = link.open_pages(42, 1)
        with pytest.raises(LinkFailed, match=r"pages-1\.img: cannot write pages") as caught:
            writer.write(bytes(pages.size_bytes), pages)
    assert "full" in caught.value.hint
    assert everything_in(tiny_disk) == set()


def test_a_disk_that_fills_up_at_the_very_end_leaves_nothing(tiny_disk: Path) -> None:
    with pre_dump(tiny_disk / "1") as link:
        room = os.statvfs(tiny_disk).f_bavail * PAGE_SIZE
        (tiny_disk / "ballast").write_bytes(bytes(room))
        with pytest.raises(LinkFailed, match=r"inventory\.img"):
            link.commit(STATS, dump_uptime_us=7)
    assert everything_in(tiny_disk) == {"ballast"}


def test_a_disk_out_of_inodes_leaves_nothing(tiny_disk: Path) -> None:
    def write_many_processes(link: LinkWriter) -> None:
        for pid in range(1, 100):
            link.open_pages(pid, pid).finish()

    with LinkWriter(tiny_disk / "1", LinkKind.PRE_DUMP) as link, pytest.raises(LinkFailed, match="make it"):
        write_many_processes(link)
    assert everything_in(tiny_disk) == set()


def test_a_directory_that_cannot_be_written_to_is_refused(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(LinkFailed, match="Read-only file system") as caught:
        LinkWriter(tiny_disk / "1", LinkKind.PRE_DUMP)
    assert "read-only" in caught.value.hint
