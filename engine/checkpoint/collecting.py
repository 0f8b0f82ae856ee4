"""What a link has to hold, of every process of the tree: asked of the trackers at one moment, the collect."""

from __future__ import annotations

from contextlib import ExitStack

from engine.checkpoint.rules import by_the_rules
from engine.errors import TargetGone
from engine.kernel.memory import TargetMemory
from engine.kernel.relatives import Relatives
from engine.tracking.session import Session
from engine.tracking.tracked_process import LinkPlan, TrackedProcess


def collect(
    session: Session, held: ExitStack, relatives: Relatives, *, stopped: bool
) -> tuple[dict[TrackedProcess, LinkPlan], dict[TrackedProcess, TargetMemory]]:
    """What every process of the tree has that is needed, and its memory to read that from; the root first.

    Args:
        session: what is tracked.
        held: takes the memories, to close them.
        relatives: who may share memory with whom.
        stopped: whether the tree is stopped. If not, processes that are new are found and armed first.

    Raises:
        TargetGone: the root has exited.
        NotPermitted, AlreadyTraced, NotSupported: it has become a program that cannot be tracked.
    """
    plans: dict[TrackedProcess, LinkPlan] = {}
    memories: dict[TrackedProcess, TargetMemory] = {}
    with session.held() as processes:
        if not stopped:
            session.follow_tree()
        for process in processes:
            if not (stopped or process.is_tracked):
                continue  # nothing of it would be clean: it is left to the dump
            try:
                memory = TargetMemory(process.identity.pid, relatives, is_stopped=stopped)
                held.callback(memory.close)
                plan = process.plan_last_link() if stopped else process.plan_link()
                memory.always_there = plan.maps.vdso
            except TargetGone:
                if process.identity == session.root:
                    raise
                continue
            plans[process] = by_the_rules(plan, last=stopped)
            memories[process] = memory
    if not plans:
        raise session.why_over()
    return plans, memories
