"""What is asked before something that one may not have meant: each with what it would cost."""

from __future__ import annotations

from collections.abc import Sequence

from engine.units import say_bytes
from tui.screens.confirm import ConfirmScreen
from tui.view.facts import Facts


def before_breaking_chain(facts: Facts) -> ConfirmScreen:
    """Arming clears what the next link of a chain of CRIU's relies on."""
    where = f" in {facts.chain_directory}" if facts.chain_directory is not None else ""
    return ConfirmScreen(
        "Arm, and break CRIU's chain?",
        f"Arming clears the soft-dirty bits that the next link of CRIU's chain{where} relies on."
        f" Nothing is lost, but that link will be a full one: about {say_bytes(facts.whole_bytes)}"
        f" instead of {say_bytes(facts.next_bytes)}.",
        confirm="Arm anyway",
        refuse="Leave it",
    )


def before_letting_go(facts: Facts) -> ConfirmScreen | None:
    """A target that is watched no more gets no link; None: it would have got none."""
    if facts.is_busy:
        return ConfirmScreen(
            "Stop watching while a link is being made?",
            "It is cancelled, and what it wrote is removed. The target runs on.",
            confirm="Cancel it and stop",
            refuse="Go on",
        )
    if facts.wait is not None:
        return ConfirmScreen(
            "Stop watching while a trigger is set?",
            "No dump will be made. The links so far stay, and the target runs on.",
            confirm="Cancel it and stop",
            refuse="Go on",
        )
    return None


def before_leaving(watched: Sequence[Facts]) -> ConfirmScreen | None:
    """Leaving cancels links and cancels triggers; None: there are none."""
    busy = [facts for facts in watched if facts.is_busy]
    waiting = [facts for facts in watched if facts.wait is not None]
    if busy:
        return ConfirmScreen(
            "Leave while a link is being made?",
            f"{_names(busy)}: it is cancelled, and what it wrote is removed. The target runs on.",
            confirm="Cancel it and leave",
            refuse="Stay",
        )
    if waiting:
        triggers = ", ".join(str(facts.wait.trigger) for facts in waiting if facts.wait is not None)
        return ConfirmScreen(
            "Leave while a trigger is set?",
            f"{_names(waiting)}: no dump will be made ({triggers}). The links so far stay.",
            confirm="Cancel it and leave",
            refuse="Stay",
        )
    return None


def _names(watched: Sequence[Facts]) -> str:
    return ", ".join(f"{facts.command} ({facts.pid})" for facts in watched)
