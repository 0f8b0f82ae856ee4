"""What can make links of a target here, and what each can and cannot do: data for whoever lets choose.

An engine is one entry in `_EXAMINERS`, which says what it can do with a target, one in `_OPENERS`, which
begins a chain with it, and one in `_RESUMERS`, which goes on with a chain of an earlier program.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.directory import LOG
from engine.checkpoint.criu.features import examine_criu
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.dumpable import RESTORABLE, Preflight, look_over, require_dumpable
from engine.checkpoint.freeze_limit import BEYOND_S
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.resuming import why_unsound
from engine.checkpoint.sidecar import Sidecar, boot_id, link_digest, read_sidecar
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import BadImage, DirtytopError
from engine.images.chain import ImageChain, read_chain
from engine.images.layout import LinkKind
from engine.images.link import Link
from engine.preflight.finding import Finding
from engine.tracking.session import Session
from engine.tracking.trackers import abilities_of

DEFAULT_OPTIONS: Final = CriuOptions()


class Chain(Protocol):
    """A chain of links in one directory, whoever makes them."""

    @property
    def engine(self) -> Engine:
        """Who makes them."""
        ...

    @property
    def directory(self) -> Path:
        """Where they are made."""
        ...

    @property
    def next_path(self) -> Path:
        """Where the next one will be."""
        ...

    @property
    def links(self) -> tuple[LinkResult, ...]:
        """Those there are, oldest first."""
        ...

    @property
    def is_ended(self) -> bool:
        """True after a dump: nothing can be added."""
        ...

    @property
    def why_full(self) -> str:
        """Why the next link will not build on the last one, as far as is known; empty if it will."""
        ...

    def pre_dump(self, progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add a link of memory only."""
        ...

    def dump(self, after: After = ..., progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add the last link."""
        ...

    def close(self) -> None:
        """Make no more links: what the session has lent is taken back. May be called twice."""


# -- what there is


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An engine and what it can do with one target on this machine; all texts are one printable line."""

    engine: Engine
    version: str
    """Of the program that does it, as in "4.1.1"; empty if that is us, or if there is none."""
    holds: str
    """What its dump holds, and whether that is enough for a restore."""
    pre_dump_stops: str
    """What a pre-dump does to the target."""
    dump_stops: str
    """What a dump does to the target."""
    is_restorable: bool
    """Whether the target can be made again from its dump."""
    why_no_pre_dump: str = ""
    """Why it can make no pre-dump here; empty if it can."""
    why_no_dump: str = ""
    """Why it can make no dump here; empty if it can."""
    hint: str = ""
    """What to do about that."""
    needed_options: tuple[str, ...] = ()
    """Those of `OFFERED_OPTIONS` without which it does not take this target."""
    findings: tuple[Finding, ...] = ()
    """What its dump of this target would meet, worst first."""

    def why_not(self, kind: LinkKind) -> str:
        """Why it can make no link of this kind here; empty if it can."""
        return self.why_no_pre_dump if kind is LinkKind.PRE_DUMP else self.why_no_dump

    def stops(self, kind: LinkKind) -> str:
        """What a link of this kind does to the target."""
        return self.pre_dump_stops if kind is LinkKind.PRE_DUMP else self.dump_stops


def examine_engines(session: Session) -> tuple[EngineReport, ...]:
    """Every engine there is, working here or not. Asks programs what they can: may take seconds."""
    try:
        preflight = look_over(session.root.pid)
    except DirtytopError as error:
        preflight = Preflight(session.root.pid, "", error, ())
    return tuple(_with_preflight(examine(session), preflight) for examine in _EXAMINERS.values())


OFFERED_OPTIONS: Final = ("shell-job", "tcp-established", "ext-unix-sk", "file-locks")
"""Those of CRIU's that whoever is asked can turn on, and so need not keep an engine from a target."""


def _with_preflight(report: EngineReport, preflight: Preflight) -> EngineReport:
    """What an engine can do, less what speaks against it."""
    engine = report.engine
    needs = [finding for finding in preflight.against(engine) if finding.option in OFFERED_OPTIONS]
    against = [finding for finding in preflight.against(engine) if finding not in needs]
    report = replace(
        report,
        version=preflight.criu_version if engine in RESTORABLE else "",
        needed_options=tuple(finding.option for finding in needs),
        findings=preflight.of(engine),
    )
    if engine in RESTORABLE and preflight.criu_error is not None:
        why, hint = preflight.criu_error.message, preflight.criu_error.hint
    elif against:
        why, hint = against[0].text, against[0].hint
    else:
        return report
    return replace(report, why_no_pre_dump=why, why_no_dump=why, hint=hint)


def _examine_memory(session: Session) -> EngineReport:
    stops = abilities_of(session.tracker).stops_to_rearm
    pre_dump = "stops the target to read what is dirty" if stops else "never stops the target"
    return EngineReport(
        engine=Engine.MEMORY,
        version="",
        holds="memory and registers, not restorable",
        pre_dump_stops=pre_dump,
        dump_stops="stops the target while what is pending is copied",
        is_restorable=False,
    )


def _examine_criu(session: Session) -> EngineReport:
    report = EngineReport(
        engine=Engine.CRIU,
        version="",
        holds="all of the target, restorable",
        pre_dump_stops="stops the target while its pages are listed, and runs code in it",
        dump_stops="stops the target for the whole copy, and runs code in it",
        is_restorable=True,
    )
    try:
        if examine_criu().has_memory_tracking:
            return report
    except DirtytopError:  # pre-flight has met it too, and says so
        return report
    why = "this kernel has no soft-dirty bits, without which criu makes no pre-dumps"
    return replace(report, why_no_pre_dump=why, hint="it can make a dump alone; spliced makes both")


def _examine_spliced(session: Session) -> EngineReport:
    return EngineReport(
        engine=Engine.SPLICED,
        version="",
        holds="all of the target, restorable; its memory saved by us",
        pre_dump_stops=_examine_memory(session).pre_dump_stops,
        dump_stops="stops the target while CRIU saves the rest and what is pending is copied",
        is_restorable=True,
    )


_EXAMINERS: Final[dict[Engine, Callable[[Session], EngineReport]]] = {
    Engine.MEMORY: _examine_memory,
    Engine.CRIU: _examine_criu,
    Engine.SPLICED: _examine_spliced,
}


ENGINES: Final = tuple(_EXAMINERS)

# -- beginning a chain, or going on with one


def open_chain(
    engine: Engine,
    session: Session,
    directory: Path,
    options: CriuOptions = DEFAULT_OPTIONS,
    *,
    checked: bool = True,
    trusts_directory: bool = False,
    freeze_timeout_s: float = BEYOND_S,
) -> Chain:
    """Begin a chain in a directory that holds no images.

    Args:
        engine: who is to make the links.
        session: the target.
        directory: made if it is missing.
        options: for CRIU, alone or as a part of spliced; memory has none.
        checked: whether pre-flight looks at the target first.
        trusts_directory: whether others may be able to exchange the directory. They can then put
            links of their own in the place of ours, or remove them; to read them they are not able.
        freeze_timeout_s: how long each link may keep the target stopped; see `freeze_limit`.

    Raises:
        NotTrusted: others can exchange the directory, and are not trusted.
        CannotDump: pre-flight has found why the chain could not be ended, or not be restored from.
        NotSupported: the engine does not work here, or cannot do what `options` say.
        ShellJobNeeded: CRIU would refuse this target without `shell_job`.
        NotPermitted: it needs more rights than we have.
        TargetGone: the root has exited.
        LinkFailed: the directory cannot be made or holds images already.
    """
    if checked and engine in RESTORABLE:
        require_dumpable(engine, session.root.pid, options)
    chain = _OPENERS[engine](session, directory, options, trusts_directory)
    chain.freeze_timeout_s = freeze_timeout_s
    return chain


def go_on(
    engine: Engine,
    session: Session,
    directory: Path,
    options: CriuOptions = DEFAULT_OPTIONS,
    *,
    checked: bool = True,
    freeze_timeout_s: float = BEYOND_S,
) -> Chain:
    """Go on with a chain that an earlier program made of the same target; see `examine_chain`.

    Nobody but root and us may be able to exchange it, whoever is trusted.

    Raises:
        BadImage: the images there cannot be read.
        As of `open_chain` besides.
    """
    if checked and engine in RESTORABLE:
        require_dumpable(engine, session.root.pid, options)
    chain = _RESUMERS[engine](session, directory, options)
    chain.freeze_timeout_s = freeze_timeout_s
    return chain


_Opened = MemoryChain | CriuChain | SplicedChain
_Opener = Callable[[Session, Path, CriuOptions, bool], _Opened]
_Resumer = Callable[[Session, Path, CriuOptions], _Opened]

_OPENERS: Final[dict[Engine, _Opener]] = {
    Engine.MEMORY: lambda session, directory, options, trusts: MemoryChain(
        session, directory, trusts_directory=trusts
    ),
    Engine.CRIU: lambda session, directory, options, trusts: CriuChain(
        session, directory, options, trusts_directory=trusts
    ),
    Engine.SPLICED: lambda session, directory, options, trusts: SplicedChain(
        session, directory, options, trusts_directory=trusts
    ),
}
_RESUMERS: Final[dict[Engine, _Resumer]] = {
    Engine.MEMORY: lambda session, directory, options: MemoryChain.go_on(session, directory),
    Engine.CRIU: CriuChain.go_on,
    Engine.SPLICED: lambda session, directory, options: SplicedChain.go_on(session, directory, options),
}


def find_log(link: Path, since_s: float = 0.0) -> Path | None:
    """The log of the program that made a link, or failed to: in the link, or beside it as `NAME.log`.

    Args:
        link: the link's directory, whether it is there or not.
        since_s: what was last written before this, in seconds since 1970, is of another attempt.
    """
    for place in (link / LOG, link.with_name(f"{link.name}.log")):
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime >= since_s:
            return place
    return None


# -- a chain that is there already


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
        return "the chain there does not say who made it, and of which process"
    made_of = {process.identity for process in sidecar.processes}
    if sidecar.boot_id != boot_id() or session.root not in made_of:
        return "the chain there was made of another process"
    return ""


def _why_full(session: Session, chain: ImageChain, sidecar: Sidecar) -> str:
    """What can be told beforehand. What else disturbs an epoch is told in the notes of the next link."""
    if not abilities_of(sidecar.tracker).survives_us:
        return "write-protect tracking ended with the program that made it"
    if sidecar.owner is not Engine.CRIU and session.tracker is not sidecar.tracker:
        return "it was tracked by soft-dirty bits"
    if session.is_armed:
        return "the target has been armed since"
    if sidecar.digest != link_digest(chain.links[-1].path):
        return "it is not as it was made"
    return why_unsound(chain)
