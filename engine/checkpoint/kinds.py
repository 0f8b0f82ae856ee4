"""The engines: of each one object, which says what it is, what it does to a target, and begins its chains.

To add one, write its class here and put it into `_KINDS`. Nobody else lists engines. A chain is imported
where it is begun: to put an engine into words takes none of what it takes to make a link.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from engine.checkpoint.link import Engine
from engine.errors import NotSupported
from engine.preflight.finding import Part
from engine.tracking.sample import TrackerKind

if TYPE_CHECKING:
    from engine.checkpoint.chain import Chain
    from engine.checkpoint.criu.options import CriuOptions
    from engine.tracking.session import Session


class EngineKind(ABC):
    """An engine."""

    engine: ClassVar[Engine]
    """Its name."""
    part: ClassVar[Part]
    """Whose work its links are: decides which rules of pre-flight concern it."""
    label: ClassVar[str]
    """Who makes a link, in a few words."""
    holds: ClassVar[str]
    """What its dump holds, and whether that is enough for a restore."""
    is_restorable: ClassVar[bool]
    """Whether the target can be made again from its dump."""
    dump_stops: ClassVar[str]
    """What a dump does to the target."""
    why_no_pre_dump: ClassVar[str] = ""
    """Why it makes no pre-dumps where `can_pre_dump` says so."""
    without_pre_dumps: ClassVar[str] = ""
    """What can be done there."""

    @property
    def uses_criu(self) -> bool:
        """Whether CRIU has to work here, and is told the user's options."""
        return bool(self.part & Part.CRIU)

    @abstractmethod
    def pre_dump_stops(self, tracker: TrackerKind) -> str:
        """What a pre-dump does to a target that is tracked so."""

    def can_pre_dump(self) -> bool:
        """Whether it can make pre-dumps on this machine. Errors as of `examine_criu`, where CRIU is asked."""
        return True

    def require_pre_dump(self) -> None:
        """Make sure that it can. Raises NotSupported if not; other errors as of `can_pre_dump`."""
        if not self.can_pre_dump():
            raise NotSupported(self.why_no_pre_dump, hint=self.without_pre_dumps)

    @abstractmethod
    def begin(
        self, session: Session, directory: Path, options: CriuOptions, *, trusts_directory: bool
    ) -> Chain:
        """Begin a chain. Arguments and errors as of `engines.open_chain`."""

    @abstractmethod
    def go_on(self, session: Session, directory: Path, options: CriuOptions) -> Chain:
        """Go on with a chain. Arguments and errors as of `engines.go_on`."""


class MemoryEngine(EngineKind):
    """Ours alone."""

    engine = Engine.MEMORY
    part = Part.OURS
    label = "memory and registers: not restorable"
    holds = "memory and registers, not restorable"
    is_restorable = False
    dump_stops = "stops the target while what is pending is copied"

    def pre_dump_stops(self, tracker: TrackerKind) -> str:
        """Some trackers have to be read and re-armed while it is stopped."""
        from engine.tracking.trackers import abilities_of

        stops = abilities_of(tracker).stops_to_rearm
        return "stops the target to read what is dirty" if stops else "never stops the target"

    def begin(
        self, session: Session, directory: Path, options: CriuOptions, *, trusts_directory: bool
    ) -> Chain:
        """A `MemoryChain`, which has no options."""
        from engine.checkpoint.memory import MemoryChain

        return MemoryChain(session, directory, trusts_directory=trusts_directory)

    def go_on(self, session: Session, directory: Path, options: CriuOptions) -> Chain:
        """A `MemoryChain`, which has no options."""
        from engine.checkpoint.memory import MemoryChain

        return MemoryChain.go_on(session, directory)


class CriuEngine(EngineKind):
    """CRIU alone."""

    engine = Engine.CRIU
    part = Part.CRIU
    label = "CRIU"
    holds = "all of the target, restorable"
    is_restorable = True
    dump_stops = "stops the target for the whole copy, and runs code in it"

    def pre_dump_stops(self, tracker: TrackerKind) -> str:
        """It tracks by itself."""
        return "stops the target while its pages are listed, and runs code in it"

    why_no_pre_dump = "this kernel has no soft-dirty bits, without which criu makes no pre-dumps"
    without_pre_dumps = "criu can make the dump alone; spliced makes both"

    def can_pre_dump(self) -> bool:
        """It needs soft-dirty bits."""
        from engine.checkpoint.criu.features import examine_criu

        return examine_criu().has_memory_tracking

    def require_pre_dump(self) -> None:
        """It needs soft-dirty bits; the hint is for a command line."""
        from engine.checkpoint.criu.features import examine_criu

        examine_criu().require_memory_tracking()

    def begin(
        self, session: Session, directory: Path, options: CriuOptions, *, trusts_directory: bool
    ) -> Chain:
        """A `CriuChain`."""
        from engine.checkpoint.criu.chain import CriuChain

        return CriuChain(session, directory, options, trusts_directory=trusts_directory)

    def go_on(self, session: Session, directory: Path, options: CriuOptions) -> Chain:
        """A `CriuChain`."""
        from engine.checkpoint.criu.chain import CriuChain

        return CriuChain.go_on(session, directory, options)


class SplicedEngine(EngineKind):
    """CRIU, and us for what is most of memory."""

    engine = Engine.SPLICED
    part = Part.BOTH
    label = "CRIU, its memory saved by us"
    holds = "all of the target, restorable; dirtytop saves its memory"
    is_restorable = True
    dump_stops = "stops the target while CRIU saves the rest and what is pending is copied"

    def pre_dump_stops(self, tracker: TrackerKind) -> str:
        """Its pre-dumps are ours."""
        return kind_of(Engine.MEMORY).pre_dump_stops(tracker)

    def begin(
        self, session: Session, directory: Path, options: CriuOptions, *, trusts_directory: bool
    ) -> Chain:
        """A `SplicedChain`."""
        from engine.checkpoint.spliced.chain import SplicedChain

        return SplicedChain(session, directory, options, trusts_directory=trusts_directory)

    def go_on(self, session: Session, directory: Path, options: CriuOptions) -> Chain:
        """A `SplicedChain`."""
        from engine.checkpoint.spliced.chain import SplicedChain

        return SplicedChain.go_on(session, directory, options)


_KINDS: Final[dict[Engine, EngineKind]] = {
    kind.engine: kind for kind in (MemoryEngine(), CriuEngine(), SplicedEngine())
}
ENGINES: Final = tuple(_KINDS)
"""All there are, in the order in which they are shown."""
BY_PREFERENCE: Final = (Engine.SPLICED, Engine.MEMORY, Engine.CRIU)
"""`auto` is the first of these that can dump the target: they are sorted by what they save."""


def kind_of(engine: Engine) -> EngineKind:
    """What an engine of this name is."""
    return _KINDS[engine]
