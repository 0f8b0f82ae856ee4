"""Whether the kernel merges equal pages of a process (Documentation/admin-guide/mm/ksm.rst).

A page that is merged gets a new page-table entry, made from nothing: what the old one told is lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import kernel_errors
from engine.kernel.process import memory_file

_SYSTEM: Final = Path("/sys/kernel/mm/ksm")


def merges_pages_of(pid: int) -> bool:
    """Whether KSM is looking for equal pages in this process, or has merged some.

    Told for each process since Linux 6.1 (`ksm_stat`, commit cb4df4cae4f2), or 5.19 (`ksm_merging_pages`,
    commit 7609385337a4); before, it is told whether KSM has merged pages of anyone.

    Raises:
        TargetGone: the process has exited.
    """
    if not _SYSTEM.exists():
        return False
    for name in ("ksm_stat", "ksm_merging_pages"):
        path = Path(memory_file(pid, name))
        if path.exists():
            with kernel_errors(pid, "read what is merged of it"):
                words = path.read_text("ascii").split()
            # The first number of ksm_stat counts the pages that are looked at. One that exits tells nothing.
            return bool(words) and int(words[1] if name == "ksm_stat" else words[0]) > 0
    return int((_SYSTEM / "pages_shared").read_text("ascii")) > 0
