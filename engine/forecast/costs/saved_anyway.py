"""What a dump of CRIU's saves whether or not it is pending, guessed from the mappings."""

from __future__ import annotations

from typing import Final

from engine.kernel.maps import Vma, VmaKind
from engine.tracking.sample import Sample

_SHARED: Final = (VmaKind.SHMEM, VmaKind.MEMFD)


def pages_saved_anyway(sample: Sample) -> int:
    """What CRIU saves in a spliced dump whether or not it is pending; an estimate.

    Pages of files that are the process's own by now, and shared memory, once for all that share it.
    """
    of_shared: dict[tuple[str, int], int] = {}
    own = 0
    for process in sample.processes:
        for vma, present in zip(process.maps.vmas, process.present_pages.tolist(), strict=True):
            if not present:
                continue
            if vma.kind in _SHARED:
                memory = vma.device, vma.inode
                of_shared[memory] = max(of_shared.get(memory, 0), present)
            elif _is_own_data(vma):
                own += present
    return own + sum(of_shared.values())


def _is_own_data(vma: Vma) -> bool:
    return vma.kind is VmaKind.VDSO or (vma.kind is VmaKind.FILE_PRIVATE and "w" in vma.perms)
