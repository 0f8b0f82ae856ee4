"""What a link knows beyond its images: whose epoch it began. A later dirtytop needs that to go on from it.

A soft-dirty epoch lives in the kernel and outlasts us. If nothing has disturbed it, the next link may
leave to the parent what reads clean, even if another dirtytop made that parent. The file
`dirtytop.json` in a link says what has to be true for that: same boot, same processes running the
same program, same link, and the canary still as it was planted. CRIU and crit ignore it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from engine.checkpoint.debug_image import write_torn_debug_image
from engine.checkpoint.link import Engine
from engine.errors import BadImage, UnknownFormat
from engine.images import limits
from engine.images.files import open_image, read_image, reading
from engine.images.layout import SIDECAR, LinkKind, is_pagemap, is_pages
from engine.images.link import list_names
from engine.images.partial import PartialDirectory
from engine.images.strict_json import Fields, checked_number, checked_text, parse_fields
from engine.images.writer import LinkWriter
from engine.kernel.process import Identity
from engine.pageset import PAGE_SHIFT
from engine.printable import printable
from engine.tracking.canary import Canary
from engine.tracking.frame_marks import NO_MARKS, FrameMarks
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session

_SCHEMA: Final = 2
_PIECE_BYTES: Final = 1 << 20
_MOST: Final = 2**63 - 1
_MOST_PID: Final = 2**22
"""The most that Linux gives out (PID_MAX_LIMIT)."""
_MOST_PAGE: Final = (1 << (limits.USER_ADDRESS_BITS - PAGE_SHIFT)) - 1
_MOST_FRAME: Final = (1 << 55) - 1
"""So wide is the field of an entry in pagemap (PM_PFRAME_MASK)."""
_MOST_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class SidecarProcess:
    """One process of the tree as the link left it."""

    pid: int
    inner_pid: int
    """As the process itself knows it: what the images are named by."""
    start_ticks: int
    memory_identity: tuple[str, str]
    """Changes when the process starts another program."""
    canary: Canary | None
    """Tells whether anybody has cleared the bits since; None if nothing can tell."""
    marked_pages: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    """Together these two tell which memory was moved since: see `FrameMarks`."""

    @property
    def marks(self) -> FrameMarks:
        """The marks that these are."""
        return FrameMarks.from_pages(np.array(self.marked_pages, np.int64), np.array(self.frames, np.int64))

    @property
    def identity(self) -> Identity:
        """Its pid and start time."""
        return Identity(self.pid, self.start_ticks)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What `dirtytop.json` says."""

    boot_id: str
    tracker: TrackerKind
    owner: Engine
    """Who began the epoch that follows this link."""
    processes: tuple[SidecarProcess, ...]
    digest: str
    """Of the link it lies in: `link_digest`."""
    criu: str = ""
    """The version of the CRIU that had a part in the link, as in "4.1.1"; empty if none had."""

    def encode(self) -> bytes:
        """As it is stored."""
        fields = {**asdict(self), "schema": _SCHEMA, "tracker": self.tracker.value, "owner": self.owner.value}
        return json.dumps(fields, indent=1).encode() + b"\n"


def boot_id() -> str:
    """Differs from boot to boot; start times and epochs mean nothing across it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def link_digest(directory: Path) -> str:
    """Tells one link from another: what its pagemaps say, and the sizes of its pages files.

    The pages themselves are not read: that would cost as much as the dump did.

    Raises:
        BadImage: a file cannot be read.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in list_names(directory) if is_pagemap(name) or is_pages(name)):
        path = directory / name
        with open_image(path) as fd, reading(path):
            size_bytes = os.fstat(fd).st_size
            digest.update(f"{name}\0{size_bytes}\0".encode("utf-8", "surrogateescape"))
            if is_pagemap(name):
                if size_bytes > limits.PAGEMAP_BYTES:
                    raise BadImage(
                        f"{printable(str(path))} has {size_bytes} bytes, more than any pagemap has"
                    )
                while data := os.read(fd, _PIECE_BYTES):
                    digest.update(data)
    return digest.hexdigest()


def read_sidecar(directory: Path) -> Sidecar | None:
    """What a link says of its epoch; None if it says nothing.

    Raises:
        BadImage: it is damaged, or says what cannot be.
        UnknownFormat: another version of dirtytop has written it.
    """
    path = directory / SIDECAR
    if not os.path.lexists(path):
        return None
    data = read_image(path, limits.SIDECAR_BYTES)
    try:
        fields = parse_fields(data, limits.SIDECAR_VALUES)
        schema = fields.number("schema", 0, _MOST)
        if schema == _SCHEMA:
            return _sidecar(fields)
    except ValueError as error:
        raise BadImage(
            f"{printable(str(path))} is damaged: {error}", hint="without it the link is still good"
        ) from error
    raise UnknownFormat(
        f"{printable(str(path))} was made by another version of dirtytop "
        f"(schema {schema}; this version knows schema {_SCHEMA})",
        hint="use that version, or begin another chain in a new directory",
    )


