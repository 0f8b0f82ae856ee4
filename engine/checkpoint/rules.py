"""Which pages go where in a link, beyond what is pending (criu/mem.c, criu/include/vma.h)."""

from __future__ import annotations

from engine.checkpoint.tasks import TaskState
from engine.kernel.maps import Maps, VmaKind
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.tracked_process import LinkPlan


def by_the_rules(plan: LinkPlan, *, last: bool) -> LinkPlan:
    """Huge pages of hugetlbfs are saved whole, and only at the end: a restore follows no parent for them."""
    huge = plan.maps.huge
    if not huge:
        return plan
    whole = (plan.needed | plan.held) & huge if last else EMPTY
    return LinkPlan(plan.maps, (plan.needed - huge) | whole, plan.held - huge)


def lazy_pages(maps: Maps, state: TaskState | None = None) -> PageSet:
    """Pages that a restore may bring in late: private anonymous memory, but no thread's current stack."""
    anonymous = (VmaKind.HEAP, VmaKind.ANON, VmaKind.NAMED_ANON, VmaKind.STACK)
    pages = maps.where([vma.kind in anonymous and vma.is_private for vma in maps.vmas])
    if state is None:
        return pages
    stacks = [thread.stack_page_address >> PAGE_SHIFT for thread in state.threads]
    return pages - PageSet.from_pages(stacks)
