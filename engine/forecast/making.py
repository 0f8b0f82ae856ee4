"""A link as programs make it: foreseen, made by whatever chain there is, and learnt from."""

from __future__ import annotations

from typing import Protocol

from engine.checkpoint.link import After, Cancelled, LinkResult, Progress, never, unheeded
from engine.forecast.advisor import Advisor
from engine.images.layout import LinkKind


class Extended(Protocol):
    """What links are added to (`engine.checkpoint.engines.Chain`)."""

    def pre_dump(self, progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add a link of memory only."""
        ...

    def dump(self, after: After = ..., progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add the last link."""
        ...


def make_link(
    advisor: Advisor,
    chain: Extended,
    kind: LinkKind,
    after: After = After.RUN,
    progress: Progress = unheeded,
    cancelled: Cancelled = never,
) -> LinkResult:
    """Add a link to a chain; the advisor keeps what it had foreseen of it beside what came.

    Args:
        advisor: of the target.
        chain: takes another link.
        kind: of the link.
        after: what becomes of the target after a dump.
        progress: told how far it is, from another thread.
        cancelled: asked now and then.

    Raises:
        As of the chain's `pre_dump` and `dump`; then nothing was learnt.
    """
    with advisor.link(kind, after) as made:
        if kind is LinkKind.PRE_DUMP:
            result = chain.pre_dump(progress, cancelled)
        else:
            result = chain.dump(after, progress, cancelled)
        made(result)
    return result
