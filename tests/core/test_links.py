"""What a core of a link holds and says, where that depends on the link and not on the debugger."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.core.notes import NT_FILE, NT_PRSTATUS, OURS
from engine.core.of_chain import make_cores
from engine.core.selection import Filter
from engine.errors import BadImage, Cancelled, LinkFailed
from engine.images.chain import flatten, read_chain
from engine.images.layout import debug_name
from engine.kernel.maps import VmaKind, read_maps
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.core.conftest import CoreOf, core_of_link
from tests.core.programs import Stopped, built, gdb
from tests.core.reading import PAGE, ElfCore
from tests.targets.scripted import ScriptedTarget


def remarks(core: ElfCore) -> str:
    """What our own note says."""
    return "\n".join(note.content.decode() for note in core.notes if note.owner == OURS)


@pytest.fixture
def links(target: ScriptedTarget, tmp_path: Path) -> Path:
    """A chain with a pre-dump and a dump, between which the first page changed."""
    with Session(target.pid) as session:
        chain = MemoryChain(session, tmp_path / "chain")
        target.fill(range(10), value=1)
        chain.pre_dump()
        target.fill([0], value=2)
        chain.dump()
    return tmp_path / "chain"


def test_one_walks_back_in_time_link_by_link(links: Path, target: ScriptedTarget, tmp_path: Path) -> None:
    earlier = ElfCore(core_of_link(links / "1", tmp_path, "earlier").path).saved()
    later = ElfCore(core_of_link(links / "2", tmp_path, "later").path).saved()
    assert earlier[target.base][0] == 1
    assert later[target.base][0] == 2
    assert later[target.base + PAGE] == earlier[target.base + PAGE]


def test_a_core_of_a_pre_dump_says_that_it_is_torn(links: Path, tmp_path: Path) -> None:
    made = core_of_link(links / "1", tmp_path)
    core = ElfCore(made.path)
    assert made.made.process.remarks[0].startswith("torn: made of a pre-dump")
    assert remarks(core) == "\n".join(made.made.process.remarks)
    assert core.of_kind(NT_PRSTATUS) == []
    assert core.saved()


def test_a_pre_dump_shows_variables_by_name(debugged: Stopped, tmp_path: Path) -> None:
    with Session(debugged.pid) as session:
        chain = MemoryChain(session, tmp_path / "chain")
        chain.pre_dump()
        chain.close()
    core = core_of_link(tmp_path / "chain", tmp_path).path
    said = gdb(core, debugged.program, "print changed", "print *list->next", "print mapped[499 * 4096 + 5]")
    assert "= 2" in said
    assert "number = 3" in said
    assert "122 'z'" in said


def test_shared_memory_that_is_missing_is_said(debugged: Stopped, memory_core: CoreOf) -> None:
    core = ElfCore(memory_core(debugged))
    assert remarks(core).startswith("without 80 KiB of shared memory: links of ours hold none")
    shared = [vma for vma in read_maps(debugged.pid).vmas if vma.kind is VmaKind.SHMEM]
    assert shared
    assert not any(vma.start in core.saved() for vma in shared)


def test_a_core_is_private_and_sparse(links: Path, tmp_path: Path) -> None:
    made = core_of_link(links, tmp_path)
    status = made.path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_size == made.made.size_bytes == ElfCore(made.path).size_bytes
    assert status.st_blocks * 512 < status.st_size
    assert sorted(os.listdir(tmp_path)) == ["chain", "core"]


def test_nothing_is_overwritten_and_nothing_left_by_a_cancel(links: Path, tmp_path: Path) -> None:
    (tmp_path / "core").write_text("somebody's")
    with pytest.raises(LinkFailed, match="is there already"):
        core_of_link(links, tmp_path)
    assert (tmp_path / "core").read_text() == "somebody's"

    def cancel(done_bytes: int, total_bytes: int) -> None:
        raise Cancelled("enough")

    with open_directory(tmp_path) as above, pytest.raises(Cancelled):
        make_cores(read_chain(links), above, "other", cancel)
    assert sorted(os.listdir(tmp_path)) == ["chain", "core"]


def test_progress_ends_with_all_of_it(links: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with open_directory(tmp_path) as above:
        make_cores(read_chain(links), above, "core", lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_flattened_chain_gives_the_same_core(links: Path, tmp_path: Path) -> None:
    flatten(read_chain(links), tmp_path / "flat")
    ours, flat = (
        core_of_link(path, tmp_path, path.name + ".core").path for path in (links, tmp_path / "flat")
    )
    assert ours.read_bytes() == flat.read_bytes()


def test_a_damaged_chain_gives_none(links: Path, tmp_path: Path) -> None:
    (link,) = [link for link in read_chain(links).links if link.path.name == "2"]
    os.truncate(link.path / link.pages_names[0], 0)
    with pytest.raises(BadImage):
        core_of_link(links, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["chain"]


def test_a_link_of_an_older_dirtytop_gives_memory_and_registers(
    links: Path, target: ScriptedTarget, tmp_path: Path
) -> None:
    (links / "2" / debug_name(target.pid)).unlink()
    core = ElfCore(core_of_link(links, tmp_path).path)
    assert core.saved()[target.base][0] == 2
    assert len(core.of_kind(NT_PRSTATUS)) == 1
    assert core.of_kind(NT_FILE) == []
    assert "older dirtytop" in remarks(core)


def test_the_core_filter_of_the_process_is_respected(debugged: Stopped, memory_core: CoreOf) -> None:
    Path(f"/proc/{debugged.pid}/coredump_filter").write_text(f"{Filter.FILE_PRIVATE:#x}")
    saved = ElfCore(memory_core(debugged)).saved()
    for vma in read_maps(debugged.pid).vmas:
        if vma.kind is VmaKind.HEAP:
            assert vma.start not in saved
        if vma.kind is VmaKind.FILE_PRIVATE and vma.raw_name == os.fsencode(debugged.program):
            assert vma.start in saved


def test_all_holds_files_too(debugged: Stopped, memory_core: CoreOf, tmp_path: Path) -> None:
    memory_core(debugged)
    core = core_of_link(tmp_path / "chain", tmp_path, "all", everything=True).path
    saved = ElfCore(core).saved()
    program = debugged.program.read_bytes()
    code = [
        vma
        for vma in read_maps(debugged.pid).vmas
        if vma.raw_name == os.fsencode(debugged.program) and "x" in vma.perms
    ]
    for vma in code:
        assert saved[vma.start] == program[vma.offset : vma.offset + PAGE]
    assert code
    assert b"nobody is to see" not in core.read_bytes()


def test_a_file_that_was_changed_since_is_left_to_the_debugger(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy(built("debugged.c"), program)
    with Stopped(program) as target:
        with Session(target.pid) as session:
            MemoryChain(session, tmp_path / "chain").dump()
        data = [vma for vma in read_maps(target.pid).vmas if vma.raw_name == os.fsencode(program)]
    whole = ElfCore(core_of_link(tmp_path / "chain", tmp_path, "before").path)
    os.rename(program, tmp_path / "gone")
    shutil.copy(built("debugged.c", stripped=True), program)
    core = ElfCore(core_of_link(tmp_path / "chain", tmp_path, "after").path)
    before, after = whole.saved(), core.saved()
    assert after.items() <= before.items()
    missing = [page for page in before.keys() - after.keys() if any(v.start <= page < v.end for v in data)]
    assert missing
    # What is not in it is said not to be: no page of zeros stands in its place.
    for page in missing:
        (load,) = [load for load in core.loads if load.start <= page < load.end]
        assert page >= load.saved_end


def test_each_process_of_a_tree_has_a_core(tmp_path: Path) -> None:
    script = "import os, time; os.fork() or time.sleep(99); os.kill(os.getpid(), 19); time.sleep(99)"
    with Stopped("/usr/bin/env", "python3", "-I", "-S", "-c", script) as root:
        with Session(root.pid) as session:
            MemoryChain(session, tmp_path / "chain").dump()
        with open_directory(tmp_path) as above:
            cores = make_cores(read_chain(tmp_path / "chain"), above, "core", lambda done, total: None)
        children = Path(f"/proc/{root.pid}/task/{root.pid}/children").read_text().split()
        assert {made.path.name for made in cores} == {f"core.{pid}" for pid in (root.pid, *children)}
        for child in children:
            os.kill(int(child), 9)
    (parent,) = [ElfCore(made.path) for made in cores if made.made.process.pid == root.pid]
    (child_core,) = [made for made in cores if made.made.process.pid != root.pid]
    assert child_core.made.process.parent_pid == root.pid
    assert parent.saved()


def test_readelf_finds_nothing_wrong(links: Path, tmp_path: Path) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("no readelf")
    core = core_of_link(links, tmp_path).path
    done = subprocess.run([readelf, "-hlnW", core], check=True, capture_output=True, text=True)
    assert "NT_PRPSINFO" in done.stdout
    assert "arning" not in done.stderr + done.stdout
