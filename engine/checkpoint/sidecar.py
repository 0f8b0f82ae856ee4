"""What a link knows beyond its images: whose epoch it began, so that a later dirtytop can go on from it.

A soft-dirty epoch lives in the kernel and outlasts us. If nothing has disturbed it, the next link may
leave to the parent what reads clean, even if another dirtytop made that parent. The file
`dirtytop.json` in a link says what has to be true for that: same boot, same processes running the
same program, same link, and the canary still as it was planted. CRIU and crit ignore it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoint.link import Engine
from engine.errors import BadImage
from engine.images.files import read_image
from engine.images.layout import SIDECAR, is_pagemap, is_pages
from engine.images.writer import LinkWriter
from engine.kernel.process import Identity
from engine.printable import printable
from engine.tracking.canary import Canary
from engine.tracking.frame_marks import NO_MARKS, FrameMarks
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session

_SCHEMA = 2


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
    """What tells whether anybody has cleared since; None if nothing does."""
    marked_pages: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    """What tells which memory was moved since: see `FrameMarks`."""

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
    """All of it."""

    boot_id: str
    tracker: TrackerKind
    owner: Engine
    """Who began the epoch that follows this link."""
    processes: tuple[SidecarProcess, ...]
    digest: str
    """Of the link it lies in: `link_digest`."""

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
    for name in sorted(name for name in os.listdir(directory) if is_pagemap(name) or is_pages(name)):
        path = directory / name
        digest.update(f"{name}\0{os.lstat(path).st_size}\0".encode("utf-8", "surrogateescape"))
        if is_pagemap(name):
            digest.update(read_image(path))
    return digest.hexdigest()


def read_sidecar(directory: Path) -> Sidecar | None:
    """What a link says of its epoch; None if it says nothing.

    Raises:
        BadImage: it is damaged.
    """
    path = directory / SIDECAR
    if not os.path.lexists(path):
        return None
    try:
        fields: dict[str, Any] = json.loads(read_image(path))
        if fields["schema"] != _SCHEMA:
            return None
        return Sidecar(
            boot_id=str(fields["boot_id"]),
            tracker=TrackerKind(fields["tracker"]),
            owner=Engine(fields["owner"]),
            processes=tuple(_processes(fields["processes"])),
            digest=str(fields["digest"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadImage(
            f"{printable(str(path))} is damaged", hint="without it the link is still good"
        ) from error


def _processes(entries: Iterable[dict[str, Any]]) -> Iterable[SidecarProcess]:
    for entry in entries:
        code, stack = entry["memory_identity"]
        canary = entry["canary"]
        yield SidecarProcess(
            pid=int(entry["pid"]),
            inner_pid=int(entry["inner_pid"]),
            start_ticks=int(entry["start_ticks"]),
            memory_identity=(str(code), str(stack)),
            canary=None if canary is None else Canary(_pages(canary["planted"]), _pages(canary["left"])),
            marked_pages=_pages(entry.get("marked_pages", ())),
            frames=_pages(entry.get("frames", ())),
        )


def _pages(numbers: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)


def sidecar_of(
    session: Session,
    owner: Engine,
    directory: Path,
    canaries: Mapping[Identity, Canary | None] | None = None,
    marks: Mapping[Identity, FrameMarks] | None = None,
) -> Sidecar:
    """What there is to say of the epoch that has just begun in a session's processes.

    Args:
        session: the target.
        owner: who began it.
        directory: the link, with its pagemaps and pages complete.
        canaries, marks: of an epoch that CRIU began by soft-dirty; None if it is the session's own.

    Raises:
        BadImage: the link cannot be read.
    """
    with session.lock:
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
            for process in session.processes
            for taken in [process.link_marks if marks is None else marks.get(process.identity, NO_MARKS)]
        )
    tracker = session.tracker if canaries is None else TrackerKind.SOFT_DIRTY
    return Sidecar(boot_id(), tracker, owner, processes, link_digest(directory))


def write_sidecar(link: LinkWriter, session: Session, owner: Engine) -> None:
    """Put the sidecar into a link that is otherwise complete.

    Raises:
        LinkFailed: the disk would not take it.
    """
    with link.reading() as place:
        sidecar = sidecar_of(session, owner, place)
    link.write(SIDECAR, sidecar.encode())
