"""A chain that is in a directory already: who made it, and whether and how one can go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.link import Engine
from engine.checkpoint.resuming import why_unsound
from engine.checkpoint.sidecar import Sidecar, boot_id, link_digest, read_sidecar
from engine.errors import BadImage
from engine.images.chain import read_chain
from engine.images.layout import LinkKind
from engine.images.link import ImageChain, Link
from engine.tracking.session import Session
from engine.tracking.trackers import abilities_of


@dataclass(frozen=True, slots=True)
class EarlierChain:
    """A chain found in a directory, and whether one can go on with it; texts are one printable line."""

    directory: Path
    engine: Engine | None
    """Who made it; None if that is not known."""
    link_count: int
    why_not: str
    """Why nothing can be added to it; empty if something can."""
    why_full: str
    """Why the next link would be a full one; empty if it can build on the last one."""


def examine_chain(session: Session, directory: Path) -> EarlierChain | None:
    """What can be done with the chain in a directory; None if there is none that can be read."""
    try:
        chain = read_chain(directory)
    except BadImage:
        return None
    last, sidecar, why_not, why_full = chain.links[-1], None, "", ""
    try:
        sidecar = read_sidecar(last.path)
        why_not = _why_not_on(session, last, sidecar)
        if sidecar is not None and not why_not:
            why_full = _why_full(session, chain, sidecar)
    except BadImage as error:
        why_not = error.message
    return EarlierChain(
        directory=directory,
        engine=sidecar.owner if sidecar is not None else None,
        link_count=len(chain.links),
        why_not=why_not,
        why_full=why_full,
    )


def _why_not_on(session: Session, last: Link, sidecar: Sidecar | None) -> str:
    if last.kind is LinkKind.DUMP:
        return "the chain there has ended with a dump"
    if sidecar is None:
        return "the chain there does not say which engine made it, or of which process"
    made_of = {process.identity for process in sidecar.processes}
    if sidecar.boot_id != boot_id() or session.root not in made_of:
        return "the chain there is of another process"
    return ""


def _why_full(session: Session, chain: ImageChain, sidecar: Sidecar) -> str:
    """What can be told beforehand. What else disturbs an epoch is told in the notes of the next link."""
    if not abilities_of(sidecar.tracker).survives_us:
        return "write-protect tracking ended with the dirtytop that made it"
    if sidecar.owner is not Engine.CRIU and session.tracker is not sidecar.tracker:
        return "it was tracked by soft-dirty bits"
    if session.is_armed:
        return "the target has been armed since"
    if sidecar.digest != link_digest(chain.links[-1].path):
        return "it has been changed since it was made"
    return why_unsound(chain)