def _sidecar(fields: Fields) -> Sidecar:
    """What the fields say. Raises ValueError if that cannot be."""
    processes = tuple(_process(Fields(entry)) for entry in fields.list("processes"))
    for numbers, what in (
        ([process.pid for process in processes], "pid"),
        ([process.inner_pid for process in processes], "inner_pid"),
    ):
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"two processes with the same {what}")
    return Sidecar(
        boot_id=fields.text("boot_id", _MOST_CHARACTERS),
        tracker=fields.one_of("tracker", TrackerKind),
        owner=fields.one_of("owner", Engine),
        processes=processes,
        digest=fields.text("digest", _MOST_CHARACTERS),
        criu=fields.text("criu", _MOST_CHARACTERS) if fields.has("criu") else "",
    )


def _process(fields: Fields) -> SidecarProcess:
    identity = fields.list("memory_identity")
    if len(identity) != len(("code", "stack")):
        raise ValueError(f"memory_identity has {len(identity)} parts")
    code, stack = (checked_text(part, "memory_identity", _MOST_CHARACTERS) for part in identity)
    return SidecarProcess(
        pid=fields.number("pid", 1, _MOST_PID),
        inner_pid=fields.number("inner_pid", 1, _MOST_PID),
        start_ticks=fields.number("start_ticks", 0, _MOST),
        memory_identity=(code, stack),
        canary=_canary(fields.fields("canary")) if fields.has("canary") else None,
        **_marks(fields),
    )


def _marks(fields: Fields) -> dict[str, tuple[int, ...]]:
    marked, frames = (
        tuple(checked_number(value, name, 0, most) for value in fields.list(name)) if fields.has(name) else ()
        for name, most in (("marked_pages", _MOST_PAGE), ("frames", _MOST_FRAME))
    )
    if len(marked) != len(frames) or len(marked) % 2:
        raise ValueError("marked_pages and frames do not belong together")
    if any(page > after for page, after in pairwise(marked)):
        raise ValueError("marked_pages do not ascend")
    return {"marked_pages": marked, "frames": frames}


def _canary(fields: Fields) -> Canary:
    planted, left = (_pages(fields.list(name), name) for name in ("planted", "left"))
    if not planted or set(planted) & set(left):
        raise ValueError("a canary that cannot be")
    return Canary(planted, left)


def _pages(values: Sequence[object], name: str) -> tuple[int, ...]:
    pages = tuple(checked_number(value, name, 0, _MOST_PAGE) for value in values)
    if any(page >= after for page, after in pairwise(pages)):
        raise ValueError(f"{name} does not ascend")
    return pages


def sidecar_of(
    session: Session,
    owner: Engine,
    directory: Path,
    canaries: Mapping[Identity, Canary | None] | None = None,
    marks: Mapping[Identity, FrameMarks] | None = None,
    criu: str = "",
) -> Sidecar:
    """What there is to say of the epoch that has just begun in a session's processes.

    Args:
        session: the target.
        owner: who began it.
        directory: the link, with its pagemaps and pages complete.
        canaries, marks: of an epoch that CRIU began by soft-dirty; None if it is the session's own.
        criu: the version of the CRIU that had a part in the link; empty if none had.

    Raises:
        BadImage: the link cannot be read.
    """
    with session.held() as tracked:
        processes = tuple(
            SidecarProcess(
                pid=process.identity.pid,
                inner_pid=process.inner_pid,
                start_ticks=process.identity.start_ticks,
                memory_identity=process.program,
                canary=process.link_canary if canaries is None else canaries.get(process.identity),
                marked_pages=tuple(taken.pages.ravel().tolist()),
                frames=tuple(taken.frames.ravel().tolist()),
            )
            for process in tracked
            for taken in [process.link_marks if marks is None else marks.get(process.identity, NO_MARKS)]
        )
    tracker = session.tracker if canaries is None else TrackerKind.SOFT_DIRTY
    return Sidecar(boot_id(), tracker, owner, processes, link_digest(directory), criu)


def write_sidecar_of_dump(directory: PartialDirectory, session: Session, owner: Engine, criu: str) -> None:
    """Put the sidecar into a dump that CRIU had a part in, and that is otherwise complete.

    It says little: nothing goes on after a dump.

    Raises:
        BadImage: the link cannot be read. LinkFailed: the disk would not take it.
    """
    with directory.reading() as place:
        sidecar = Sidecar(boot_id(), session.tracker, owner, (), link_digest(place), criu)
    directory.write(SIDECAR, sidecar.encode())


def write_sidecar(link: LinkWriter, session: Session, owner: Engine) -> None:
    """Put the sidecar into a link that is otherwise complete, and what debuggers want of a pre-dump.

    Raises:
        LinkFailed: the disk would not take it.
    """
    with link.reading() as place:
        sidecar = sidecar_of(session, owner, place)
    if link.kind is LinkKind.PRE_DUMP:
        for process in sidecar.processes:
            write_torn_debug_image(link, process.pid, process.inner_pid)
    link.write(SIDECAR, sidecar.encode())
