"""What the user asks for, as plain data: made by dialogs, carried out by threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.checkpoint.link import After, Engine
from engine.forecast.triggers.armed import Action
from engine.forecast.triggers.conditions import Trigger
from engine.images.layout import LinkKind

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.criu.options import CriuOptions

LINKS: Final = {Action.PRE_DUMP: LinkKind.PRE_DUMP, Action.DUMP: LinkKind.DUMP}
"""What a trigger asks for, as links; nothing else it says is one."""


@dataclass(frozen=True, slots=True)
class ChainOrder:
    """Which chain is to be begun, or gone on with."""

    directory: Path
    engine: Engine | None = None
    """None: the one that saves most of this target, found out when the chain is begun."""
    options: CriuOptions | None = None
    """For CRIU; None leaves all of them off."""
    is_there: bool = False
    """Go on with the chain that is in the directory."""


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """Which link is to be made."""

    kind: LinkKind
    chain: ChainOrder | None = None
    """Begin this chain, or go on with one that is there; None: go on with the one under way."""
    after: After = After.RUN
    """What becomes of the target; only a dump looks at it."""


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """What is to be waited for, and what the dump is to be then. Each is one of its own, however alike."""

    trigger: Trigger
    request: LinkRequest
    """The dump. Its chain is begun by the first link."""
