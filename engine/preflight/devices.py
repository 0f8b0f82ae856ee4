"""Devices that are open or mapped."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree
from engine.preflight.finding import Rule, Seen
from engine.preflight.rules import files, processes
from engine.preflight.terminals import is_terminal
from engine.printable import printable

_MEMORY: Final = 1
"""null, zero, full, random, kmsg, …: opened again by their names (MEM_MAJOR)."""
_MISCELLANEOUS: Final = 10
_TUN: Final = 200
_AUTOFS: Final = 235
_ZERO: Final = (1, 5)
_GPU: Final = {b"/dev/nvidia": "cuda_plugin", b"/dev/kfd": "amdgpu_plugin", b"/dev/dri/": "amdgpu_plugin"}


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the devices that this process uses."""
    for file in process.files:
        if file.status is None:
            continue
        mode, number = file.status.st_mode, file.status.st_rdev
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not is_terminal(number)):
            rule = _rule(file.name, number, stat.S_ISBLK(mode), tree, dumper)
            if rule is not None:
                yield Seen(rule, process.pid, f"descriptor {file.number}", printable(file.name))
    for _, file in process.held:
        status = file.status
        if status is None or not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            continue
        if (os.major(status.st_rdev), os.minor(status.st_rdev)) == _ZERO:
            continue
        rule = _of_gpu(file.name, dumper) or processes.DEVICE_MAPPING
        yield Seen(rule, process.pid, "a mapping", printable(file.name))


def _rule(name: bytes, number: int, is_block: bool, tree: Tree, dumper: Dumper) -> Rule | None:
    """criu/files.c, dump_chrdev."""
    major, minor = os.major(number), os.minor(number)
    if not is_block and major == _MEMORY:
        return None
    if not is_block and major == _MISCELLANEOUS and minor == _AUTOFS:
        return None
    if not is_block and major == _MISCELLANEOUS and minor == _TUN:
        return None if tree.is_own("net") else files.TUN
    return _of_gpu(name, dumper) or files.DEVICE


def _of_gpu(name: bytes, dumper: Dumper) -> Rule | None:
    for prefix, plugin in _GPU.items():
        if name.startswith(prefix):
            return files.GPU_PLUGIN if plugin in dumper.plugins else files.GPU
    return None
