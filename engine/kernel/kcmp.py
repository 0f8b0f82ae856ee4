"""Whether two processes share something (kcmp(2)): the kernel tells only that, and not what it is."""

from __future__ import annotations

import platform
from typing import Final

from engine.kernel.libc import system_call

_NUMBERS: Final = {"x86_64": 312, "aarch64": 272}
_NUMBER: Final = _NUMBERS.get(platform.machine(), -1)
_KCMP_VM: Final = 1


def shares_memory(pid: int, other: int) -> bool:
    """Whether they have one address space: a child of vfork(2) until it starts a program, above all.

    False too if that cannot be told: one has exited, is not ours, or the kernel lacks the call.
    """
    if _NUMBER < 0 or pid == other:
        return pid == other
    try:
        return system_call(_NUMBER, pid, other, _KCMP_VM, 0, 0) == 0
    except OSError:
        return False
