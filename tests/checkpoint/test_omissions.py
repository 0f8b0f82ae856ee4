"""What a memory dump says that it leaves out is true of each mapping."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.tracking.session import Session

_SCRIPT = """\
import mmap, os, sys
kept = []
for path in sys.argv[1:]:
    with open(path, "w+b") as file:
        file.truncate(8 * mmap.PAGESIZE)
        kept.append(mmap.mmap(file.fileno(), 8 * mmap.PAGESIZE))
        kept[-1][:4] = b"mine"
os.unlink(sys.argv[2])
print("ready", flush=True)
sys.stdin.read()
"""

_FIRST_OF_SYSTEM_V = """\
import ctypes, sys
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
if libc.unshare(0x08000000):  # CLONE_NEWIPC: identifiers begin anew
    print("cannot", flush=True)
identifier = libc.shmget(0, 1 << 15, 0o1600)
ctypes.memset(libc.shmat(identifier, None, 0), 1, 1 << 15)
libc.shmctl(identifier, 0, None)  # IPC_RMID
print("ready", identifier, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[int]:
    """A process that has two files mapped and shared, of which one is there no more."""
    command = [sys.executable, "-I", "-S", "-c", _SCRIPT, str(tmp_path / "kept"), str(tmp_path / "deleted")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def test_only_what_a_file_holds_is_said_to_be_in_a_file(sharing: int, chain_directory: Path) -> None:
    with Session(sharing) as session:
        said = MemoryChain(session, chain_directory).pre_dump().not_held
    # The C library may have files of its own mapped and shared.
    assert any(text.startswith("shared file mappings (their content is in the files): ") for text in said)
    assert "shared mappings of deleted files (no file has their content): 32 KiB mapped" in said


def test_the_first_shared_memory_of_system_v_is_said_to_be_left_out(chain_directory: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", _FIRST_OF_SYSTEM_V]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            if line == b"cannot\n":
                pytest.skip("no namespace of its own")
            assert line == b"ready 0\n"
            with Session(process.pid) as session:
                said = MemoryChain(session, chain_directory).pre_dump().not_held
        finally:
            process.kill()
    assert "shared memory: 32 KiB mapped" in said
