"""What a link knows beyond its images: whose epoch it began, so that a later dirtytop can go on from it.

A soft-dirty epoch lives in the kernel and outlasts us. If nothing has disturbed it, the next link may
leave to the parent what reads clean, even if another dirtytop made that parent. The file
`dirtytop.json` in a link says what has to be true for that: same boot, same processes running the
same program, same link, and the canary still dirty. CRIU and crit ignore it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.link import Engine
from engine.errors import BadImage
from engine.images.files import read_image, write_fully, writing
from engine.images.layout import SIDECAR, is_pagemap, is_pages
from engine.images.link import Link
from engine.images.writer import LinkWriter
from engine.kernel.process import Identity
from engine.printable import printable
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SidecarProcess:
    """One process of the tree as the link left it."""

    pid: int
    inner_pid: int
    """As the process itself knows it: what the images are named by."""
    start_ticks: int
    memory_identity: tuple[str, str]
    """Changes when the process starts another program."""
    canary_page: int | None
    """The page that is dirty as long as nobody else has cleared; None if there is none to tell by."""

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
    except (ValueError, KeyError, TypeError) as error:
        raise BadImage(
            f"{printable(str(path))} is damaged", hint="without it the link is still good"
        ) from error


def _processes(entries: Iterable[dict[str, Any]]) -> Iterable[SidecarProcess]:
    for entry in entries:
        code, stack = entry["memory_identity"]
        canary = entry["canary_page"]
        yield SidecarProcess(
            pid=int(entry["pid"]),
            inner_pid=int(entry["inner_pid"]),
            start_ticks=int(entry["start_ticks"]),
            memory_identity=(str(code), str(stack)),
            canary_page=None if canary is None else int(canary),
        )


def write_sidecar(link: LinkWriter, session: Session, owner: Engine) -> None:
    """Put the sidecar into a link that is otherwise complete.

    Raises:
        LinkFailed: the disk would not take it.
    """
    with session.lock:
        processes = tuple(
            SidecarProcess(
                pid=process.identity.pid,
                inner_pid=process.inner_pid,
                start_ticks=process.identity.start_ticks,
                memory_identity=process.memory_identity,
                canary_page=process.canary_page,
            )
            for process in session.processes
        )
    sidecar = Sidecar(boot_id(), session.tracker, owner, processes, link_digest(link.partial_path))
    descriptor = link.create(SIDECAR)
    try:
        with writing(link.path / SIDECAR, "write it"):
            write_fully(descriptor, memoryview(sidecar.encode()))
    finally:
        os.close(descriptor)


def resume_epoch(session: Session, link: Link) -> list[str]:
    """Take over the epoch that a link began, process by process, where nothing has disturbed it.

    Returns:
        Why not everything can be left to that link, in words; empty if it can.
    """
    reason = _why_unusable(session, link)
    if reason:
        return [f"{reason}: this link is a full one"]
    sidecar = read_sidecar(link.path)
    assert sidecar is not None
    recorded = {process.identity: process for process in sidecar.processes}
    reasons = []
    for process in session.processes:
        known = recorded.get(process.identity)
        if known is None or known.memory_identity != process.memory_identity:
            reasons.append(f"process {process.identity.pid} is new since the last link: saved in full")
        elif known.inner_pid not in link.pids:
            reasons.append(f"process {process.identity.pid} is not in the last link: saved in full")
        elif not process.adopt_epoch(known.canary_page, link.pagemap(known.inner_pid).covered):
            reasons.append(
                f"another program has cleared the soft-dirty bits of process {process.identity.pid} "
                "since the last link: saved in full"
            )
    return reasons


def _why_unusable(session: Session, link: Link) -> str:
    """What speaks against the link's epoch as a whole; empty if nothing does."""
    sidecar = read_sidecar(link.path)
    if sidecar is None:
        return "the last link does not say whose epoch it began"
    if sidecar.boot_id != boot_id():
        return "the machine was started anew since the last link"
    if sidecar.tracker is not TrackerKind.SOFT_DIRTY:
        return "write-protect tracking ended with the program that made the last link"
    if session.tracker is not sidecar.tracker:
        return f"the last link was tracked by {sidecar.tracker.value}"
    if sidecar.owner is not Engine.MEMORY:
        return f"the epoch since the last link belongs to the {sidecar.owner.value} engine"
    if sidecar.digest != link_digest(link.path):
        return "the last link is not as it was made"
    return ""
