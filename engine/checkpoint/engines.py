"""What can make links of a target here, and what each can and cannot do; and chains of theirs.

What an engine is, is said in `kinds`; what speaks against its dump of a target, in `dumpable`. Here both come
together, for those who let the user choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.chain import Chain
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.dumpable import Preflight, look_over, require_dumpable
from engine.checkpoint.freeze_limit import BEYOND_S
from engine.checkpoint.kinds import ENGINES, EngineKind, kind_of
from engine.checkpoint.link import Engine
from engine.errors import DirtytopError
from engine.images.layout import LinkKind
from engine.preflight.finding import Finding
from engine.tracking.session import Session

DEFAULT_OPTIONS: Final = CriuOptions()

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
    return tuple(_report(kind, session, preflight) for kind in map(kind_of, ENGINES))


OFFERED_OPTIONS: Final = ("shell-job", "tcp-established", "ext-unix-sk", "file-locks")
"""Options of CRIU that the user is asked for: that a target needs them does not rule an engine out."""


def _report(kind: EngineKind, session: Session, preflight: Preflight) -> EngineReport:
    against = preflight.against(kind.engine)
    needs = [finding for finding in against if finding.option in OFFERED_OPTIONS]
    why, hint = _why_not(kind, preflight, [finding for finding in against if finding not in needs])
    why_no_pre_dump = why
    if not why and not _can_pre_dump(kind):
        why_no_pre_dump, hint = kind.why_no_pre_dump, kind.without_pre_dumps
    return EngineReport(
        engine=kind.engine,
        version=preflight.criu_version if kind.uses_criu else "",
        holds=kind.holds,
        pre_dump_stops=kind.pre_dump_stops(session.tracker),
        dump_stops=kind.dump_stops,
        is_restorable=kind.is_restorable,
        why_no_pre_dump=why_no_pre_dump,
        why_no_dump=why,
        hint=hint,
        needed_options=tuple(finding.option for finding in needs),
        findings=preflight.of(kind.engine),
    )


def _why_not(kind: EngineKind, preflight: Preflight, against: list[Finding]) -> tuple[str, str]:
    """Why an engine can make no dump of a target, and what to do about it; empty if it can."""
    if kind.uses_criu and preflight.criu_error is not None:
        return preflight.criu_error.message, preflight.criu_error.hint
    return (against[0].text, against[0].hint) if against else ("", "")


def _can_pre_dump(kind: EngineKind) -> bool:
    try:
        return kind.can_pre_dump()
    except DirtytopError:  # pre-flight has met it too, and says so
        return True


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
            links of their own in the place of ours, or remove them; they cannot read them.
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
    if checked and kind_of(engine).uses_criu:
        require_dumpable(engine, session.root.pid, options)
    chain = kind_of(engine).begin(session, directory, options, trusts_directory=trusts_directory)
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
    if checked and kind_of(engine).uses_criu:
        require_dumpable(engine, session.root.pid, options)
    chain = kind_of(engine).go_on(session, directory, options)
    chain.freeze_timeout_s = freeze_timeout_s
    return chain
