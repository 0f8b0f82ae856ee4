"""Whether a tree can be dumped, by which engine, and what of it will be missing: pre-flight by engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.criu.options import CriuOptions, require_session_leader
from engine.checkpoint.criu.told import dumper_of
from engine.checkpoint.kinds import BY_PREFERENCE, kind_of
from engine.checkpoint.link import Engine
from engine.errors import DirtytopError, NotPermitted, NotSupported
from engine.preflight.finding import Finding, Severity
from engine.preflight.judge import examine

RESTORABLE: Final = tuple(engine for engine in BY_PREFERENCE if kind_of(engine).is_restorable)
"""Those whose dumps can be restored, the one that does most first."""


class CannotDump(NotSupported):
    """An engine cannot dump this tree; what it would meet is in `preflight`."""

    def __init__(self, engine: Engine, preflight: Preflight) -> None:
        why = preflight.why_not(engine)
        super().__init__(
            f"{engine.value} cannot dump process {preflight.pid}: {why}",
            pid=preflight.pid,
            hint=preflight.hint(engine),
        )
        self.engine = engine
        self.preflight = preflight


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found out about a tree before anything of it was touched; all text is printable."""

    pid: int
    criu_version: str
    """Of the CRIU that it was judged for; empty if there is none."""
    criu_error: DirtytopError | None
    """Why there is no CRIU that dumps anything here; None if there is one."""
    findings: tuple[Finding, ...]
    """Worst first."""

    def of(self, engine: Engine) -> tuple[Finding, ...]:
        """Those that concern an engine."""
        return tuple(finding for finding in self.findings if finding.part & kind_of(engine).part)

    def against(self, engine: Engine) -> tuple[Finding, ...]:
        """Those because of which an engine makes no dump, or one that cannot be restored though it should."""
        return tuple(finding for finding in self.of(engine) if finding.severity.prevents)

    def can(self, engine: Engine) -> bool:
        """Whether nothing speaks against a dump by that engine."""
        return not self.why_not(engine)

    def why_not(self, engine: Engine) -> str:
        """The first reason, in one line; empty if it can."""
        if kind_of(engine).uses_criu and self.criu_error is not None:
            return self.criu_error.message
        against = self.against(engine)
        if not against:
            return ""
        others = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        return f"{against[0].text}{others}"

    def hint(self, engine: Engine) -> str:
        """What to do about it; empty if it can."""
        if kind_of(engine).uses_criu and self.criu_error is not None:
            return self.criu_error.hint
        return "; ".join(dict.fromkeys(finding.hint for finding in self.against(engine) if finding.hint))

    @property
    def missing_options(self) -> tuple[str, ...]:
        """CRIU's options, as named in criu.conf, without which it fails."""
        wanted = (finding.option for finding in self.findings if finding.severity is Severity.OPTION)
        return tuple(dict.fromkeys(option for option in wanted if option))

    @property
    def is_restorable(self) -> bool:
        """Whether there is an engine whose dump of this tree can be restored."""
        return any(self.can(engine) for engine in RESTORABLE)

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop doctor PID --json`."""
        return {
            "schema": 1,
            "pid": self.pid,
            "criu": self.criu_version or None,
            "restorable": self.is_restorable,
            "engines": {
                engine.value: {"can": self.can(engine), "why_not": self.why_not(engine)} for engine in Engine
            },
            "options": list(self.missing_options),
            "findings": [finding.as_json() for finding in self.findings],
        }


def look_over(pid: int, options: CriuOptions | None = None) -> Preflight:
    """Look at a process and its descendants, and at the CRIU that is here; nothing of them is touched.

    Args:
        pid: the root of the tree.
        options: what CRIU is going to be told; None: nothing.

    Raises:
        TargetGone: it has exited. KernelThread: it has no memory of its own.
    """
    criu: Criu | None = None
    error: DirtytopError | None = None
    try:
        criu = examine_criu()
        criu.require_dump()
        (options or CriuOptions()).require_possible(criu)
    except (NotSupported, NotPermitted) as refusal:
        error = refusal
    return Preflight(
        pid=pid,
        criu_version=criu.version_text if criu is not None else "",
        criu_error=error,
        findings=examine(pid, dumper_of(criu, options or CriuOptions())),
    )


def require_dumpable(engine: Engine, pid: int, options: CriuOptions | None = None) -> Preflight:
    """Make sure, as far as that can be told, that an engine can dump a tree.

    Raises:
        CannotDump: it cannot, and `preflight` of the error says all that was found.
        NotSupported, NotPermitted: there is no CRIU that works, or it cannot do what `options` say.
        TargetGone: the root has exited.
    """
    found = look_over(pid, options)
    if kind_of(engine).uses_criu and found.criu_error is not None:
        raise found.criu_error
    if not found.can(engine):
        raise CannotDump(engine, found)
    return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engine of a chain for which none was named; texts are one printable line."""

    engine: Engine
    why_not_restorable: str = ""
    """Why it had to be an engine whose dumps cannot be restored; empty if they can."""
    hint: str = ""
    """What to do about that."""


def choose_engine(pid: int, options: CriuOptions | None = None, *, checked: bool = True) -> Chosen:
    """What `auto` means for a target: spliced where it can dump it, else memory.

    Args:
        pid: the target.
        options: what CRIU has been told. Then there is no doing without it.
        checked: whether pre-flight looks at the target.

    Raises:
        CannotDump, NotSupported, NotPermitted: CRIU cannot dump it, and has been told how to.
        TargetGone: it has exited.
    """
    best = BY_PREFERENCE[0]
    try:
        if checked:
            require_dumpable(best, pid, options)
        else:
            examine_criu().require_dump()
            if options is None or not options.shell_job:
                require_session_leader(pid)
    except (NotSupported, NotPermitted) as error:
        if options is not None:
            raise
        why = error.preflight.why_not(error.engine) if isinstance(error, CannotDump) else error.message
        without_criu = next(engine for engine in BY_PREFERENCE if not kind_of(engine).uses_criu)
        return Chosen(without_criu, why, error.hint)
    return Chosen(best)


def best_engine(pid: int, options: CriuOptions | None = None) -> Engine:
    """The engine that `choose_engine` chooses. Errors as of that."""
    return choose_engine(pid, options).engine
