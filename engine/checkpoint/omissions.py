"""What a link of ours does not hold of its target: said in words, instead of silently missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.errors import DirtytopError
from engine.kernel.maps import Vma, VmaKind
from engine.kernel.process import Identity
from engine.tracking.tracked_process import LinkPlan, TrackedProcess

_OBJECTS = {
    VmaKind.SHMEM: "shared memory",
    VmaKind.MEMFD: "memfd memory",
    VmaKind.HUGETLB: "shared huge pages",
    VmaKind.FILE_SHARED: "shared file mappings (their content is in the files)",
    VmaKind.SPECIAL: "special shared mappings",
}
_DELETED = "shared mappings of deleted files (no file has their content)"
_DEVICES = "shared mappings of devices"
_NEVER_IN_MEMORY_DUMPS = "open files, sockets, pipes, timers and signal handlers (a memory dump has none)"


def of_pre_dump(
    plans: Mapping[TrackedProcess, LinkPlan], refused: Mapping[Identity, DirtytopError]
) -> tuple[str, ...]:
    """What a pre-dump leaves out, in words."""
    said = list(_shared(plan.maps.vmas for plan in plans.values()))
    if any(plan.maps.huge for plan in plans.values()):
        said.append("private huge pages of hugetlbfs (saved by the dump)")
    return (*said, *_refused(refused))


def of_dump(
    plans: Mapping[TrackedProcess, LinkPlan],
    refused: Mapping[Identity, DirtytopError],
    unreadable_pages: int,
) -> tuple[str, ...]:
    """What a memory dump leaves out, in words."""
    said = list(_shared(plan.maps.vmas for plan in plans.values()))
    if unreadable_pages:
        said.append(f"{unreadable_pages} pages that the kernel lets nobody read")
    return (*said, *_refused(refused), _NEVER_IN_MEMORY_DUMPS)


def _shared(maps: Iterable[tuple[Vma, ...]]) -> Iterable[str]:
    sizes: dict[str, int] = {}
    # Several processes, or several mappings of one, may share an object.
    seen: set[tuple[str, int, int]] = set()
    for vmas in maps:
        for vma in vmas:
            what = _what(vma)
            if vma.is_private or what is None or (vma.device, vma.inode, vma.offset) in seen:
                continue
            seen.add((vma.device, vma.inode, vma.offset))
            sizes[what] = sizes.get(what, 0) + vma.size_bytes
    for what, size_bytes in sizes.items():
        yield f"{what}: {size_bytes >> 10} KiB mapped"


def _what(vma: Vma) -> str | None:
    """What a shared mapping is of, in words; None if it is of nothing that a link leaves out."""
    if vma.kind is VmaKind.FILE_SHARED and vma.raw_name.endswith(b" (deleted)"):
        return _DELETED
    if vma.kind is VmaKind.FILE_SHARED and vma.raw_name.startswith(b"/dev/"):
        return _DEVICES
    return _OBJECTS.get(vma.kind)


def _refused(refused: Mapping[Identity, DirtytopError]) -> Iterable[str]:
    for identity, error in refused.items():
        yield f"process {identity.pid}, which could not be tracked: {error.message}"
