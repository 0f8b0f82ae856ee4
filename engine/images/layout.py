"""How an image directory is laid out: which file holds what (CRIU's criu/image-desc.c)."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Final


class LinkKind(Enum):
    """What an image directory holds."""

    PRE_DUMP = "pre-dump"
    """Memory only, to be built upon; never to be restored from."""
    DUMP = "dump"
    """The end of a chain."""


PARENT: Final = "parent"
"""A symbolic link to the directory before this one, relative to this one."""
STATS: Final = "stats-dump"
"""Written last: a directory that has it is complete."""
SIDECAR: Final = "dirtytop.json"
"""What dirtytop knows beyond the images; CRIU and crit do not look at it."""
INVENTORY: Final = "inventory.img"
PSTREE: Final = "pstree.img"
PARTIAL_SUFFIX: Final = ".partial"
"""A link is written under its name with this, and renamed when it is whole."""
COMMON_SUFFIX: Final = ".common"
"""Beside a link, by its name with this, may be a part of it: what several processes have in common."""

DIR_MODE: Final = 0o700
"""Links hold the memory of other people's processes. CRIU would leave them readable to all."""
FILE_MODE: Final = 0o600

_PAGEMAP: Final = re.compile(r"pagemap-(shmem-)?(0|[1-9][0-9]{0,19})\.img")
_PAGES: Final = re.compile(r"pages-(0|[1-9][0-9]{0,9})\.img")
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9:.-]*\.img|irmap-cache")
_DEBUG: Final = re.compile(r"dirtytop-[0-9]+\.debug")


def common_path(link: Path) -> Path:
    """Where a link has what several processes have in common."""
    return link.with_name(link.name + COMMON_SUFFIX)


def pagemap_name(pid: int) -> str:
    """The file that lists a process's dumped pages, by its innermost pid."""
    return f"pagemap-{pid}.img"


def mm_name(pid: int) -> str:
    """The file that describes a process's mappings."""
    return f"mm-{pid}.img"


def core_name(tid: int) -> str:
    """The file that holds one thread's registers."""
    return f"core-{tid}.img"


def debug_name(pid: int) -> str:
    """The file of ours that holds what only a debugger wants of a process.

    It is not called an image: who runs `crit` on all of these finds none that it cannot decode.
    """
    return f"dirtytop-{pid}.debug"


def pages_name(pages_id: int) -> str:
    """The page data that a pagemap's head names by number."""
    return f"pages-{pages_id}.img"


def is_pagemap(name: str) -> bool:
    """Whether a file lists the pages of a process, or of a piece of shared memory."""
    return _PAGEMAP.fullmatch(name) is not None


def pagemap_pid(name: str) -> int | None:
    """Whose pages a file lists; None unless it is a process's pagemap."""
    found = _PAGEMAP.fullmatch(name)
    return int(found[2]) if found and not found[1] else None


def is_pages(name: str) -> bool:
    """Whether a file holds page data."""
    return _PAGES.fullmatch(name) is not None


def is_image(name: str) -> bool:
    """Whether a file is named as CRIU names what it saves; logs, stats and `parent` are not."""
    return _IMAGE.fullmatch(name) is not None


def is_debug(name: str) -> bool:
    """Whether a file holds what only a debugger wants, beside images."""
    return _DEBUG.fullmatch(name) is not None
