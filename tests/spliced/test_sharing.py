"""A tree that shares its memory still does after links were made of it; and all of it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint import copy_buffer
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After
from engine.checkpoint.spliced.chain import SplicedChain
from engine.images.chain import read_chain, verify
from engine.kernel.process import child_processes
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.outliving import Outliving
from tests.targets import shared_tree
from tests.targets.frames import are_told, frames

pytestmark = [
    pytest.mark.spread,
    pytest.mark.skipif(not are_told(), reason="frame numbers need CAP_SYS_ADMIN"),
]

_CHILDREN = 3


class SharedTree:
    """A tree, and where it has its pages."""

    def __init__(self, target: Outliving, pages: int) -> None:
        self.target = target
        self._base, self._pages = int(target.first_answer, 16), pages

    def frames(self) -> dict[int, list[int]]:
        children = (stat.pid for stat in child_processes({self.target.pid}))
        return {
            pid: frames(pid, self._base, self._pages).tolist() for pid in sorted([self.target.pid, *children])
        }


# Of small mappings CRIU learns, and pins what it is to leave to a server; of large ones it does not.
@pytest.fixture(params=[300, 3000], ids=["small", "large"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SharedTree]:
    with Outliving(tmp_path, shared_tree.__file__, request.param, _CHILDREN) as target:
        yield SharedTree(target, request.param)


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("fits", [True, False], ids=["copied", "streamed"])
def test_no_page_of_a_shared_tree_moves_and_all_of_it_comes_back(
    criu: Criu,
    kind: TrackerKind,
    tree: SharedTree,
    fits: bool,
    chain_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not fits:
        monkeypatch.setattr(copy_buffer, "most_bytes", lambda: 4 * PAGE_SIZE)
    with Session(tree.target.pid, kind) as session:
        chain = SplicedChain(session, chain_directory, criu=criu)
        before = tree.frames()
        assert len(before) == 1 + _CHILDREN
        chain.pre_dump()
        assert (chain_directory / "1.common").is_dir()
        assert tree.frames() == before
        assert tree.target.ask() == "ok"
        before = tree.frames()
        chain.dump(After.STOP)
        assert tree.frames() == before
    tree.target.kill()
    tree.target.bury()
    assert verify(read_chain(chain_directory)) == ()
    restore(chain_directory, criu=criu)
    assert tree.target.ask() == "ok"
