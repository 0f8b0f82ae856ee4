"""Whatever happens between two links of CRIU's: the end of the chain is right, or was refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After
from engine.kernel.clear_refs import clear_soft_dirty
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.story import Story
from tests.criu.outliving import Outliving

INTERLEAVINGS = 60
_BATCH = 4


class CriuStory(Story):
    """The same with links that CRIU makes, and with another CRIU that knows nothing of us."""

    def __init__(self, seed: int, criu: Criu, directory: Path) -> None:
        self.criu = criu
        super().__init__(seed, TrackerKind.SOFT_DIRTY, directory)

    def new_chain(self) -> CriuChain:
        return CriuChain(self.session, self.directory, criu=self.criu)

    def chain_gone_on_with(self) -> CriuChain:
        return CriuChain.go_on(self.session, self.directory, criu=self.criu)

    def foreign_clear(self) -> None:
        if self.rng.random() < 0.7:
            super().foreign_clear()
        else:
            pre_dump_from_another_terminal(self.criu, self.target.pid, self.directory.with_suffix(".criu"))


def pre_dump_from_another_terminal(criu: Criu, pid: int, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    subprocess.run(
        [criu.program, "pre-dump", "--tree", str(pid), "--images-dir", directory, "--track-mem"],
        capture_output=True,
        check=True,
    )


@pytest.fixture(autouse=True)
def _nothing_writes_but_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """While CRIU works in a process, the kernel would note there on which CPU it runs (rseq)."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(0, INTERLEAVINGS, _BATCH))
def test_the_end_is_right_or_refused(first: int, tracking_criu: Criu, tmp_path: Path) -> None:
    for seed in range(first, first + _BATCH):
        story = CriuStory(seed, tracking_criu, tmp_path / str(seed))
        try:
            story.play()
            assert story.judge() == [], f"seed {seed}: {story.told}"
        finally:
            story.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(0, 15, 5))
def test_what_is_restored_finds_no_page_wrong(first: int, tracking_criu: Criu, tmp_path: Path) -> None:
    for number in range(first, first + 5):
        place = tmp_path / str(number)
        place.mkdir()
        with Outliving.judging(place, pages=200) as target:
            with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
                chain = CriuChain(session, place / "chain", criu=tracking_criu)
                chain.pre_dump()
                target.judge()
                match number % 5:
                    case 1:
                        clear_soft_dirty(target.pid)
                    case 2:
                        pre_dump_from_another_terminal(tracking_criu, target.pid, place / "other")
                    case 3:
                        with Session(target.pid, TrackerKind.SOFT_DIRTY) as other:
                            other.arm()
                    case 4:
                        session.close()
                        session = Session(target.pid, TrackerKind.SOFT_DIRTY)
                        chain = CriuChain.go_on(session, place / "chain", criu=tracking_criu)
                target.judge()
                last = chain.dump(After.KILL)
                session.close()
            assert (last.pages_in_parent > 0) == (number % 5 in (0, 4)), last.notes
            target.bury()
            restore(place / "chain", criu=tracking_criu)
            assert target.judge()[1] == 0
