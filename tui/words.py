"""Sentences about links and targets, the same in toasts, in the event log and in dialogs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import After, LinkResult
from engine.forecast.costs.calibrate import MOST_FILE_BYTES
from engine.images.layout import LinkKind
from engine.printable import printable
from engine.tracking.sample import Sample
from engine.units import format_duration, say_bytes

if TYPE_CHECKING:
    from engine.checkpoint.earlier import EarlierChain

KINDS = {LinkKind.PRE_DUMP: "pre-dump", LinkKind.DUMP: "dump"}

AFTER = {
    After.RUN: "Let it run on",
    After.STOP: "Leave it stopped (SIGSTOP)",
    After.KILL: "Kill it",
}


def link_name(result: LinkResult) -> str:
    """As in "pre-dump 2"."""
    return f"{KINDS[result.kind]} {result.number}"


def describe_link(result: LinkResult) -> str:
    """What was written: as in "20.6 MiB written, 405 MiB (95%) in its parent"."""
    pages = result.pages_written + result.pages_in_parent
    written = f"{say_bytes(result.size_bytes)} written"
    if not result.pages_in_parent or not result.pages_written:
        return written
    held = result.size_bytes / result.pages_written * result.pages_in_parent
    return f"{written}, {say_bytes(held)} ({result.pages_in_parent / pages:.0%}) in its parent"


def describe_cost(result: LinkResult) -> str:
    """What it cost: as in "target never stopped, 350 ms in all"."""
    return f"{stopped(result)}, {format_duration(result.seconds)} in all"


def stopped(result: LinkResult) -> str:
    """How long the target was stopped for it."""
    if result.stopped_us is None:
        return "not known how long the target was stopped"
    if not result.stopped_us:
        return "target never stopped"
    return f"target stopped for {format_duration(result.stopped_s)}"


def verdict(result: LinkResult) -> str:
    """What can be done with a link, in a few words."""
    if result.restorable:
        return "yes"
    if result.kind is LinkKind.PRE_DUMP and kind_of(result.engine).is_restorable:
        return "not by itself: it is the parent of the dump that is"
    return "no: memory and registers only" if result.kind is LinkKind.DUMP else "no: memory only"


def restore_command(result: LinkResult) -> str:
    """What makes the target of a restorable link again, for a shell; not yet printable."""
    return f"dirtytop restore {shlex.quote(str(result.path.absolute()))}"


def going_on_text(earlier: EarlierChain) -> str:
    """As in "go on with the chain there, link 3: full (the target has been armed since)"."""
    how = f"full ({earlier.why_full})" if earlier.why_full else "on top of the last"
    return f"go on with the chain there, link {earlier.link_count + 1}: {how}"


def killed_text(*, is_restorable: bool, is_asked: bool) -> str:
    """What becomes of a target that is killed with its dump, before that is agreed to."""
    first = "" if is_asked else "You are not asked again when the trigger fires. "
    if is_restorable:
        return (
            f"{first}It is killed once all its images are on disk. `dirtytop restore` brings it back from"
            " them, unless something that it has open is changed meanwhile."
        )
    return (
        f"{first}It is killed once it has been dumped, and this dump cannot be restored:"
        " it holds memory and registers only."
    )


def lent_text(directory: Path | None) -> str:
    """Why no tick clears and nothing is armed."""
    where = f" in {printable(str(directory))}" if directory is not None else ""
    return f"only reading: soft-dirty bits belong to CRIU's chain{where}"


def probe_text(directory: Path) -> str:
    """What finding out about a disk leaves on it: nothing, but it is written to."""
    where, most = printable(str(directory.parent)), say_bytes(MOST_FILE_BYTES)
    return f"measuring how fast {where} takes memory: up to {most} in a file without a name, removed at once"


def inflation_text(sample: Sample) -> str:
    """How far huge pages make the figures larger than what was written."""
    return f"THP: up to {sample.most_pages_per_write} pages counted for one write"
