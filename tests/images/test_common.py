"""A link with a part beside it that several processes share: `N` and `N.common`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import BadImage, LinkFailed
from engine.images.chain import ChainMemory, flatten, read_chain, verify
from engine.images.layout import LinkKind, common_path
from engine.images.pagemap import PagemapImage
from engine.images.partial import remove_orphan
from engine.images.stats import DumpStats
from engine.images.writer import LinkWriter
from engine.pageset import EMPTY, PAGE_SIZE, PageSet

_SHARED = PageSet.from_pages([1, 2, 3, 7])


def data(pages: PageSet, of: int) -> bytes:
    return b"".join(bytes([of + page]) * PAGE_SIZE for page in pages.pages().tolist())


def commit(link: LinkWriter) -> None:
    link.commit(
        DumpStats(pages_written=link.pages_written, pages_skipped_parent=link.pages_in_parent),
        dump_uptime_us=1,
    )


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Process 42 has what is shared but for 2, and 9 of link 1; process 43 has it but for 7, and no 3."""
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        pages = link.open_pages(42, 1)
        pages.write(data(PageSet.from_pages([9]), 50), PageSet.from_pages([9]))
        pages.finish()
        commit(link)
    with LinkWriter(tmp_path / "2", LinkKind.PRE_DUMP, tmp_path / "1") as link:
        with LinkWriter(common_path(link.path), LinkKind.PRE_DUMP, link.parent) as common:
            pages = common.open_pages(42, 1)
            pages.write(data(_SHARED, 100), _SHARED)
            pages.list_for(43)
            pages.finish(holes=PageSet.from_pages([9]))
            link.build_on(common.path)
            for number, (pid, own, kept) in enumerate(((42, [2], [1, 3, 7, 9]), (43, [7], [1, 2])), start=1):
                pages = link.open_pages(pid, number)
                pages.write(data(PageSet.from_pages(own), pid), PageSet.from_pages(own))
                pages.finish(holes=PageSet.from_pages(kept))
            commit(common)
        commit(link)
    return tmp_path


def content(chain: Path, pid: int) -> dict[int, int]:
    """The first byte of each page of a process."""
    memory = ChainMemory(read_chain(chain), pid)
    found = {}
    for pages, part in memory.read():
        for at, page in enumerate(pages.pages().tolist()):
            found[page] = part[at * PAGE_SIZE]
    return found


def test_each_process_has_what_is_its_own_and_what_it_shares(chain: Path) -> None:
    assert content(chain, 42) == {1: 101, 2: 44, 3: 103, 7: 107, 9: 59}
    assert content(chain, 43) == {1: 101, 2: 102, 7: 50}
    assert verify(read_chain(chain)) == ()


def test_both_directories_are_one_link(chain: Path) -> None:
    infos = read_chain(chain).infos()
    assert [(info.number, info.path.name) for info in infos] == [(1, "1"), (2, "2")]
    assert (infos[1].pages_written, infos[1].pages_in_parent) == (_SHARED.count + 2, 1)
    assert infos[1].size_bytes == (_SHARED.count + 2) * PAGE_SIZE
    assert os.readlink(chain / "2" / "parent") == "../2.common"
    assert os.readlink(chain / "2.common" / "parent") == "../1"


def test_flattened_each_process_has_a_file_of_its_own(chain: Path, tmp_path: Path) -> None:
    before = content(chain, 42), content(chain, 43)
    flatten(read_chain(chain), tmp_path / "flat")
    assert (content(tmp_path / "flat", 42), content(tmp_path / "flat", 43)) == before
    assert verify(read_chain(tmp_path / "flat")) == ()


def test_who_lists_other_pages_of_the_same_file_is_found(chain: Path) -> None:
    wrong = PagemapImage.of(1, PageSet.from_pages([1, 2, 3, 8]))
    (chain / "2.common" / "pagemap-43.img").write_bytes(wrong.encode())
    assert "pages-1.img is claimed both by pagemap-42.img and by pagemap-43.img" in [
        problem.text for problem in verify(read_chain(chain))
    ]


def test_a_link_that_lacks_its_part_is_not_read(chain: Path) -> None:
    os.rename(chain / "2.common", chain / "elsewhere")
    with pytest.raises(BadImage, match=r"2\.common is not there"):
        read_chain(chain)


def test_a_part_that_nothing_refers_to_can_be_removed(chain: Path) -> None:
    remove_orphan(chain / "2.common")
    assert not (chain / "2.common").exists()
    remove_orphan(chain / "2.common")


def test_what_holds_anything_else_is_not_removed(chain: Path) -> None:
    (chain / "2.common" / "letters").write_text("mine")
    with pytest.raises(LinkFailed, match="things other than images"):
        remove_orphan(chain / "2.common")
    assert (chain / "2.common" / "stats-dump").exists()


def test_a_link_may_be_built_on_another_than_was_said(chain: Path) -> None:
    with LinkWriter(chain / "3", LinkKind.PRE_DUMP) as link:
        link.build_on(chain / "2")
        link.open_pages(43, 1).finish(EMPTY)
        commit(link)
    assert read_chain(chain).links[-1].parent == (chain / "2").resolve()
