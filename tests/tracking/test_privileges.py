"""What each capability buys, row by row of docs/privileges.md."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities import Capability, effective_capabilities
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from tests.targets.nobody import require_nobody, run_as_nobody
from tests.targets.scripted import ScriptedTarget

# The interpreter may lie where nobody can read, so everything is imported before capabilities are given up.
SCRIPT = """
import ctypes, json, sys
from pathlib import Path
from engine.checkpoint.criu.features import examine_criu
from engine.checkpoint.memory import MemoryChain
from engine.errors import DirtytopError
from engine.images.chain import read_chain, verify
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
import engine.tracking.uffd_helper, engine.checkpoint.criu.chain

directory, pid, tracker, kept = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4], 16)

class Header(ctypes.Structure): _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))
names = ("e0", "p0", "i0", "e1", "p1", "i1")
class Data(ctypes.Structure): _fields_ = tuple((name, ctypes.c_uint32) for name in names)
libc = ctypes.CDLL(None, use_errno=True)
header = Header(0x20080522, 0)

def give_up():
    low, high = kept & 0xffffffff, kept >> 32
    data = Data(low, low, low, high, high, high)
    assert libc.capset(ctypes.byref(header), ctypes.byref(data)) == 0

def tried(what):
    try:
        return what()
    except DirtytopError as error:
        return [type(error).__name__, error.hint]

def watch():
    with Session(pid, TrackerKind(tracker) if tracker else None) as session:
        session.arm()
        session.tick()
        return session.tick().tracker.value

def save():
    with Session(pid, TrackerKind(tracker) if tracker else None) as session:
        chain = MemoryChain(session, directory)
        chain.pre_dump()
        chain.dump()
    return [problem.text for problem in verify(read_chain(directory))]

def have_criu():
    examine_criu()
    return True

give_up()
print(json.dumps({"watch": tried(watch), "save": tried(save), "criu": tried(have_criu)}))
"""


def capabilities(*kept: Capability) -> str:
    return f"{sum(1 << capability for capability in kept):x}"


def act(pid: int, *kept: Capability, tracker: str = "") -> dict[str, Any]:
    """What another user with these capabilities gets done with a process of ours."""
    require_nobody()
    missing = {Capability.SYS_PTRACE, Capability.DAC_OVERRIDE} - effective_capabilities()
    if missing:
        pytest.skip(f"needs {', '.join(sorted(each.full_name for each in missing))}")
    return run_as_nobody(SCRIPT, str(pid), tracker, capabilities(*kept), kept=kept)


needs_write_protect = pytest.mark.skipif(
    not probe().write_protect.works, reason="no write-protect tracking in this kernel"
)


def test_without_any_a_process_of_another_user_is_refused(target: ScriptedTarget) -> None:
    done = act(target.pid)
    assert done["watch"][0] == done["save"][0] == "NotPermitted"
    assert "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH" in done["watch"][1]


def test_cap_sys_ptrace_alone_is_not_enough_and_that_is_said(target: ScriptedTarget) -> None:
    done = act(target.pid, Capability.SYS_PTRACE)
    assert done["watch"][0] == "NotPermitted"
    assert "add CAP_DAC_READ_SEARCH" in done["watch"][1]


@needs_write_protect
def test_with_cap_dac_read_search_it_is_watched_and_its_memory_saved(target: ScriptedTarget) -> None:
    """By write-protection, whatever this kernel has besides: `auto` takes what is permitted."""
    done = act(target.pid, Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH)
    assert done["watch"] == TrackerKind.WRITE_PROTECT.value
    assert done["save"] == []


def test_with_cap_dac_override_soft_dirty_bits_can_be_cleared(target: ScriptedTarget) -> None:
    if not probe().soft_dirty.works:
        pytest.skip(probe().soft_dirty.reason)
    kept = (Capability.SYS_PTRACE, Capability.DAC_OVERRIDE)
    done = act(target.pid, *kept, tracker="soft-dirty")
    assert done["watch"] == TrackerKind.SOFT_DIRTY.value
    assert done["save"] == []


def test_cap_checkpoint_restore_buys_nothing_by_itself(target: ScriptedTarget) -> None:
    if Capability.CHECKPOINT_RESTORE not in effective_capabilities():
        pytest.skip("needs CAP_CHECKPOINT_RESTORE")
    done = act(target.pid, Capability.CHECKPOINT_RESTORE)
    assert done["watch"][0] == done["save"][0] == "NotPermitted"


def test_criu_takes_root_whatever_the_capabilities(target: ScriptedTarget) -> None:
    done = act(target.pid, *effective_capabilities())
    assert done["criu"][0] in ("NotPermitted", "NotSupported")
