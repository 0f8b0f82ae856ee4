"""Sentences about links and targets, the same in toasts, in the event log and in dialogs."""

from __future__ import annotations

from engine.checkpoint.link import After, Engine, LinkResult
from engine.images.layout import LinkKind
from widgets.units import format_duration, say_bytes

KINDS = {LinkKind.PRE_DUMP: "pre-dump", LinkKind.DUMP: "dump"}

AFTER = {
    After.RUN: "Let it run on",
    After.STOP: "Leave it stopped (SIGSTOP)",
    After.KILL: "Kill it",
}

ENGINES = {
    Engine.MEMORY: "memory and registers: not restorable",
    Engine.CRIU: "CRIU",
    Engine.SPLICED: "CRIU, with memory of ours",
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
    if not result.stopped_us:
        return "target never stopped"
    return f"target stopped {format_duration(result.stopped_us / 1e6)}"
