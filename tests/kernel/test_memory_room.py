"""What memory is left, against a cgroup that leaves little."""

from __future__ import annotations

import os

import psutil

from engine.kernel.memory_room import room_bytes
from tests.targets.memory_cgroup import memory_cgroup
from tests.targets.scripted import ScriptedTarget

ROOM = 300 << 20


def test_the_machine_has_no_more_than_it_has() -> None:
    assert 0 < room_bytes(os.getpid()) <= psutil.virtual_memory().total


def test_a_cgroup_leaves_what_its_limit_leaves() -> None:
    with memory_cgroup(ROOM) as cgroup, ScriptedTarget(pages=16) as target:
        cgroup.take(target.pid)
        assert 0 < room_bytes(target.pid) <= ROOM


def test_of_a_process_that_is_gone_only_the_machine_tells() -> None:
    assert room_bytes(2**22 + 1) > 0
