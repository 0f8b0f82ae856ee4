"""Pages that the kernel calls clean and that are not what the last link holds: CRIU would not notice.

It leaves out what is not soft-dirty. If the link before lists such a page, what is restored is wrong without
a word; if it does not, CRIU fails ("Missing … in parent pagemap"). Both come of memory that was moved with
its page table (`FrameMarks`), and the latter also of kernels that forget that a mapping is new where it is
merged with an older one (VM_SOFTDIRTY, before Linux 6.19).
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.checkpoint.criu.selection import Choice
from engine.errors import TargetGone
from engine.images.link import Link
from engine.kernel.process import read_stat
from engine.tracking.epoch_watch import EpochWatch


def why_not_left_out(choices: Mapping[int, Choice], parent: Link, watch: EpochWatch) -> str:
    """Which process has pages that CRIU would leave to the parent for no good reason, in words.

    Args:
        choices: what CRIU is about to do, by pid.
        parent: the link that it would build on.
        watch: over the epoch that began with that link.

    Returns:
        One line, empty if there is none.

    Raises:
        BadImage: the parent cannot be read.
    """
    for pid, choice in choices.items():
        if not choice.left_to_parent:
            continue
        if choice.left_to_parent - parent.pagemap(choice.inner_pid).covered:
            return f"the kernel calls memory of process {pid} clean that the last link does not hold"
        try:
            if watch.has_moved(read_stat(pid).identity, choice.left_to_parent):
                return f"process {pid} has moved memory (mremap), which soft-dirty bits do not show"
        except TargetGone:
            continue
    return ""
