"""Going on with a chain that an earlier dirtytop began: with which one can, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.chain_record import ChainRecord
from engine.checkpoint.directory import ChainDirectory
from engine.checkpoint.link import Engine, LinkResult
from engine.checkpoint.sidecar import Sidecar, SidecarProcess, boot_id, link_digest, read_sidecar
from engine.errors import BadImage, LinkFailed, TargetGone, UnknownFormat
from engine.images.chain import ImageChain, read_chain, require_sound
from engine.images.layout import LinkKind
from engine.kernel.process import Identity
from engine.pageset import PageSet
from engine.printable import printable
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.trackers import abilities_of

_BEGIN_ANEW = "begin another chain in a new directory"


def read_open_chain(directory: Path) -> ImageChain:
    """The chain in a directory, to which links can be added.

    Args:
        directory: holds links 1, 2, ….

    Raises:
        BadImage: it holds no chain, or one that cannot be read.
        UnknownFormat: it is newer than what we understand.
        LinkFailed: it is a link itself, or its chain has ended with a dump.
    """
    chain = read_chain(directory)
    last = chain.links[-1]
    shown = printable(str(directory))
    if last.path == directory.resolve():
        raise LinkFailed(
            f"{shown} is itself a link of a chain: no link can be added inside it",
            hint=f"name the directory that it is in, {printable(str(last.path.parent))}",
        )
    if last.kind is LinkKind.DUMP:
        raise LinkFailed(f"{shown}: this chain has ended with a dump, {last.path.name}", hint=_BEGIN_ANEW)
    return chain


def engine_of(chain: ImageChain) -> Engine:
    """Which engine made the last link.

    Raises:
        LinkFailed: it was not dirtytop who made it, or it does not say so. BadImage: its sidecar is damaged.
        UnknownFormat: another version of dirtytop made it.
    """
    return _sidecar_of(chain).owner


def tracker_of(chain: ImageChain) -> TrackerKind:
    """What saw the writes since the last link. Errors as of `engine_of`."""
    return _sidecar_of(chain).tracker


def require_chain_of(chain: ImageChain, root: Identity, engine: Engine) -> Sidecar:
    """Make sure that a chain is of this process and engine. Returns what its last link says of itself.

    Raises:
        LinkFailed: it is not, or does not say so. BadImage: its sidecar is damaged.
        UnknownFormat: another version of dirtytop made it.
    """
    sidecar = _sidecar_of(chain)
    shown = printable(str(chain.links[-1].path.parent))
    if sidecar.owner is not engine:
        raise LinkFailed(
            f"{shown} is a chain of the {sidecar.owner.value} engine",
            hint=f"go on with `--engine {sidecar.owner.value}`, or begin another chain in a new directory",
        )
    if sidecar.boot_id != boot_id():
        raise LinkFailed(
            f"{shown} is a chain of a process that ran before the machine was last booted", hint=_BEGIN_ANEW
        )
    known = sidecar.processes[0].identity
    if known.pid != root.pid:
        raise LinkFailed(f"{shown} is a chain of process {known.pid}, not of {root.pid}", hint=_BEGIN_ANEW)
    if known != root:
        raise LinkFailed(
            f"{shown} is a chain of an earlier process {root.pid}: it has exited, and its pid has been "
            "reused",
            hint=_BEGIN_ANEW,
        )
    return sidecar


def _sidecar_of(chain: ImageChain) -> Sidecar:
    last = chain.links[-1].path
    sidecar = read_sidecar(last)
    if sidecar is None or not sidecar.processes:
        raise LinkFailed(
            f"{printable(str(last))} does not say which process it is of, or which engine made it",
            hint=_BEGIN_ANEW,
        )
    return sidecar


@dataclass(frozen=True, slots=True)
class EarlierEpoch:
    """An epoch that an earlier program began with a link of ours, as far as files tell of it."""

    sidecar: Sidecar
    covered: dict[int, PageSet]
    """What that link lists of each process, by the pid that the process knows itself by."""
    why_full: str
    """Why nothing can be left to it, whatever its processes did; empty if it can."""


def read_earlier_epoch(session: Session, chain: ImageChain, sidecar: Sidecar) -> EarlierEpoch:
    """Read what the last link of a chain says of its epoch; nothing of the session is changed.

    Raises:
        BadImage: the link is damaged. UnknownFormat: the chain is newer than what we understand.
    """
    why_full = why_not_the_same(chain, sidecar)
    if not why_full and session.tracker is not sidecar.tracker:
        why_full = f"the last link was tracked by {sidecar.tracker.value}"
    link = chain.links[-1]
    covered = {} if why_full else {pid: link.pagemap(pid).covered for pid in link.pids}
    return EarlierEpoch(sidecar, covered, why_full)


def record_of(chain: ImageChain, engine: Engine, directory: Path, place: ChainDirectory) -> ChainRecord:
    """The record of a chain that is gone on with.

    Args:
        chain: what is there.
        engine: who is to make its next links.
        directory: where it is, as the user named it.
        place: the same, opened.
    """
    return ChainRecord(
        engine,
        directory,
        last_number=place.last_number,
        links=tuple(LinkResult.of_earlier(info, engine) for info in chain.infos()),
        parts=[(link.path, place.fingerprint(link.path)) for link in chain.links],
    )


def resume_epoch(session: Session, epoch: EarlierEpoch) -> list[str]:
    """Take over the epoch that a link of ours began, process by process, where nothing has disturbed it.

    Returns:
        Which processes' pages cannot be left to that link, and why, in words; empty if all can.
    """
    recorded = {process.identity: process for process in epoch.sidecar.processes}
    reasons = []
    with session.held() as processes:
        for process in processes:
            known = recorded.get(process.identity)
            if not process.is_tracked:
                reasons.append(f"process {process.identity.pid} is not tracked yet: saved in full")
            elif known is None or known.memory_identity != process.program:
                reasons.append(f"process {process.identity.pid} is new since the last link: saved in full")
            elif known.inner_pid not in epoch.covered:
                reasons.append(f"process {process.identity.pid} is not in the last link: saved in full")
            elif not _adopts(process, known, epoch.covered[known.inner_pid]):
                reasons.append(
                    "another program has, or may have, cleared the soft-dirty bits of process "
                    f"{process.identity.pid} "
                    "since the last link: saved in full"
                )
    return reasons


def _adopts(process: TrackedProcess, known: SidecarProcess, covered: PageSet) -> bool:
    try:
        return process.adopt_epoch(known.canary, known.marks, covered)
    except TargetGone:  # the next link tells, if it is the root
        return True


def why_not_the_same(chain: ImageChain, sidecar: Sidecar) -> str:
    """Why nothing can be left to a chain as a whole, whatever its processes did; empty if it can.

    Raises:
        UnknownFormat: it is newer than what we understand.
    """
    if not abilities_of(sidecar.tracker).survives_us:
        return "write-protect tracking ended with the dirtytop that made the last link"
    if sidecar.digest != link_digest(chain.links[-1].path):
        return "the last link has been changed since it was made"
    return why_unsound(chain)


def why_unsound(chain: ImageChain) -> str:
    """Why nothing can be left to a chain: pages that it does not hold would be lost; empty if it is sound.

    Raises:
        UnknownFormat: it is newer than what we understand.
    """
    try:
        require_sound(chain)
    except UnknownFormat:
        raise
    except BadImage as error:
        return error.message
    return ""
