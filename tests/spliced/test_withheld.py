"""Large mappings that CRIU is told nothing of: they are saved all the same, as they would have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.link import After
from engine.checkpoint.spliced import chain as spliced_chain
from engine.checkpoint.spliced import withheld
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import LinkFailed
from engine.images.chain import read_chain, verify
from engine.images.link import Link, read_link
from engine.images.never_lazy import never_lazy_pages
from engine.kernel.pagemap import Category, scan_knows
from engine.pageset import PageSet
from engine.tracking.held_processes import HeldProcesses
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.outliving import Outliving
from tests.spliced.coming_back import assert_it_comes_back

_PAGES = 3000
_GUARD = 102

# A tree of three, each with large memory, some of it untouched, locked, or a stack; it checks all of it.
_SCRIPT = f"""\
import ctypes, mmap, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
{{before}}
threading.stack_size(8 << 20)
def memory(value, pages={_PAGES}):
    area = mmap.mmap(-1, (pages + 1000) * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area[: pages * 4096] = bytes([value]) * (pages * 4096)
    return area
def address(area, page=0):
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area)) + page * 4096)
def right(area, value):
    return area[: {_PAGES} * 4096] == bytes([value]) * ({_PAGES} * 4096)
ours = [memory(1), memory(2)]
libc.mlock(address(ours[1]), ctypes.c_size_t(len(ours[1])))
{{middle}}
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()
pipes = []
for number in (3, 4):
    asked, ask = os.pipe()
    told, tell = os.pipe()
    if os.fork() == 0:
        own = memory(number)
        while os.read(asked, 1):
            os.write(tell, b"1" if right(own, number) and right(ours[0], 1) else b"0")
        os._exit(0)
    pipes.append((ask, told))
print("ready", flush=True)
while os.read(0, 1):
    fine = right(ours[0], 1) and right(ours[1], 2)
    for ask, told in pipes:
        os.write(ask, b"?")
        fine = os.read(told, 1) == b"1" and fine
    os.write(1, b"ok\\n" if fine else b"wrong\\n")
"""


@contextmanager
def large(directory: Path, *, before: str = "", middle: str = "") -> Iterator[Outliving]:
    script = directory / "large.py"
    script.write_text(_SCRIPT.format(before=before, middle=middle))
    with Outliving(directory, script) as target:
        yield target


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[int, PageSet]]:
    """What was withheld in the last dump, by pid."""
    made: list[withheld.WithheldMemory] = []
    honest = withheld.WithheldMemory.__init__

    def remembering(self: withheld.WithheldMemory, criu: Criu) -> None:
        honest(self, criu)
        made.append(self)

    monkeypatch.setattr(withheld.WithheldMemory, "__init__", remembering)
    return lambda: {pid: made[-1].mappings(pid) for pid in made[-1].pids}


def require_scans(criu: Criu) -> None:
    if not criu.scans_pages:
        pytest.skip("this criu reads pagemap itself")


@pytest.mark.usefixtures("orphans_are_ours")
def test_what_was_withheld_is_saved_and_comes_back(
    criu: Criu,
    kind: TrackerKind,
    seen: Callable[[], dict[int, PageSet]],
    tmp_path: Path,
    chain_directory: Path,
) -> None:
    require_scans(criu)
    with large(tmp_path) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            chain.pre_dump()
            assert target.ask() == "ok"
            last = chain.dump(After.KILL)
        # The two of the root, one of each child, and what they have of their parent's.
        assert len(seen()) == 3
        assert all(mappings.count > _PAGES for mappings in seen().values())
        assert last.pages_in_parent > 3 * _PAGES
        assert_it_comes_back(target, chain_directory, criu)


@pytest.mark.usefixtures("orphans_are_ours")
def test_the_link_is_the_same_as_without(
    criu: Criu, kind: TrackerKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Page by page, and also in which of them a restore may bring in late.

    But for the pages that the stack pointers of other threads than the first are in: CRIU forgets them.
    """
    require_scans(criu)

    def layout(link: Link) -> dict[int, tuple[PageSet, PageSet]]:
        pagemaps = {pid: link.pagemap(pid) for pid in link.pids}
        return {
            pid: (each.covered, each.lazy - never_lazy_pages(link.path, pid))
            for pid, each in pagemaps.items()
        }

    with large(tmp_path) as target, Session(target.pid, kind) as session:
        with_it = SplicedChain(session, tmp_path / "with", criu=criu).dump()
        monkeypatch.setattr(spliced_chain, "can_withhold", lambda criu, root: False)
        without = SplicedChain(session, tmp_path / "without", criu=criu).dump()
        assert layout(read_link(with_it.path)) == layout(read_link(without.path))
        assert target.ask() == "ok"


