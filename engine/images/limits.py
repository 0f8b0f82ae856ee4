"""How large images may be: more than CRIU or dirtytop ever writes, and little enough to be read safely.

Images may come from anywhere. Each reader looks at how much there is before it reads, and takes no more
than these limits: whatever a directory holds, reading it takes a bounded amount of memory and ends. What is
legitimately large, lists of pages, is read piece by piece (`pagemap`).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Limit(NamedTuple):
    """What one image file of messages may hold."""

    most_bytes: int
    most_messages: int


STATS: Final = Limit(64 << 10, 16)
"""One message of some 60 bytes."""
INVENTORY: Final = Limit(1 << 20, 16)
"""One message; the names of plugins are the only thing in it that grows."""
USERNS: Final = Limit(1 << 20, 16)
"""One message; the kernel lets a namespace have 340 ranges of users, and of groups."""
PSTREE: Final = Limit(32 << 20, 1 << 18)
"""A message for each process, and five bytes for each thread: six million threads."""
CORE: Final = Limit(16 << 20, 16)
"""One message; what grows in it are queued signals, some 140 bytes each."""
MM: Final = Limit(96 << 20, 16)
"""One message; some 50 bytes for each mapping: two million of them. Some distributions allow one."""
FILES: Final = Limit(96 << 20, 1 << 20)
"""A message for each open or mapped file, some 100 bytes: a million of them."""
DEBUG: Final = Limit(192 << 20, 1 << 18)
"""One message for the mappings, as many as in MM, and 4 to 12 KiB for each thread."""
MM_OTHER_FIELDS: Final = 1 << 18
"""Some sixty, and one for each ring of asynchronous I/O."""

PAGEMAP_BYTES: Final = 2 << 30
PAGEMAP_ENTRIES: Final = 1 << 26
"""A run of pages each: 512 GiB of which every other page was written."""
PAGEMAP_ENTRY_BYTES: Final = 4 << 10
"""CRIU's have up to 30; what is longer holds something that we do not know."""

SIDECAR_BYTES: Final = 64 << 20
SIDECAR_VALUES: Final = 1 << 21
"""Numbers, texts, lists: 20,000 processes, 1 TiB of memory."""

LINK_FILES: Final = 1 << 18
"""Files in one directory: 30,000 processes and their threads."""
CHAIN_FILES: Final = 1 << 20
CHAIN_LINKS: Final = 1 << 14
PROBLEMS: Final = 1 << 13
"""What is told of one chain; who sees these knows enough."""

USER_ADDRESS_BITS: Final = 56
"""Of a process's addresses: x86-64 with five levels of page tables has the most (arm64 has up to 52)."""
OBJECT_SIZE_BITS: Final = 63
"""Of offsets into shared memory: as of any file."""
