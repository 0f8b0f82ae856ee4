"""A link of our own making while it is under way, and what a pre-dump and a dump have in common of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.checkpoint.apart import Apart
from engine.checkpoint.chain_record import NextLink
from engine.checkpoint.claim import Claim
from engine.checkpoint.common_link import CommonLink
from engine.checkpoint.link_clock import Saved
from engine.images.writer import Committed, LinkWriter
from engine.kernel.uptime import uptime_us


@contextmanager
def own_link(claim: Claim, link: NextLink, apart: Apart) -> Iterator[tuple[LinkWriter, int]]:
    """Write a link: if that fails it is gone again, and its pages are pending as before.

    Yields:
        What writes it, and the uptime (µs) before its collect.
    """
    # A process that starts after this moment is another one to CRIU: read it before the collect.
    before_us = uptime_us()
    with claim.under_way(), apart.things() as things:
        writer = LinkWriter(link.path, link.kind, link.parent, claim.place.opened)
        things.callback(writer.abort)
        try:
            yield writer, before_us
        finally:
            if apart.is_left:
                writer.erase()


def saved_of(committed: Committed, common: CommonLink, stopped_us: int) -> Saved:
    """What is on disk of a link of ours, once it is there."""
    return Saved(
        pages_written=common.pages_written,
        pages_in_parent=common.pages_in_parent,
        size_bytes=committed.size_bytes,
        sync_s=committed.sync_s,
        stopped_us=stopped_us,
    )