@pytest.mark.usefixtures("orphans_are_ours")
def test_of_a_process_that_only_criu_knows_it_is_saved_in_full(
    criu: Criu, kind: TrackerKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chain_directory: Path
) -> None:
    require_scans(criu)
    with large(tmp_path) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            chain.pre_dump()
            # As if the children had been born in the moment before the tree was frozen.
            with session.held() as processes:
                root = next(iter(processes))
            monkeypatch.setattr(HeldProcesses, "__iter__", lambda self: iter([root]))
            chain.dump(After.KILL)
        assert_it_comes_back(target, chain_directory, criu)


@pytest.mark.usefixtures("orphans_are_ours")
def test_nothing_is_withheld_of_a_target_with_a_seccomp_filter(
    criu: Criu,
    kind: TrackerKind,
    seen: Callable[[], dict[int, PageSet]],
    tmp_path: Path,
    chain_directory: Path,
) -> None:
    """CRIU has to lift its filter, and may not if it is under one itself."""
    require_scans(criu)
    # Allow everything.
    filtered = (
        "filter = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 255, 127]))\n"
        "class Program(ctypes.Structure):\n"
        "    _fields_ = (('length', ctypes.c_ushort), ('code', ctypes.c_void_p))\n"
        "program = Program(1, ctypes.addressof(filter))\n"
        "assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0\n"
    )
    with large(tmp_path, before=filtered) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            chain.pre_dump()
            chain.dump(After.KILL)
        assert seen() == {}
        assert_it_comes_back(target, chain_directory, criu)


@pytest.mark.usefixtures("orphans_are_ours")
def test_guard_regions_that_criu_cannot_save_are_not_lost_unsaid(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path
) -> None:
    require_scans(criu)
    if not scan_knows(Category.GUARD):
        pytest.skip("the kernel does not tell guard regions (Linux 6.15)")
    if criu.saves_guard_regions:
        pytest.skip("this criu saves them")
    guarded = f"assert libc.madvise(address(ours[0], {_PAGES + 10}), ctypes.c_size_t(8192), {_GUARD}) == 0"
    with large(tmp_path, middle=guarded) as target, Session(target.pid, kind) as session:
        chain = SplicedChain(session, chain_directory, criu=criu)
        chain.pre_dump()
        with pytest.raises(LinkFailed, match="guard regions"):
            chain.dump(After.KILL)
        assert target.ask() == "ok"


def test_a_criu_that_cannot_be_made_to_ask_sees_everything(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_scans(criu)
    # As where another program already listens to it: no descriptor comes.
    script = tmp_path / "plain.py"
    script.write_text(
        "import os, socket, sys\n"
        "socket.socket(fileno=int(sys.argv[1])).send(b'?')\n"
        "os.execv(sys.argv[3], sys.argv[3:])\n"
    )
    monkeypatch.setattr("engine.kernel.ask_before_ioctl.__file__", str(script))
    with large(tmp_path) as target, Session(target.pid, kind) as session:
        chain = SplicedChain(session, chain_directory, criu=criu)
        chain.pre_dump()
        assert chain.dump().pages_in_parent > 3 * _PAGES
        assert target.ask() == "ok"
    assert verify(read_chain(chain_directory)) == ()
