"""What we say CRIU would write, page by page, against what it then writes."""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.options import CriuOptions, PreDumpMode
from engine.checkpoint.criu.selection import pages_to_write, would_write
from engine.checkpoint.link import LinkResult
from engine.images.layout import LinkKind
from engine.images.link import read_link
from engine.pageset import PageSet
from engine.tracking.session import Session
from tests.criu.belongings import HALVES, QUARTERS
from tests.criu.outliving import Outliving, wait_for_state
from tests.targets.scripted import ScriptedTarget

# Their threads write all the time: what they will have written by then nobody can say.
RESTLESS = ("threads",)


def assert_written(result: LinkResult, expected: dict[int, PageSet]) -> None:
    link = read_link(result.path)
    assert link.stats is not None
    written = {pid: link.pagemap(pid).present for pid in link.pids}
    assert written == {pid: pages for pid, pages in expected.items() if pid in written}
    assert link.stats.pages_written == sum(pages.count for pages in expected.values())


@pytest.mark.parametrize(("first", "kind"), QUARTERS)
def test_a_dump_writes_what_we_say(
    criu: Criu, first: int, kind: str, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of(kind, tmp_path) as target, Session(target.pid) as session:
        os.kill(target.pid, signal.SIGSTOP)
        wait_for_state(target.pid, "T")
        expected = pages_to_write(session, criu=criu)
        result = CriuChain(session, chain_directory, criu=criu).dump()
    assert_written(result, expected)


@pytest.mark.parametrize(("first", "kind"), [each for each in HALVES if each[1] not in RESTLESS])
def test_pre_dumps_and_a_dump_on_top_write_what_we_say(
    tracking_criu: Criu, first: int, kind: str, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of(kind, tmp_path) as resting, Session(resting.pid) as session:
        chain = CriuChain(session, chain_directory, criu=tracking_criu)
        expected = pages_to_write(session, LinkKind.PRE_DUMP, criu=tracking_criu)
        assert_written(chain.pre_dump(), expected)
        for _ in range(2):
            assert resting.ask() == "ok"
            parent = read_link(chain.links[-1].path)
            expected = pages_to_write(session, LinkKind.PRE_DUMP, parent, criu=tracking_criu)
            assert_written(chain.pre_dump(), expected)
        parent = read_link(chain.links[-1].path)
        expected = pages_to_write(session, LinkKind.DUMP, parent, criu=tracking_criu)
        assert_written(chain.dump(), expected)


# -- memory of all sorts, under one process that does nothing by itself


@pytest.fixture
def odd(target: ScriptedTarget) -> ScriptedTarget:
    """Mappings that a simple rule would get wrong."""
    read_only = target.map(50)
    target.fill(range(0, 50, 2), read_only)
    target.protect(read_only, 50, mmap.PROT_READ)
    unreadable = target.map(40)
    target.fill(range(30), unreadable)
    target.protect(unreadable, 40, 0)
    only_read = target.map(60)
    target.read(range(60), only_read)
    discarded = target.map(100)
    target.fill(range(100), discarded)
    target.discard(discarded, 50)
    scattered = target.map(64)
    target.fill(range(64), scattered)
    target.scatter(scattered, 64)
    huge = target.map(1536, huge=True)
    target.fill([700], huge)
    only_read_huge = target.map(1536, huge=True)
    target.read([0, 600, 1200], only_read_huge)
    moved = target.map(20)
    target.fill(range(20), moved)
    target.remap(moved, 20, 300)
    target.map(30, shared=True)
    target.map(1 << 24, reserve=False)
    target.start_threads(3)
    return target


def test_odd_memory_is_counted_right_in_a_dump(
    criu: Criu, odd: ScriptedTarget, chain_directory: Path
) -> None:
    with Session(odd.pid) as session:
        expected = pages_to_write(session, criu=criu)
        chain = CriuChain(session, chain_directory, criu=criu)
        assert_written(chain.dump(), expected)


@pytest.mark.parametrize("mode", PreDumpMode)
def test_odd_memory_is_counted_right_in_pre_dumps(
    tracking_criu: Criu, odd: ScriptedTarget, chain_directory: Path, mode: PreDumpMode
) -> None:
    with Session(odd.pid) as session:
        chain = CriuChain(session, chain_directory, CriuOptions(pre_dump_mode=mode), tracking_criu)
        expected = pages_to_write(session, LinkKind.PRE_DUMP, None, mode, tracking_criu)
        assert_written(chain.pre_dump(), expected)
        odd.fill(range(100, 120))
        grown = odd.map(10)
        odd.fill(range(5), grown)
        child = odd.fork()
        parent = read_link(chain.links[-1].path)
        expected = pages_to_write(session, LinkKind.PRE_DUMP, parent, mode, tracking_criu)
        assert child in expected
        assert_written(chain.pre_dump(), expected)


def test_what_would_be_written_is_told_by_process(criu: Criu, tmp_path: Path) -> None:
    with Outliving.owner_of("a tree", tmp_path) as target, Session(target.pid) as session:
        counts = would_write(session, criu=criu)
        assert len(counts) == 3
        assert next(iter(counts)) == target.pid
        assert all(count > 100 for count in counts.values())
