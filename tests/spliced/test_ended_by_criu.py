"""The other way round: pre-dumps of ours, and on top a plain `criu dump --track-mem --prev-images-dir`.

Needs soft-dirty bits, for those are what CRIU goes by. It finds our links sound if they say when tracking was
cleared, list every page there was, and nobody has cleared since.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.belongings import QUARTERS
from tests.criu.conftest import tracking_criu
from tests.criu.outliving import Outliving

__all__ = ["tracking_criu"]


def dump_by_hand(criu: Criu, pid: int, directory: Path, parent: Path) -> None:
    """What somebody would type."""
    directory.mkdir(mode=0o700)
    done = subprocess.run(
        [
            *(criu.program, "dump", "--tree", str(pid), "--images-dir", directory, "--work-dir", directory),
            *("--track-mem", "--prev-images-dir", f"../{parent.name}", "-o", "criu.log", "-v4"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    errors = [line for line in (directory / "criu.log").read_text().splitlines() if "Error" in line]
    assert done.returncode == 0, errors


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize(("first", "owned"), QUARTERS)
def test_criu_builds_on_links_of_ours(
    tracking_criu: Criu, first: int, owned: str, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of(owned, tmp_path) as target:
        with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
            chain = MemoryChain(session, chain_directory)
            for _ in range(2):
                last = chain.pre_dump()
                assert target.ask() == "ok"
        dump_by_hand(tracking_criu, target.pid, chain_directory / "3", last.path)
        target.bury()
        images = read_chain(chain_directory)
        assert len(images.infos()) == 3
        assert verify(images) == ()
        assert images.infos()[-1].pages_in_parent > 0
        restore(chain_directory, criu=tracking_criu)
        assert target.ask() == "ok"
        assert target.ask() == "ok"


def test_a_target_that_never_rests_finds_no_page_wrong(
    tracking_criu: Criu, judge: Outliving, chain_directory: Path
) -> None:
    with Session(judge.pid, TrackerKind.SOFT_DIRTY) as session:
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        judge.judge()
        last = chain.pre_dump()
        before, _ = judge.judge()
    dump_by_hand(tracking_criu, judge.pid, chain_directory / "3", last.path)
    judge.bury()
    restore(chain_directory, criu=tracking_criu)
    after, wrong = judge.judge()
    assert after > before
    assert wrong == 0


ONLY_READ = """\
import mmap, os
area = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_HUGEPAGE)
fine = area[:].count(0) == len(area)
os.write(1, b"ok\\n" if fine else b"wrong\\n")
while os.read(0, 1):
    os.write(1, b"ok\\n" if area[:].count(0) == len(area) else b"wrong\\n")
"""


def test_huge_memory_that_was_only_read_is_no_hindrance(
    tracking_criu: Criu, tmp_path: Path, chain_directory: Path
) -> None:
    """Before 4.0 CRIU takes the huge zero page for memory of the process, and looks for it in its parent."""
    (tmp_path / "script.py").write_text(ONLY_READ)
    with Outliving(tmp_path, tmp_path / "script.py") as target:
        assert target.first_answer == "ok"
        with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
            last = MemoryChain(session, chain_directory).pre_dump()
        dump_by_hand(tracking_criu, target.pid, chain_directory / "2", last.path)
        target.bury()
        restore(chain_directory, criu=tracking_criu)
        assert target.ask() == "ok"
